"""What a media file's headers say, and the time stamps of its packets, read with PyAV in a child process."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from vidnst.errors import SourceError
from vidnst.files.utf8_path import linked
from vidnst.media import ffmpeg
from vidnst.media.child_process import run_child
from vidnst.media.input.incomplete import is_incomplete
from vidnst.media.input.limits import check_frame_pixels
from vidnst.media.input.stream_facts import AudioStream, Chapter, StreamInfo, StreamKind, VideoStream, find_tag
from vidnst.media.input.stream_facts_parser import parse_chapter, parse_stream, parse_tags
from vidnst.media.orientation import clockwise_degrees

_CONTAINERS = (
    "mov matroska avi mpegts mpegtsraw mpeg mpegvideo m4v h261 h263 h264 hevc vvc evc av1 obu ivf flv live_flv asf"
    " ogg gif apng webp_anim mjpeg mpjpeg mjpeg_2000 mxf gxf lxf wtv dv dhav rm nut vc1 dirac cavsvideo avs2 avs3"
    " dnxhd r3d nsv nuv yuv4mpegpipe swf roq smk bink flic film_cpk idcin mlv"
)
_FORMATS = _CONTAINERS.replace(" ", ",")
INPUT_OPTIONS = (*ffmpeg.PROTOCOL_OPTIONS, "-format_whitelist", _FORMATS)
"""Input options for untrusted files: real containers only. Playlists would read other files, wait for updates (a live
HLS list blocks ffmpeg for minutes), or access the network."""
_SOUND_FORMATS = f"{_FORMATS},wav,w64,flac,mp3,aiff,aac,ac3,eac3,dts,truehd,caf,ape,wv,tta,amr,au"
SOUND_OPTIONS = (*ffmpeg.PROTOCOL_OPTIONS, "-format_whitelist", _SOUND_FORMATS)
"""The same for files of sound alone."""

_READER = Path(__file__).with_name("stream_reader.py")
_READER_MEMORY_BYTES = 4 << 30
_HEADER_SECONDS = 120
_HEADER_BYTES = 64 << 20
_TS_DISCONT = 0x0200  # AVFMT_TS_DISCONT
_SEARCHES_BYTES = (0, 32 << 20, 256 << 20)
"""How far streams are looked for, as long as one is not described; 0 is libavformat's own 5 MB or seconds."""
_LONGEST_SEARCH_MICROSECONDS = 10**12
_NO_JUMP_SECONDS = "1000000"


@dataclass(frozen=True, slots=True)
class ContainerInfo:
    """All that a file holds, as its headers and the first frame of its video tell."""

    container: str
    """Names of the demuxer, separated by commas."""
    streams: tuple[StreamInfo, ...]
    """All streams in the file's order, those within groups of streams, too."""
    video: VideoStream
    """The stream that is rendered: the first video stream that is no cover art."""
    start_seconds: Fraction
    """Earliest start of all streams."""
    duration_seconds: Fraction | None
    chapters: tuple[Chapter, ...]
    metadata: Mapping[str, str]
    """The file's tags, keys as in the file; bounded in number and length."""
    may_jump: bool
    """True if the format's time stamps may jump: recordings and streams, which can be cut and joined anywhere."""
    search_bytes: int = 0
    """How far streams were looked for, since sound begins late; 0 is as far as usual."""

    @property
    def input_options(self) -> tuple[str, ...]:
        """ffmpeg's options for this file as an input, where its clock does not jump: it finds the same streams."""
        options = list(INPUT_OPTIONS)
        if self.may_jump:  # else ffmpeg moves sound that begins more than ten seconds later to the start
            options += ["-dts_delta_threshold", _NO_JUMP_SECONDS]
        if self.search_bytes:
            options += ["-probesize", str(self.search_bytes)]
            options += ["-analyzeduration", str(_LONGEST_SEARCH_MICROSECONDS)]
        return tuple(options)

    @property
    def audio(self) -> tuple[AudioStream, ...]:
        """The audio streams."""
        return tuple(stream for stream in self.streams if isinstance(stream, AudioStream))

    @property
    def timecode(self) -> str | None:
        """The time code of the first frame, such as 01:00:00:00 or 01:00:00;00 (drop-frame); None if there is none."""
        timecode_tracks = [stream for stream in self.streams if stream.kind is StreamKind.DATA]
        for tags in (self.video.metadata, *(stream.metadata for stream in timecode_tracks), self.metadata):
            if found := find_tag(tags, "timecode"):
                return found
        return self.video.timecode or None

    @property
    def reel_name(self) -> str:
        """The name of the tape or card that the time code belongs to; empty if there is none."""
        tracks = [self.video, *(stream for stream in self.streams if stream.kind is StreamKind.DATA)]
        return next(filter(None, (stream.tag("reel_name") for stream in tracks)), "")

    @property
    def video_index(self) -> int:
        """Index of the video stream among all streams."""
        return self.video.index

    @property
    def video_codec(self) -> str:
        """ffmpeg's name of the video's codec."""
        return self.video.codec

    @property
    def pixel_format(self) -> str:
        """ffmpeg's name of the video's pixel format."""
        return self.video.pixel_format

    @property
    def width(self) -> int:
        """Stored width, before the orientation is applied."""
        return self.video.width

    @property
    def height(self) -> int:
        """Stored height, before the orientation is applied."""
        return self.video.height

    @property
    def sample_aspect(self) -> Fraction:
        """Width of a stored pixel over its height; 1 if unknown."""
        return self.video.sample_aspect

    @property
    def colour_matrix(self) -> str | None:
        """Matrix of the video; None if not told."""
        return self.video.colour_matrix

    @property
    def colour_range(self) -> str | None:
        """tv (limited) or pc (full); None if not told."""
        return self.video.colour_range

    @property
    def rotation_degrees(self) -> int:
        """Clockwise rotation that makes frames upright, after a flip if they are mirrored: 0, 90, 180 or 270."""
        return clockwise_degrees(self.video.orientation)

    @property
    def rates(self) -> tuple[Fraction, ...]:
        """Frame rates in the header; may be empty."""
        return self.video.rates


