"""The table of what a source holds, and of what becomes of each thing in an output."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from vidnst.config import OutputConfig
from vidnst.frames import ClipInfo
from vidnst.media.input.container import ContainerInfo
from vidnst.media.input.picture_facts import PictureFacts
from vidnst.media.input.stream_facts import AttachmentStream, AudioStream, StreamInfo, StreamKind, VideoStream
from vidnst.media.output import audio, picture_rows
from vidnst.media.output.audio_plan import AudioPlan
from vidnst.media.output.dry_mux import TriedStreams, user_tags
from vidnst.media.output.fates import Fate, FateRow, shown
from vidnst.media.output.formats import OutputFormat, OutputKind
from vidnst.media.output.kept_streams import StreamDecision, keeps_chapters, name_of
from vidnst.media.output.resolved_output import ResolvedOutput
from vidnst.media.output.timecode import keeps_reel_name, output_timecode

_MOST_TAGS = 12
_NAMES = {
    StreamKind.SUBTITLE: "subtitles",
    StreamKind.DATA: "data track",
    StreamKind.ATTACHMENT: "attachment",
    StreamKind.VIDEO: "further video track",
    StreamKind.AUDIO: "audio track",
}


def video_rows(
    clip: ClipInfo,
    info: ContainerInfo,
    target: OutputFormat,
    resolved: ResolvedOutput,
    tried: TriedStreams,
    sound: AudioPlan,
    labels: Mapping[int, str],
    *,
    start: int,
    end: int,
    size: tuple[int, int],
) -> tuple[FateRow, ...]:
    """Return the rows of a video or an animation.

    Args:
        clip: the source, as probed.
        info: what the source's file holds.
        target, resolved: the output.
        tried: what becomes of the streams that are neither pictures nor sound.
        sound: what becomes of the sound, if the output has any.
        labels: what pictures and sound lose of their languages, titles, marks and tags, by their indices.
        start, end: the frames that are rendered.
        size: width and height of the rendered frames.
    """
    video = info.video
    aspect = 1 / video.sample_aspect if info.rotation_degrees % 180 else video.sample_aspect
    rows = [
        _video_row(video, target, labels),
        picture_rows.size_row(clip, size),
        picture_rows.orientation_row(video.orientation),
        picture_rows.aspect_row(aspect, target),
        picture_rows.interlacing_row(video, clip.decoder.deinterlace),
        picture_rows.damage_row(clip, start, end),
        picture_rows.times_row(clip, target, start=start, end=end),
        picture_rows.repeat_row(clip, target),
        picture_rows.bits_row(clip, resolved),
        picture_rows.chroma_row(clip, resolved),
        picture_rows.palette_row(target),
        picture_rows.range_row(video, target),
        *picture_rows.colour_rows(clip, video, target, resolved, height=size[1]),
        picture_rows.alpha_row(clip, resolved),
        *_sound_rows(info.audio, target, resolved.settings, sound, labels),
        *_stream_rows(tried.decisions),
        _chapters_row(info, target),
        *_timecode_rows(info, clip, target, start),
        *_tags_rows(info, target, tried),
    ]
    return tuple(row for row in rows if row is not None)


def image_rows(
    clip: ClipInfo,
    facts: PictureFacts,
    target: OutputFormat,
    resolved: ResolvedOutput,
    *,
    start: int,
    end: int,
    size: tuple[int, int],
) -> tuple[FateRow, ...]:
    """Return the rows of images, or of an animation that is not read as a video.

    Args:
        clip: the source, as probed.
        facts: those of its files.
        target, resolved: the output.
        start, end: the frames that are rendered.
        size: width and height of the rendered frames.
    """
    rows: list[FateRow | None] = [
        picture_rows.size_row(clip, size),
        picture_rows.orientation_row(facts.orientation),
        picture_rows.damage_row(clip, start, end),
        picture_rows.times_row(clip, target, start=start, end=end) if clip.frame_count > 1 else None,
        picture_rows.repeat_row(clip, target),
        picture_rows.bits_row(clip, resolved),
        picture_rows.chroma_row(clip, resolved),
        picture_rows.palette_row(target),
        picture_rows.alpha_row(clip, resolved),
    ]
    rows += [FateRow(name, "", Fate.DROPPED, "the output gets none") for name in facts.metadata]
    if facts.hdr:
        rows.append(FateRow("HDR", "PQ or HLG", Fate.CHANGED, "taken for SDR; convert it first", said=True))
    if facts.others:
        rows.append(FateRow("further images", str(facts.others), Fate.DROPPED, "the primary one is used", said=True))
    if facts.gamma:
        rows.append(FateRow("gamma", facts.gamma, Fate.CHANGED, "taken for sRGB"))
    return tuple(row for row in rows if row is not None)


def _video_row(video: VideoStream, target: OutputFormat, labels: Mapping[int, str]) -> FateRow | None:
    """Return the row of the video's language, title and tags; None without any."""
    title, tags = f'"{video.title}"' if video.title else "", ", ".join(video.further_tags)
    value = shown(", ".join(filter(None, (video.language, title, tags))))
    if not value:
        return None
    if target.kind is not OutputKind.VIDEO:
        return FateRow("video track", value, Fate.DROPPED, f"{name_of(target)} have no place for it")
    lost = labels.get(video.index, "")
    return FateRow("video track", value, Fate.CHANGED if lost else Fate.KEPT, lost)


