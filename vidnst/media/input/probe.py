"""What a source holds, found by decoding it once from end to end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from vidnst.errors import SourceError
from vidnst.frames import ClipInfo, SourceKind
from vidnst.media import ffmpeg, images
from vidnst.media.input.container import INPUT_OPTIONS, ContainerInfo, PacketTimes, read_container, read_packet_times
from vidnst.media.input.frame_rate import standard_rate, steady_rate
from vidnst.media.input.limits import check_animation, check_frame_count
from vidnst.media.input.video_capture import VideoCapture

_USUAL_RATE = Fraction(25)
"""Where a file has neither time stamps nor a rate."""

_ANIMATIONS = frozenset({"gif", "apng"})
_CUT_ANYWHERE = frozenset({"mpegts", "mpegtsraw", "mpeg", "mpegvideo", "h264", "hevc"})
"""Containers of recordings, which often begin in the middle of a group of pictures."""


def probe(
    source: str | Path | Sequence[str | Path],
    *,
    fps: Fraction = Fraction(25),
    on_progress: Callable[[int], None] | None = None,
) -> ClipInfo:
    """Look at every frame of a video, or at every picture's header, and say what the source holds.

    Args:
        source: a video, a picture, a folder, a glob, a printf pattern (`img_%04d.png`), or several pictures.
        fps: frames per second of pictures.
        on_progress: called now and then with the number of frames seen so far.

    Raises:
        SourceError: missing, not decodable, empty, of mixed sizes, or several videos.
    """
    if isinstance(source, str | Path):
        found = images.list_images(source)
        if found is None:
            return probe_video(Path(source).expanduser(), on_progress=on_progress)
        return probe_pictures(found, name=str(source), fps=fps, on_progress=on_progress)
    parts = list(source)
    if len(parts) == 1:
        return probe(parts[0], fps=fps, on_progress=on_progress)
    return probe_pictures(_several(parts), name=_joined(parts), fps=fps, on_progress=on_progress)


def _several(parts: Sequence[str | Path]) -> tuple[Path, ...]:
    if not parts:
        raise SourceError("no source was given", "name a video or pictures")
    found: list[Path] = []
    for part in parts:
        paths = images.list_images(part)
        if paths is None:
            raise SourceError(f"{part} is not a picture", "give one video, or several pictures")
        found += paths
        check_frame_count(str(part), len(found))
    return tuple(sorted(found, key=images.natural_sort_key))


def _joined(parts: Sequence[str | Path]) -> str:
    return f"{parts[0]} and {len(parts) - 1} more"


def probe_pictures(
    paths: Sequence[Path],
    *,
    name: str,
    fps: Fraction = Fraction(25),
    on_progress: Callable[[int], None] | None = None,
) -> ClipInfo:
    """The clip that pictures make, each shown for 1/fps seconds.

    Raises:
        SourceError: one cannot be read, or is of another size than the first.
    """
    first = images.read_image_header(paths[0])
    for number, path in enumerate(paths[1:], start=2):
        size = images.read_image_header(path)
        if (size.width, size.height) != (first.width, first.height):
            raise SourceError(
                f"{paths[0]} has {first.width}x{first.height} pixels but {path} has {size.width}x{size.height}",
                "give pictures of one size",
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
    """Decode a video from end to end and compare what comes out with what the packets promise.

    Raises:
        SourceError: missing, not a video, or nothing in it decodes.
    """
    info = read_container(path)
    promised = read_packet_times(path, info.video_index)
    if info.container in _ANIMATIONS:
        check_animation(str(path), len(promised.pts), info.width, info.height)
    seen = _decode_all(path, promised.time_base, on_progress)
    times = _times(seen, promised, info, path)
    return ClipInfo(
        source=str(path),
        kind=SourceKind.VIDEO,
        paths=(path,),
        width=seen.width,
        height=seen.height,
        rate=times.rate,
        pts_seconds=times.pts_seconds,
        last_duration_seconds=times.last_duration_seconds,
        variable_rate=times.variable,
        bit_depth=8,
        video_codec=info.video_codec,
        pixel_format=info.pixel_format,
        colour_matrix=info.colour_matrix,
        colour_range=info.colour_range,
        rotation_degrees=info.rotation_degrees,
        audio_codec=info.audio[0].codec if info.audio else None,
        bad_frames=times.bad,
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the decoder gave."""

    ticks: list[int]
    """Time stamps on the decoder's clock, which starts with the stream."""
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class _Times:
    rate: Fraction
    pts_seconds: tuple[Fraction, ...]
    last_duration_seconds: Fraction
    variable: bool
    bad: tuple[int, ...] = ()


