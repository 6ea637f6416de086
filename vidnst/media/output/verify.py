"""Looking again at what was written, before it gets its name."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

from vidnst.errors import CancelledError, OutputError, SourceError
from vidnst.frames import ClipInfo
from vidnst.media.input.container import read_container, read_packet_times
from vidnst.media.input.probe import probe_video

_REMEDY = "the finished frames are kept; resume to encode again, or take another format"
_CLOCK_SECONDS = {
    ".gif": Fraction(1, 100),
    ".webp": Fraction(1, 1000),
    ".mkv": Fraction(1, 1000),
    ".webm": Fraction(1, 1000),
}
_FINE_CLOCK_SECONDS = Fraction(1, 2000)


def verify_output(
    path: Path,
    *,
    pts_seconds: Sequence[Fraction],
    last_duration_seconds: Fraction,
    size: tuple[int, int],
    sound: int = 0,
    cancelled: Callable[[], bool] | None = None,
) -> None:
    """Decode a finished file and compare it with the plan.

    Args:
        pts_seconds: when each frame is to appear; only the distances from the first count.
        last_duration_seconds: how long the last one is to stay.
        size: width and height in pixels.
        sound: number of audio streams.
        cancelled: asked now and then; true stops.

    Raises:
        OutputError: frame count, a time stamp, the duration, the size or the sound is not as planned.
        CancelledError: `cancelled` said so.
    """
    found_pts, found_last, found_size = _look(path, cancelled)
    clock = _CLOCK_SECONDS.get(path.suffix.lower(), _FINE_CLOCK_SECONDS)
    if len(found_pts) != len(pts_seconds):
        raise OutputError(f"{path.name} has {len(found_pts)} frames instead of {len(pts_seconds)}", _REMEDY)
    if found_size != size:
        found, wanted = "x".join(map(str, found_size)), "x".join(map(str, size))
        raise OutputError(f"{path.name} has {found} pixels instead of {wanted}", _REMEDY)
    for index, (found_at, at) in enumerate(zip(found_pts, pts_seconds, strict=True)):
        away = abs((found_at - found_pts[0]) - (at - pts_seconds[0]))
        if away > clock:
            raise OutputError(f"frame {index} of {path.name} is {float(away) * 1000:.1f} ms from its time", _REMEDY)
    longer = found_pts[-1] - found_pts[0] + found_last - (pts_seconds[-1] - pts_seconds[0] + last_duration_seconds)
    if abs(longer) > max(last_duration_seconds, clock):
        raise OutputError(f"{path.name} is {float(longer):+.3f} s longer than planned", _REMEDY)
    if sound and (streams := len(read_container(path).audio)) != sound:
        raise OutputError(f"{path.name} has {streams} audio streams instead of {sound}", _REMEDY)


def _look(path: Path, cancelled: Callable[[], bool] | None) -> tuple[Sequence[Fraction], Fraction, tuple[int, int]]:
    def go_on(seen: int) -> None:
        if cancelled and cancelled():
            raise CancelledError("stopped while the output was looked at")

    try:
        if path.suffix.lower() == ".webp":  # OpenCV's ffmpeg decodes no animated WebP
            return _look_at_packets(path)
        clip = probe_video(path, on_progress=go_on)
    except SourceError as error:
        raise OutputError(f"the encoded file does not decode: {error.what}", _REMEDY) from error
    if clip.bad_frames:
        raise OutputError(f"frame {clip.bad_frames[0]} of {path.name} does not decode", _REMEDY)
    return clip.pts_seconds, clip.last_duration_seconds, (clip.width, clip.height)


def _look_at_packets(path: Path) -> tuple[Sequence[Fraction], Fraction, tuple[int, int]]:
    info = read_container(path)
    stored = read_packet_times(path, info.video_index)
    pts = [at * stored.time_base for at in stored.pts]
    last = stored.durations[-1] * stored.time_base if stored.durations else Fraction(0)
    return pts, last, (info.width, info.height)


def planned_times(clip: ClipInfo, start: int, end: int) -> tuple[tuple[Fraction, ...], Fraction]:
    """Time stamps of a part of a clip, and how long its last frame stays."""
    return clip.pts_seconds[start:end], clip.frame_duration_seconds(end - 1)
