"""What becomes of the streams of a source that are neither its pictures nor its sound. Nothing is run here."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from vidnst.media.input.container import ContainerInfo
from vidnst.media.input.stream_facts import StreamInfo, StreamKind
from vidnst.media.output.fates import Fate
from vidnst.media.output.formats import OutputFormat, OutputKind

_MP4 = (".mp4", ".m4v", ".mov")
_TEXTS = frozenset(
    [
        "ass",
        "ssa",
        "subrip",
        "srt",
        "mov_text",
        "webvtt",
        "text",
        "ttml",
        "microdvd",
        "mpl2",
        "sami",
        "realtext",
        "stl",
        "subviewer",
        "subviewer1",
        "jacosub",
        "pjs",
        "vplayer",
        "hdmv_text_subtitle",
    ]
)
"""Subtitles that are text, by ffmpeg's names of their codecs."""
_PLAIN = frozenset({"text", "webvtt", "subrip", "srt"})
"""Of these the codecs that have little styling."""
_SUBTITLES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        ".mkv": frozenset(
            [
                "subrip",
                "srt",
                "ass",
                "ssa",
                "text",
                "webvtt",
                "hdmv_pgs_subtitle",
                "dvd_subtitle",
                "dvb_subtitle",
                "hdmv_text_subtitle",
            ]
        ),
        ".mp4": frozenset({"mov_text"}),
        ".m4v": frozenset({"mov_text"}),
        ".mov": frozenset({"mov_text", "eia_608"}),
        ".webm": frozenset({"webvtt"}),
    }
)
"""Subtitles that each container takes as they are and that players show. The ones that are pictures need Matroska."""
_SUBTITLE_ENCODERS = {".mkv": "srt", ".mp4": "mov_text", ".m4v": "mov_text", ".mov": "mov_text", ".webm": "webvtt"}
_COVERS = {".mkv": {"mjpeg", "png"}, ".mp4": {"mjpeg", "png", "bmp"}, ".m4v": {"mjpeg", "png", "bmp"}}
CHAPTERS = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm"})
"""Containers that have chapters."""


@dataclass(frozen=True, slots=True)
class StreamDecision:
    """The fate of one stream in the output."""

    stream: StreamInfo
    fate: Fate
    encoder: str = ""
    """`copy`, or ffmpeg's encoder; empty if the stream is dropped."""
    how: str = ""
    """How it is changed, or why it is dropped."""

    def refused(self, why: str) -> "StreamDecision":
        """Return the decision to drop the stream instead."""
        return replace(self, fate=Fate.DROPPED, encoder="", how=why)


def decide_streams(info: ContainerInfo, target: OutputFormat) -> tuple[StreamDecision, ...]:
    """Decide what becomes of subtitles, attachments, data and further pictures, in the order of the file.

    Sound is not among them. Neither are the tracks that hold the time code and the chapters of MP4 and QuickTime.
    """
    streams = [stream for stream in info.streams if stream.index != info.video_index]
    return tuple(
        _decide(stream, target)
        for stream in streams
        if stream.kind is not StreamKind.AUDIO and not _is_own_track(stream, info)
    )


def keeps_chapters(target: OutputFormat) -> bool:
    """Return whether the output has chapters."""
    return target.kind is OutputKind.VIDEO and target.suffix in CHAPTERS


def name_of(target: OutputFormat) -> str:
    """Name the kind of an output in a sentence, in the plural."""
    if target.kind is OutputKind.FOLDER:
        return "folders of pictures"
    kinds = {
        OutputKind.VIDEO: "files",
        OutputKind.ANIMATION: "animations",
        OutputKind.IMAGE: "pictures",
        OutputKind.SEQUENCE: "pictures",
    }
    return f"{target.suffix} {kinds[target.kind]}"


def _is_own_track(stream: StreamInfo, info: ContainerInfo) -> bool:
    """Return whether a data track carries the time code or the chapters, which are written in another way.

    ffmpeg calls the chapter tracks of MP4 and QuickTime `bin_data`, as it does the measurements of action cameras,
    whose tracks are called so (`GoPro MET`).
    """
    if stream.kind is not StreamKind.DATA:
        return False
    is_measured = "met" in stream.tag("handler_name").lower()
    return bool(stream.tag("timecode")) or (bool(info.chapters) and stream.codec == "bin_data" and not is_measured)


def _decide(stream: StreamInfo, target: OutputFormat) -> StreamDecision:
    if target.kind is not OutputKind.VIDEO:
        return StreamDecision(stream, Fate.DROPPED, how=f"{name_of(target)} hold nothing but pictures")
    match stream.kind:
        case StreamKind.SUBTITLE:
            return _decide_subtitles(stream, target)
        case StreamKind.VIDEO if stream.is_cover:
            takes = stream.codec in _COVERS.get(target.suffix, ())
            return _copied(stream) if takes else _not_held(stream, target)
        case StreamKind.VIDEO:
            return StreamDecision(stream, Fate.DROPPED, how="one video track is rendered")
        case StreamKind.ATTACHMENT:
            return _copied(stream) if target.suffix == ".mkv" else _not_held(stream, target)
        case StreamKind.DATA:
            return _copied(stream) if target.suffix in _MP4 else _not_held(stream, target)
    return StreamDecision(stream, Fate.DROPPED, how="nobody knows what it is")


def _decide_subtitles(stream: StreamInfo, target: OutputFormat) -> StreamDecision:
    if stream.codec in _SUBTITLES[target.suffix]:
        return _copied(stream)
    encoder = _SUBTITLE_ENCODERS[target.suffix]
    if stream.codec not in _TEXTS or not stream.decodable:
        return _not_held(stream, target, remedy="; .mkv would" if stream.codec in _SUBTITLES[".mkv"] else "")
    loss = "" if stream.codec in _PLAIN else "; most styling is lost"
    return StreamDecision(stream, Fate.CHANGED, encoder, f"converted to {encoder}{loss}")


def _copied(stream: StreamInfo) -> StreamDecision:
    return StreamDecision(stream, Fate.KEPT, "copy")


def _not_held(stream: StreamInfo, target: OutputFormat, *, remedy: str = "") -> StreamDecision:
    what = {StreamKind.ATTACHMENT: "attachments", StreamKind.DATA: "data tracks"}.get(stream.kind, stream.codec)
    what = f"{what} cover art" if stream.is_cover else what
    return StreamDecision(stream, Fate.DROPPED, how=f"{name_of(target)} do not hold {what or 'it'}{remedy}")
