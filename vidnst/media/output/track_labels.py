"""What a container loses of the languages, titles, marks and tags of tracks: found by a trial, not from a table."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from vidnst.errors import SourceError
from vidnst.media import ffmpeg
from vidnst.media.input.container import ContainerInfo, read_container
from vidnst.media.input.stream_facts import AudioStream, StreamInfo
from vidnst.media.output import audio
from vidnst.media.output.audio_plan import AudioPlan
from vidnst.media.output.fates import shown
from vidnst.media.output.formats import OutputFormat
from vidnst.media.output.stream_copy import language_in, renamed_tags

_TRIAL_SECONDS = "1"
_MOST_NAMED = 4
_TIMEOUT_SECONDS = 120
_NAMED_DISPOSITIONS = frozenset({"forced", "hearing_impaired", "visual_impaired", "comment", "original", "lyrics"})
"""Those that change what viewers are shown; containers set `default` as they need it."""


def sound_tags(streams: Sequence[AudioStream], suffix: str) -> list[str]:
    """Return ffmpeg's options that keep the languages and titles of the output's sound."""
    tags = [(number, tag) for number, stream in enumerate(streams) for tag in renamed_tags(stream, suffix)]
    return [word for number, tag in tags for word in (f"-metadata:s:a:{number}", tag)]


def video_tags(source: ContainerInfo, suffix: str) -> list[str]:
    """Return ffmpeg's options that keep the language, the title and the tags of the video."""
    video = source.video
    tags = {"language": language_in(suffix, video.language), "title": video.title, "reel_name": source.reel_name}
    tags |= video.further_tags
    return [word for key, value in tags.items() if value for word in ("-metadata:s:v:0", f"{key}={value}")]


def lost_labels(stream: StreamInfo, arrived: StreamInfo, suffix: str) -> str:
    """Describe what of a stream's language, title, marks and tags did not arrive in an output; empty if all did."""
    lost = []
    if stream.language and arrived.language != language_in(suffix, stream.language):
        lost.append(f"the language {stream.language}")
    if stream.title and not stream.is_cover and arrived.title != stream.title:
        lost.append("the title")
    lost += sorted(
        f"the mark {name.replace('_', ' ')}"
        for name in (stream.dispositions - arrived.dispositions) & _NAMED_DISPOSITIONS
    )
    tags = [key for key, value in stream.further_tags.items() if arrived.further_tags.get(key) != value]
    if len(tags) > _MOST_NAMED:
        lost.append(f"{len(tags)} tags")
    else:
        lost += [f"the tag {shown(key)}" for key in tags]
    return f"{' and '.join(lost)} {'is' if len(lost) == 1 else 'are'} lost" if lost else ""


def try_labels(path: Path, info: ContainerInfo, target: OutputFormat, sound: AudioPlan) -> Mapping[int, str]:
    """Write a second of a source's sound and grey pictures, and describe what its video and its sound lose.

    Args:
        path: the source.
        target: an output that is a video.
        sound: the output's sound.

    Returns:
        What is lost, by the indices of the streams; those that lose nothing are missing. Nothing if the trial fails, as
        its streams have been tried before.
    """
    streams: list[StreamInfo] = [info.video, *sound.streams]
    if not any(_has_labels(stream) for stream in streams) and set(sound.encoders) <= {"copy"}:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, f"trial{target.suffix}")
        status, _, _ = ffmpeg.run_and_capture(_arguments(path, info, target, sound, file), seconds=_TIMEOUT_SECONDS)
        if status:
            return {}
        try:
            written = read_container(file)
        except SourceError:
            return {}
    arrived: list[StreamInfo] = [written.video, *written.audio]
    pairs = zip(streams, arrived, strict=False)
    lost = {stream.index: _losses(stream, found, target.suffix) for stream, found in pairs}
    return {index: text for index, text in lost.items() if text}


def _has_labels(stream: StreamInfo) -> bool:
    marks = stream.dispositions & _NAMED_DISPOSITIONS
    return bool(stream.language or stream.title or marks or stream.further_tags)


def _arguments(path: Path, info: ContainerInfo, target: OutputFormat, sound: AudioPlan, file: Path) -> list[str]:
    args = ["-loglevel", "error", *target.device_options, "-f", "lavfi"]
    args += ["-i", f"color=gray:size=256x256:rate=5:duration={_TRIAL_SECONDS}"]
    args += [*info.input_options, "-i", ffmpeg.file_url(path), "-map", "0:v:0"]
    args += [word for stream in sound.streams for word in ("-map", f"1:{stream.index}")]
    filters = ",".join([f"format={target.pixel_format}", *target.device_filters])
    args += ["-filter:v:0", filters, "-c:v:0", target.encoder, *target.options, *video_tags(info, target.suffix)]
    args += [*audio.output_options(target.suffix, sound.streams, sound.encoders)]
    return [*args, *sound_tags(sound.streams, target.suffix), "-t", _TRIAL_SECONDS, "-y", ffmpeg.file_url(file)]


def _losses(stream: StreamInfo, arrived: StreamInfo, suffix: str) -> str:
    texts = [lost_labels(stream, arrived, suffix)]
    if isinstance(stream, AudioStream) and isinstance(arrived, AudioStream):
        if stream.channels != arrived.channels:
            texts.append(f"from {stream.channels} to {arrived.channels} channels")
        if stream.sample_rate != arrived.sample_rate:
            texts.append(f"from {stream.sample_rate} to {arrived.sample_rate} Hz")
    return "; ".join(filter(None, texts))
