"""Metadata of media files: their streams, and the time stamps of all packets. Nothing is decoded here."""

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vidnst.errors import SourceError
from vidnst.media import ffmpeg
from vidnst.media.input.limits import MAX_FRAMES, check_frame_count, check_frame_pixels

_CONTAINERS = (
    "mov matroska avi mpegts mpegtsraw mpeg mpegvideo m4v h261 h263 h264 hevc vvc evc av1 obu ivf flv live_flv asf"
    " ogg gif apng webp_anim mjpeg mpjpeg mjpeg_2000 mxf gxf lxf wtv dv dhav rm nut vc1 dirac cavsvideo avs2 avs3"
    " dnxhd r3d nsv nuv yuv4mpegpipe swf roq smk bink flic film_cpk idcin mlv"
)
INPUT_OPTIONS = (*ffmpeg.PROTOCOL_OPTIONS, "-format_whitelist", _CONTAINERS.replace(" ", ","))
"""Input options for untrusted files: real containers only. Playlists would read other files, wait for updates (a live
HLS list blocks ffmpeg for minutes), or access the network."""

_HEADER_SECONDS = 120

_MATRICES = frozenset({"bt709", "bt470bg", "smpte170m", "smpte240m", "fcc", "bt2020nc", "bt2020c", "ycgco", "gbr"})
_DISCARD = 0x4  # AV_PKT_FLAG_DISCARD: needed to decode others, but not shown (before the start of an edit list)

_MAX_LINE_BYTES = 128
_HEADING_LINES = 16
"""Most lines that `framecrc` writes before the packets."""
_NO_PTS = -(2**63)  # AV_NOPTS_VALUE

_INPUT = re.compile(r"^Input #0, (?P<format>[\w,]+), from ", re.MULTILINE)
_TIMES = re.compile(r"^  Duration: (?P<duration>N/A|[\d:.]+)(?:, start: (?P<start>-?[\d.]+))?", re.MULTILINE)
_STREAM = re.compile(r"^  Stream #0:(?P<index>\d+)(?:\[\w+\])?(?:\([^)]*\))?: (?P<type>Video|Audio): (?P<rest>.*)$")
_ROTATION = re.compile(r"^\s+Display Matrix: rotation of (?P<degrees>-?[\d.]+) degrees")
_SIZE = re.compile(r", (?P<width>\d{1,5})x(?P<height>\d{1,5})(?: \[SAR (?P<sar>\d+:\d+) |, | |$)")
_ASPECT = re.compile(r"\bSAR (?P<sar>\d+:\d+)")
_RATE = re.compile(r", (?P<value>[\d.]+)(?P<thousands>k?) (?P<unit>fps|tbr)\b")


@dataclass(frozen=True, slots=True)
class AudioStream:
    """An audio stream of a file."""

    index: int
    """Index among all streams of the file."""
    codec: str
    layout: str
    """ffmpeg's name of the channel layout: mono, stereo, 5.1(side), ...; empty if unknown."""


@dataclass(frozen=True, slots=True)
class ContainerInfo:
    """A file's first video stream and its audio streams, as ffmpeg reports them."""

    container: str
    """Names of the demuxer, separated by commas."""
    video_index: int
    """Index of the video stream among all streams."""
    video_codec: str
    pixel_format: str
    width: int
    """Stored width, before rotation."""
    height: int
    """Stored height, before rotation."""
    sample_aspect: Fraction
    """Width of a stored pixel over its height; 1 if unknown."""
    colour_matrix: str | None
    colour_range: str | None
    """tv (limited) or pc (full)."""
    rotation_degrees: int
    """Clockwise rotation that makes frames upright: 0, 90, 180 or 270."""
    rates: tuple[Fraction, ...]
    """Frame rates in the header, rounded to two decimals; may be empty."""
    start_seconds: Fraction
    """Earliest start of all streams."""
    duration_seconds: Fraction | None
    audio: tuple[AudioStream, ...]


@dataclass(frozen=True, slots=True)
class PacketTimes:
    """Time stamps of the shown packets of a video stream, in the order of the file."""

    time_base: Fraction
    """Seconds per tick."""
    pts: tuple[int, ...]
    """Presentation times in ticks, on the file's own clock."""
    durations: tuple[int, ...]
    """Durations in ticks; 0 if unknown."""


def read_container(path: Path) -> ContainerInfo:
    """Read a file's headers with ffmpeg (imageio-ffmpeg does not include ffprobe).

    Raises:
        SourceError: the file does not exist, is not a video, or has no video stream.
    """
    try:
        exists = path.is_file()
    except OSError as error:  # for example, the name is too long
        raise SourceError(f"{str(path)[:200]} cannot be accessed: {error.strerror}", "check the name") from error
    if not exists:
        raise SourceError(f"there is no file {path}", "check the name")
    # The exit status is 1, since no output is given.
    status, _, text = ffmpeg.run_and_capture([*INPUT_OPTIONS, "-i", ffmpeg.file_url(path)], seconds=_HEADER_SECONDS)
    if status < 0:
        raise SourceError(f"the header of {path} was not read in {_HEADER_SECONDS} s", "check the file")
    header = _INPUT.search(text)
    if header is None and "Format not on whitelist" in text:
        raise SourceError(f"{path} is not a video; it may be a playlist or audio", "give the video file itself")
    if header is None:
        raise SourceError(f"{path} is not a video or image that can be read", "give a video or images")
    return _parse(text, header["format"], path)


