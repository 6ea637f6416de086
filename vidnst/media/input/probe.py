"""Probing: what a source contains, determined by decoding it once from end to end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from vidnst.config import InputConfig
from vidnst.errors import SourceError
from vidnst.frames import ClipInfo, SourceKind
from vidnst.media import ffmpeg, images
from vidnst.media.input.container import INPUT_OPTIONS, ContainerInfo, PacketTimes, read_container, read_packet_times
from vidnst.media.input.frame_numbers import Missing, NumberPattern, number_images
from vidnst.media.input.frame_rate import find_constant_rate, standard_rate
from vidnst.media.input.limits import check_animation, check_frame_count
from vidnst.media.input.video_capture import VideoCapture

_DEFAULT_RATE = Fraction(25)
"""Rate of files that have neither time stamps nor a rate."""

_ANIMATIONS = frozenset({"gif", "apng"})
_RECORDING_CONTAINERS = frozenset({"mpegts", "mpegtsraw", "mpeg", "mpegvideo", "h264", "hevc"})
"""Containers of recordings, which often start in the middle of a group of pictures."""


def probe(
    source: str | Path | Sequence[str | Path],
    *,
    fps: Fraction = Fraction(25),
    missing: Missing = "error",
    transform: str = "auto",
    on_progress: Callable[[int], None] | None = None,
) -> ClipInfo:
    """Decode every frame of a video, or read every image's header, and describe the source.

    Args:
        source: a video, an image, a folder, a glob, a pattern (`img_%04d.png`, `img.####.exr`), or several images.
        fps: frames per second of images.
        missing: what becomes of missing numbers of a pattern.
        transform: what turns the values of EXR and DPX files into display values when frames are read.
        on_progress: called regularly with the number of frames probed so far.

    Raises:
        SourceError: the source is missing, not decodable, empty, of mixed sizes, or several videos.
    """
    if isinstance(source, str | Path):
        image_paths = images.list_images(source, gaps=True)
        path = Path(source).expanduser()
        if image_paths is None:
            return replace(probe_video(path, on_progress=on_progress), transform=transform)
        name, is_pattern = str(source), not path.exists() and NumberPattern.parse(path) is not None
    else:
        parts = list(source)
        if len(parts) == 1:
            return probe(parts[0], fps=fps, missing=missing, transform=transform, on_progress=on_progress)
        name, is_pattern, image_paths = f"{parts[0]} and {len(parts) - 1} more", False, _list_all(parts)
    found = number_images(image_paths, missing=missing, source=name, is_pattern=is_pattern)
    clip = probe_images(found.paths, name=name, fps=fps, on_progress=on_progress)
    return replace(clip, numbers=found.numbers, transform=transform, notes=(*clip.notes, *found.notes))


def probe_input(source: str | Path | Sequence[str | Path], settings: InputConfig) -> ClipInfo:
    """Probe a source as the settings of a render say: see `probe`."""
    return probe(source, fps=settings.fps, missing=settings.missing, transform=settings.transform)


def _list_all(parts: Sequence[str | Path]) -> tuple[Path, ...]:
    if not parts:
        raise SourceError("no source was given", "give a video or images")
    image_paths: list[Path] = []
    for part in parts:
        paths = images.list_images(part)
        if paths is None:
            raise SourceError(f"{part} is not an image", "give one video, or several images")
        image_paths += paths
        check_frame_count(str(part), len(image_paths))
    return tuple(sorted(image_paths, key=images.natural_sort_key))


def probe_images(
    paths: Sequence[Path],
    *,
    name: str,
    fps: Fraction = Fraction(25),
    on_progress: Callable[[int], None] | None = None,
) -> ClipInfo:
    """Describe an image sequence as a clip, each image shown for 1/fps seconds.

    Raises:
        SourceError: an image cannot be read, or has another size than the first.
    """
    first = images.read_image_header(paths[0])
    for number, path in enumerate(dict.fromkeys(paths[1:]), start=2):
        size = images.read_image_header(path)
        if (size.width, size.height) != (first.width, first.height):
            raise SourceError(
                f"{paths[0]} has {first.width}x{first.height} pixels but {path} has {size.width}x{size.height}",
                "give images of one size",
            )
        if on_progress and number % 100 == 0:
            on_progress(number)
    depth = images.read_image(paths[0]).dtype.itemsize * 8
    return ClipInfo(
        source=name,
        kind=SourceKind.PICTURES,
        paths=tuple(paths),
        width=first.width,
        height=first.height,
        rate=fps,
        pts_seconds=tuple(number / fps for number in range(len(paths))),
        last_duration_seconds=1 / fps,
        variable_rate=False,
        bit_depth=depth,
        video_codec=first.format.lower(),
    )


def probe_video(path: Path, *, on_progress: Callable[[int], None] | None = None) -> ClipInfo:
    """Decode a video from end to end and compare its frames with the time stamps of its packets.

    Raises:
        SourceError: the file is missing, not a video, or nothing in it decodes.
    """
    info = read_container(path)
    packet_times = read_packet_times(path, info.video_index)
    if info.container in _ANIMATIONS:
        check_animation(str(path), len(packet_times.pts), info.width, info.height)
    decoded = _decode_all(path, packet_times.time_base, on_progress)
    timing = _timing(decoded, packet_times, info, path)
    return ClipInfo(
        source=str(path),
        kind=SourceKind.VIDEO,
        paths=(path,),
        width=decoded.width,
        height=decoded.height,
        rate=timing.rate,
        pts_seconds=timing.pts_seconds,
        last_duration_seconds=timing.last_duration_seconds,
        variable_rate=timing.variable,
        bit_depth=8,
        video_codec=info.video_codec,
        pixel_format=info.pixel_format,
        colour_matrix=info.colour_matrix,
        colour_range=info.colour_range,
        rotation_degrees=info.rotation_degrees,
        audio_codec=info.audio[0].codec if info.audio else None,
        bad_frames=timing.bad,
    )


@dataclass(frozen=True, slots=True)
class _DecodedFrames:
    """The decoded frames of a video."""

    ticks: list[int]
    """Time stamps on the decoder's clock, which starts with the stream."""
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class _Timing:
    rate: Fraction
    pts_seconds: tuple[Fraction, ...]
    last_duration_seconds: Fraction
    variable: bool
    bad: tuple[int, ...] = ()