def _sound_rows(
    streams: Iterable[AudioStream],
    target: OutputFormat,
    settings: OutputConfig,
    sound: AudioPlan,
    labels: Mapping[int, str],
) -> Iterator[FateRow]:
    encoders = {stream.index: encoder for stream, encoder in zip(sound.streams, sound.encoders, strict=True)}
    for number, stream in enumerate(streams, start=1):
        name, value = f"audio track {number}", _described(stream, stream.layout)
        if settings.audio == "none":
            yield FateRow(name, value, Fate.DROPPED, "output.audio is none", asked=True)
        elif not audio.keeps_audio(target, settings):
            yield FateRow(name, value, Fate.DROPPED, f"{name_of(target)} have no sound")
        elif (encoder := encoders.get(stream.index)) is None:
            yield FateRow(name, value, Fate.DROPPED, sound.faults[stream.index])
        else:
            lost = [labels[stream.index]] if stream.index in labels else []
            changes = [] if encoder == "copy" else [f"encoded again with {encoder}"]
            if sound.restyled_after:
                changes = [f"in the texture of {shown(sound.restyled_after)}, encoded with {encoder}"]
            asked = bool(sound.restyled_after) and not lost
            how = "; ".join([*changes, *lost])
            yield FateRow(name, value, Fate.CHANGED if how else Fate.KEPT, how, asked=asked)


def _stream_rows(decisions: Iterable[StreamDecision]) -> Iterator[FateRow]:
    counts: Counter[str] = Counter()
    for decision in decisions:
        stream = decision.stream
        name = "cover art" if stream.is_cover else _NAMES.get(stream.kind, "unknown track")
        counts[name] += 1
        value = _described(stream, stream.file_name if isinstance(stream, AttachmentStream) else stream.codec_tag)
        yield FateRow(f"{name} {counts[name]}", value, decision.fate, decision.how)


def _described(stream: StreamInfo, detail: str = "") -> str:
    title = f'"{stream.title}"' if stream.title else ""
    return shown(", ".join(part for part in (stream.codec, detail, stream.language, title) if part))


def _chapters_row(info: ContainerInfo, target: OutputFormat) -> FateRow | None:
    if not info.chapters:
        return None
    if keeps_chapters(target):
        return FateRow("chapters", str(len(info.chapters)), Fate.KEPT)
    return FateRow("chapters", str(len(info.chapters)), Fate.DROPPED, f"{name_of(target)} have none")


def _timecode_rows(info: ContainerInfo, clip: ClipInfo, target: OutputFormat, start: int) -> Iterator[FateRow]:
    written, why = output_timecode(info, target, clip, start=start)
    if info.timecode and written is None:
        yield FateRow("time code", shown(info.timecode), Fate.DROPPED, (why or "").partition(", since ")[2])
    elif info.timecode:
        how = f"the first rendered frame has {written}" if start else ""
        yield FateRow("time code", shown(info.timecode), Fate.KEPT, how)
    if info.reel_name and keeps_reel_name(target, written):
        yield FateRow("reel", shown(info.reel_name), Fate.KEPT)
    elif info.reel_name:
        yield FateRow("reel", shown(info.reel_name), Fate.DROPPED, f"{name_of(target)} have no place for it")


def _tags_rows(info: ContainerInfo, target: OutputFormat, tried: TriedStreams) -> Iterator[FateRow]:
    tags = user_tags(info)
    tags.pop("timecode", None)
    written = user_tags(tried.written) if tried.written is not None else {}
    kept, lost = [key for key in tags if key in written], [key for key in tags if key not in written]
    if kept:
        yield FateRow("tags", _listed(kept), Fate.KEPT)
    if lost:
        yield FateRow("tags", _listed(lost), Fate.DROPPED, f"{name_of(target)} have no place for them")


def _listed(keys: list[str]) -> str:
    more = f" and {len(keys) - _MOST_TAGS} more" if len(keys) > _MOST_TAGS else ""
    return ", ".join(shown(key) for key in keys[:_MOST_TAGS]) + more