def _parse(text: str, container: str, path: Path) -> ContainerInfo:
    streams: list[tuple[int, str, str]] = []
    rotations: dict[int, int] = {}
    for line in text[text.index("Input #0") :].splitlines():
        if match := _STREAM.match(line):
            streams.append((int(match["index"]), match["type"], match["rest"]))
        elif streams and (match := _ROTATION.match(line)):
            rotations[streams[-1][0]] = round(-float(match["degrees"]) / 90) * 90 % 360
    videos = [(index, rest) for index, kind, rest in streams if kind == "Video" and "(attached pic)" not in rest]
    sized = [(index, rest, size) for index, rest in videos if (size := _SIZE.search(rest))]
    if not sized:
        raise SourceError(f"{path} has no video stream", "give a video or images")
    index, rest, size = sized[0]
    check_frame_pixels(str(path), int(size["width"]), int(size["height"]))
    fields = _fields(rest)
    matrix, colour_range, pixel_format = _colour(fields[1] if len(fields) > 1 else "")
    times = _TIMES.search(text)
    return ContainerInfo(
        container=container,
        video_index=index,
        video_codec=fields[0].split()[0],
        pixel_format=pixel_format,
        width=int(size["width"]),
        height=int(size["height"]),
        sample_aspect=_sample_aspect(rest),
        colour_matrix=matrix,
        colour_range=colour_range,
        rotation_degrees=rotations.get(index, 0),
        rates=_rates(rest),
        start_seconds=Fraction(times["start"]) if times and times["start"] else Fraction(0),
        duration_seconds=_duration(times["duration"]) if times else None,
        audio=tuple(_audio(number, attributes) for number, kind, attributes in streams if kind == "Audio"),
    )


def _fields(rest: str) -> list[str]:
    """Split a stream's description at the commas outside of brackets."""
    return re.split(r",\s*(?![^()]*\))", rest)


def _colour(field: str) -> tuple[str | None, str | None, str]:
    """Parse matrix, range and pixel format of `yuv420p(tv, bt709/bt470bg/unknown, progressive)`."""
    pixel_format, _, bracket = field.partition("(")
    attributes = [attribute.strip() for attribute in bracket.rstrip(")").split(",")]
    matrix = next((name for name in (text.split("/")[0] for text in attributes) if name in _MATRICES), None)
    colour_range = next((attribute for attribute in attributes if attribute in ("tv", "pc")), None)
    return matrix, colour_range, pixel_format.strip()


def _sample_aspect(rest: str) -> Fraction:
    if match := _ASPECT.search(rest):
        width, height = map(int, match["sar"].split(":"))
        if width and height:
            return Fraction(width, height)
    return Fraction(1)


def _rates(rest: str) -> tuple[Fraction, ...]:
    rates = {
        match["unit"]: Fraction(match["value"]) * (1000 if match["thousands"] else 1) for match in _RATE.finditer(rest)
    }
    return tuple(dict.fromkeys(rates[unit] for unit in ("fps", "tbr") if rates.get(unit)))


def _audio(index: int, rest: str) -> AudioStream:
    fields = _fields(rest)
    return AudioStream(index, codec=fields[0].split()[0], layout=fields[2].strip() if len(fields) > 2 else "")


def _duration(text: str) -> Fraction | None:
    if text == "N/A":
        return None
    hours, minutes, seconds = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)


def read_packet_times(path: Path, video_index: int) -> PacketTimes:
    """Read the time stamps of all packets of one stream, in ticks of the file's clock.

    Packets that only serve to decode others (before the start of an edit list) and packets without a time stamp are
    left out.

    Raises:
        SourceError: the stream cannot be read.
    """
    args = ["-loglevel", "error", *INPUT_OPTIONS, "-copyts", "-i", ffmpeg.file_url(path)]
    args += ["-map", f"0:{video_index}", "-c", "copy", "-copyinkf", "-f", "framecrc", "pipe:1"]
    max_bytes = MAX_FRAMES * _MAX_LINE_BYTES
    _, out, err = ffmpeg.run_and_capture(args, max_bytes=max_bytes)
    check_frame_count(str(path), MAX_FRAMES + 1 if len(out) == max_bytes else out.count(b"\n") - _HEADING_LINES)
    text = out.decode(errors="replace")
    base = re.search(r"^#tb 0: (\d+/\d+)$", text, re.MULTILINE)
    if base is None:
        raise SourceError(f"the video stream of {path} cannot be read: {err.strip()[-300:]}", "check the file")
    pts, durations = [], []
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        fields = [item.strip() for item in line.split(",")]
        flags = next((int(item[2:], 16) for item in fields[6:] if item.startswith("F=")), 0)
        if not flags & _DISCARD and int(fields[2]) != _NO_PTS:
            pts.append(int(fields[2]))
            durations.append(max(0, int(fields[3])))
    return PacketTimes(Fraction(base[1]), tuple(pts), tuple(durations))