def _decode_all(path: Path, tick_seconds: Fraction, on_progress: Callable[[int], None] | None) -> _DecodedFrames:
    ticks: list[int] = []
    width = height = 0
    with VideoCapture(path) as capture:
        while capture.grab():
            if not ticks:
                pixels = capture.retrieve()
                if pixels is None:
                    break
                height, width = pixels.shape[:2]
            ticks.append(capture.ticks(tick_seconds))
            check_frame_count(str(path), len(ticks))
            if on_progress and len(ticks) % 100 == 0:
                on_progress(len(ticks))
    if not ticks:
        raise SourceError(f"no frame of {path} decodes", "check the file, or convert it to H.264")
    return _DecodedFrames(ticks, width, height)


def _timing(decoded: _DecodedFrames, packet_times: PacketTimes, info: ContainerInfo, path: Path) -> _Timing:
    if any(later <= earlier for earlier, later in pairwise(decoded.ticks)):
        return _constant_timing(len(decoded.ticks), info)
    shift = _shift(decoded.ticks, packet_times.pts)
    shown = [tick + shift for tick in decoded.ticks]
    missing = _undecoded(shown, packet_times, info, path)
    ticks = sorted({*shown, *missing})
    tick = packet_times.time_base
    pts = tuple(number * tick for number in ticks)
    durations = zip(packet_times.pts, packet_times.durations, strict=True)
    last = tick * max((duration for at, duration in durations if at == ticks[-1]), default=0)
    bad = tuple(index for index, at in enumerate(ticks) if at in missing)
    if len(pts) == 1:
        rate = standard_rate(info.rates[0]) if info.rates else 1 / last if last else _DEFAULT_RATE
        return _Timing(rate, pts, last or 1 / rate, variable=False, bad=bad)
    constant = find_constant_rate(pts, tick_seconds=tick, hints=info.rates)
    if constant is not None:
        even = tuple(pts[0] + number / constant for number in range(len(pts)))
        return _Timing(constant, even, 1 / constant, variable=False, bad=bad)
    last = last or pts[-1] - pts[-2]
    return _Timing(len(pts) / (pts[-1] - pts[0] + last), pts, last, variable=True, bad=bad)


def _constant_timing(count: int, info: ContainerInfo) -> _Timing:
    """Return times at the header's rate, for a file without usable time stamps (raw H.264, B-frames in AVI)."""
    rate = standard_rate(info.rates[0]) if info.rates else _DEFAULT_RATE
    return _Timing(rate, tuple(number / rate for number in range(count)), 1 / rate, variable=False)


def _shift(decoded: Sequence[int], packet_times: Sequence[int]) -> int:
    """Find the offset from the decoder's clock to the file's that puts every decoded frame on a packet.

    The decoder's clock starts with the first packet, even if that does not decode. If the container declares another
    start, the first decoded frame is matched with one of the first packets.
    """
    packet_ticks = set(packet_times)
    if not packet_ticks:
        return 0
    first = min(packet_ticks)
    for shift in (first, *(start - decoded[0] for start in sorted(packet_ticks)[:64])):
        if all(tick + shift in packet_ticks for tick in decoded):
            return shift
    return first - decoded[0]


def _undecoded(shown: Sequence[int], packet_times: PacketTimes, info: ContainerInfo, path: Path) -> set[int]:
    """Return the time stamps of frames that are in the file but did not decode.

    Some packets are not shown (hidden reference frames), so missing frames count only if ffmpeg, decoding the same
    file, also reports errors.
    """
    missing = set(packet_times.pts) - set(shown)
    if info.container in _RECORDING_CONTAINERS or (packet_times.pts and packet_times.pts[0] in shown):
        missing = {at for at in missing if at > shown[0]}  # earlier frames refer to frames that were cut off
    if not missing:
        return set()
    args = ["-loglevel", "error", *INPUT_OPTIONS, "-i", ffmpeg.file_url(path)]
    _, _, errors = ffmpeg.run_and_capture([*args, "-map", f"0:{info.video_index}", "-f", "null", "-"])
    return missing if errors.strip() else set()