def read_container(path: Path) -> ContainerInfo:
    """Read what a file holds.

    Raises:
        SourceError: the file does not exist, is not a video, is incomplete, or has no video stream.
    """
    try:
        exists = path.is_file()
    except OSError as error:  # for example, the name is too long
        raise SourceError(f"{str(path)[:200]} cannot be accessed: {error.strerror}", "check the name") from error
    if not exists:
        raise SourceError(f"there is no file {path}", "check the name")
    size_bytes = path.stat().st_size
    for search_bytes in _SEARCHES_BYTES:
        info = _read(path, search_bytes)
        is_complete = not (info.may_jump and any(_is_undescribed(stream) for stream in info.audio))
        if is_complete or size_bytes <= search_bytes:
            break
    return info


def _is_undescribed(stream: AudioStream) -> bool:
    return stream.decodable and not (stream.channels and stream.sample_rate)


def _read(path: Path, search_bytes: int) -> ContainerInfo:
    facts, _ = ask_reader(path, "facts", max_bytes=_HEADER_BYTES, seconds=_HEADER_SECONDS, search_bytes=search_bytes)
    if "error" in facts:
        raise _unreadable(path, str(facts.get("text", "")))
    try:
        return _parse(facts, path, search_bytes)
    except (KeyError, TypeError, ValueError, ZeroDivisionError, OverflowError) as error:
        raise SourceError(f"the header of {path} makes no sense", "check the file") from error


def ask_reader(
    path: Path,
    command: str,
    *,
    max_bytes: int,
    seconds: float | None = None,
    search_bytes: int = 0,
    **arguments: Any,
) -> tuple[Mapping[str, Any], bytes]:
    """Let a child process read a file with PyAV.

    Args:
        command: facts or packets.
        max_bytes: most bytes of the answer.
        seconds: most seconds that it may take.
        search_bytes: how far streams are looked for; 0 is as far as usual.
        arguments: those of the command, as JSON values.

    Returns:
        The answer's line of JSON, and the bytes after it.

    Raises:
        SourceError: the process took too long, crashed, or used too much memory.
    """
    with linked(path, SourceError) as name:
        request = {
            "command": command,
            "path": ffmpeg.file_url(Path(name)),
            "formats": _FORMATS,
            "memory_bytes": _READER_MEMORY_BYTES,
            "search_bytes": search_bytes,
            **arguments,
        }
        # -P: the script's folder must not hide modules of the standard library.
        words: Sequence[str | Path] = [sys.executable, "-P", _READER, json.dumps(request)]
        result = run_child(words, max_bytes=max_bytes, seconds=seconds)
    if len(result.output) >= max_bytes:
        raise SourceError(f"{path} holds more than {max_bytes >> 20} MiB of tags or time stamps", "cut it into parts")
    line, _, rest = result.output.partition(b"\n")
    if result.status == 0:
        try:
            answer = json.loads(line)
            if isinstance(answer, dict):
                return answer, rest
        except (ValueError, RecursionError):
            pass
    if "No module named" in result.error_output:
        raise SourceError("PyAV is missing, which reads videos", "install vidnst again, or `pip install av`")
    raise SourceError(f"{path} cannot be read: its reader stopped with status {result.status}", "check the file")


def _unreadable(path: Path, text: str) -> SourceError:
    if "not on whitelist" in text:  # libavformat's refusal of a demuxer; there is no code for it
        return SourceError(
            f"{path} is not a video; it may be a playlist, audio, or a picture of a kind that is not read",
            "give the video file itself, or convert a picture to PNG",
        )
    if is_incomplete(path):
        return _incomplete(path)
    return SourceError(f"{path} is not a video or image that can be read", "give a video or images")


def _incomplete(path: Path) -> SourceError:
    return SourceError(
        f"{path} is incomplete: its index is missing, since the recording was interrupted or the file was not"
        " transferred to its end",
        "copy it once more, or repair it with the recorder's software",
    )


def _parse(facts: Mapping[str, Any], path: Path, search_bytes: int) -> ContainerInfo:
    index, frame = facts["main_video"], facts["first_frame"]
    streams = tuple(parse_stream(part, frame if part["index"] == index else None) for part in facts["streams"])
    video = next((stream for stream in streams if isinstance(stream, VideoStream) and stream.index == index), None)
    if video is None:
        unknown = [stream for stream in streams if stream.kind is StreamKind.VIDEO and not stream.is_cover]
        if unknown:
            tag = f" ({unknown[0].codec_tag})" if unknown[0].codec_tag else ""
            raise SourceError(f"the video of {path} is in a codec that is not known{tag}", "convert it to H.264")
        if is_incomplete(path):
            raise _incomplete(path)
        raise SourceError(f"{path} has no video stream", "give a video or images")
    check_frame_pixels(str(path), video.width, video.height)
    start, duration = facts["start"], facts["duration"]
    return ContainerInfo(
        container=str(facts["container"]),
        streams=streams,
        video=video,
        start_seconds=Fraction(int(start or 0), 1_000_000),
        duration_seconds=None if duration is None else Fraction(int(duration), 1_000_000),
        chapters=tuple(parse_chapter(part) for part in facts["chapters"]),
        metadata=parse_tags(facts["metadata"]),
        may_jump=bool(int(facts["flags"]) & _TS_DISCONT),
        search_bytes=search_bytes,
    )
