"""What a media file says about itself: its streams, and the time stamp of every packet. Nothing is decoded here."""

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
"""Options for a file from a stranger: real containers only. Play lists would pull in other files, wait for more of
themselves (a live HLS list keeps ffmpeg for minutes), or call the network.
"""

_HEADER_SECONDS = 120

_MATRICES = frozenset({"bt709", "bt470bg", "smpte170m", "smpte240m", "fcc", "bt2020nc", "bt2020c", "ycgco", "gbr"})
_DISCARD = 0x4  # AV_PKT_FLAG_DISCARD: decoded for others' sake, not shown (before the start of an edit list)

_LONGEST_LINE_BYTES = 128
_HEADING_LINES = 16
"""At most, of what `framecrc` writes before the packets."""
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
    """One audio stream."""

    index: int
    """Its number among all streams of the file."""
    codec: str
    layout: str
    """Channel layout as ffmpeg names it: mono, stereo, 5.1(side), ...; empty where unknown."""


@dataclass(frozen=True, slots=True)
class ContainerInfo:
    """What ffmpeg says of a file: its first moving picture and its audio."""

    container: str
    """Names of the demuxer, with commas."""
    video_index: int
    """Number of the video stream among all streams."""
    video_codec: str
    pixel_format: str
    width: int
    """As stored, before rotation."""
    height: int
    """As stored, before rotation."""
    sample_aspect: Fraction
    """Width of a stored pixel over its height; 1 where the file does not say."""
    colour_matrix: str | None
    colour_range: str | None
    """tv (limited) or pc (full)."""
    rotation_degrees: int
    """Clockwise turn that makes the picture upright: 0, 90, 180 or 270."""
    rates: tuple[Fraction, ...]
    """The frame rates that the header suggests, rounded to two decimals; none where it has none."""
    start_seconds: Fraction
    """The earliest start of all streams."""
    duration_seconds: Fraction | None
    audio: tuple[AudioStream, ...]


@dataclass(frozen=True, slots=True)
class PacketTimes:
    """Time stamps of the packets of a video stream that are to be shown, in the order of the file."""

    time_base: Fraction
    """Seconds of one tick."""
    pts: tuple[int, ...]
    """Presentation times in ticks, on the file's own clock."""
    durations: tuple[int, ...]
    """In ticks; 0 where unknown."""


def read_container(path: Path) -> ContainerInfo:
    """Read the headers of `path` with ffmpeg (which here has no ffprobe beside it).

    Raises:
        SourceError: not there, not a video file, or without a moving picture.
    """
    try:
        there = path.is_file()
    except OSError as error:  # a name that is too long
        raise SourceError(f"{str(path)[:200]} cannot be looked for: {error.strerror}", "check the name") from error
    if not there:
        raise SourceError(f"there is no file {path}", "check the name")
    # Exit status 1 is usual: no output was asked for.
    status, _, text = ffmpeg.run_and_capture([*INPUT_OPTIONS, "-i", ffmpeg.file_url(path)], seconds=_HEADER_SECONDS)
    if status < 0:
        raise SourceError(f"the header of {path} was not read in {_HEADER_SECONDS} s", "check the file")
    opened = _INPUT.search(text)
    if opened is None and "Format not on whitelist" in text:
        raise SourceError(f"{path} is no video, but perhaps a play list or sound", "give the video file itself")
    if opened is None:
        raise SourceError(f"{path} is not a video or picture that can be read", "give a video or pictures")
    return _parse(text, opened["format"], path)


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
        raise SourceError(f"{path} has no video stream", "give a video or pictures")
    index, rest, size = sized[0]
    check_frame_pixels(str(path), int(size["width"]), int(size["height"]))
    matrix, colour_range, pixel_format = _colour(rest)
    times = _TIMES.search(text)
    return ContainerInfo(
        container=container,
        video_index=index,
        video_codec=rest.split()[0].rstrip(","),
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
        audio=tuple(_audio(number, words) for number, kind, words in streams if kind == "Audio"),
    )


def _colour(rest: str) -> tuple[str | None, str | None, str]:
    """Matrix, range and pixel format from `h264 (High), yuv420p(tv, bt709/bt470bg/unknown, progressive), ...`."""
    # The pixel format is the first item after the codec, whose own brackets may hold commas.
    flat = re.sub(r"^\S+( \([^)]*\))*", "", rest).lstrip(", ")
    name, _, bracket = flat.partition("(") if "(" in flat.split(",")[0] else (flat.split(",")[0], "", "")
    words = [word.strip() for word in bracket.partition(")")[0].split(",")] if bracket else []
    matrix = next((word.split("/")[0] for word in words if word.split("/")[0] in _MATRICES), None)
    colour_range = next((word for word in words if word in ("tv", "pc")), None)
    return matrix, colour_range, name.strip()


def _sample_aspect(rest: str) -> Fraction:
    if match := _ASPECT.search(rest):
        width, height = map(int, match["sar"].split(":"))
        if width and height:
            return Fraction(width, height)
    return Fraction(1)


def _rates(rest: str) -> tuple[Fraction, ...]:
    found = {match["unit"]: match for match in _RATE.finditer(rest)}
    values = (
        Fraction(found[unit]["value"]) * (1000 if found[unit]["thousands"] else 1)
        for unit in ("fps", "tbr")
        if unit in found
    )
    return tuple(dict.fromkeys(value for value in values if value > 0))


def _audio(index: int, rest: str) -> AudioStream:
    parts = [part.strip() for part in re.sub(r"^(\S+)( \([^)]*\))*", r"\1", rest).split(",")]
    layout = parts[2] if len(parts) > 2 else ""
    return AudioStream(index=index, codec=parts[0].split()[0], layout=layout)


def _duration(text: str) -> Fraction | None:
    if text == "N/A":
        return None
    hours, minutes, seconds = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)


def read_packet_times(path: Path, video_index: int) -> PacketTimes:
    """Time stamps of all packets of one stream, as rational numbers of the file's own clock.

    Packets that are only there to decode others (before the start of an edit list) and packets without a time stamp
    are left out.

    Raises:
        SourceError: the stream cannot be read.
    """
    args = ["-loglevel", "error", *INPUT_OPTIONS, "-copyts", "-i", ffmpeg.file_url(path)]
    args += ["-map", f"0:{video_index}", "-c", "copy", "-copyinkf", "-f", "framecrc", "pipe:1"]
    max_bytes = MAX_FRAMES * _LONGEST_LINE_BYTES
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