def _decode_all(path: Path, tick_seconds: Fraction, on_progress: Callable[[int], None] | None) -> _Seen:
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
    return _Seen(ticks, width, height)


def _times(seen: _Seen, promised: PacketTimes, info: ContainerInfo, path: Path) -> _Times:
    if any(later <= earlier for earlier, later in pairwise(seen.ticks)):
        return _counted(len(seen.ticks), info)
    shift = _shift(seen.ticks, promised.pts)
    shown = [tick + shift for tick in seen.ticks]
    missing = _missing(shown, promised, info, path)
    ticks = sorted({*shown, *missing})
    tick = promised.time_base
    pts = tuple(number * tick for number in ticks)
    lasting = max(
        (length for at, length in zip(promised.pts, promised.durations, strict=True) if at == ticks[-1]), default=0
    )
    bad = tuple(index for index, at in enumerate(ticks) if at in missing)
    if len(pts) == 1:
        rate = standard_rate(info.rates[0]) if info.rates else (1 / (lasting * tick) if lasting else _USUAL_RATE)
        return _Times(rate, pts, lasting * tick or 1 / rate, variable=False, bad=bad)
    steady = steady_rate(pts, tick_seconds=tick, hints=info.rates)
    if steady is not None:
        even = tuple(pts[0] + number / steady for number in range(len(pts)))
        return _Times(steady, even, 1 / steady, variable=False, bad=bad)
    last = lasting * tick or pts[-1] - pts[-2]
    return _Times(len(pts) / (pts[-1] - pts[0] + last), pts, last, variable=True, bad=bad)


def _counted(count: int, info: ContainerInfo) -> _Times:
    """Times of a file that has none worth the name (raw H.264, B-frames in AVI): counted at the header's rate."""
    rate = standard_rate(info.rates[0]) if info.rates else _USUAL_RATE
    return _Times(rate, tuple(number / rate for number in range(count)), 1 / rate, variable=False)


def _shift(seen: Sequence[int], promised: Sequence[int]) -> int:
    """What to add to the decoder's clock to get the file's, so that every seen frame falls on a packet.

    The decoder's clock starts with the stream, which is its first packet, whether or not that decodes; where the
    container has other ideas of its start, the first seen frame is laid on one of the first packets.
    """
    there = set(promised)
    if not there:
        return 0
    first = min(there)
    for shift in (first, *(start - seen[0] for start in sorted(there)[:64])):
        if all(tick + shift in there for tick in seen):
            return shift
    return first - seen[0]


def _missing(shown: Sequence[int], promised: PacketTimes, info: ContainerInfo, path: Path) -> set[int]:
    """Time stamps of frames that are in the file but did not decode.

    Some packets are no pictures of their own (hidden reference frames), so one without a picture counts only where
    ffmpeg, decoding the same file, complains too.
    """
    missing = set(promised.pts) - set(shown)
    if info.container in _CUT_ANYWHERE or (promised.pts and promised.pts[0] in shown):
        missing = {at for at in missing if at > shown[0]}  # what comes earlier leans on frames that were cut off
    if not missing:
        return set()
    args = ["-loglevel", "error", *INPUT_OPTIONS, "-i", ffmpeg.file_url(path)]
    _, _, complaints = ffmpeg.run_and_capture([*args, "-map", f"0:{info.video_index}", "-f", "null", "-"])
    return missing if complaints.strip() else set()
