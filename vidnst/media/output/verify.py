"""Verification of an encoded output before it is renamed."""

from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

from vidnst.errors import CancelledError, OutputError, SourceError
from vidnst.media.input.container import read_container
from vidnst.media.input.picture_probe import probe_pictures
from vidnst.media.input.probe import probe_video
from vidnst.media.input.stream_facts import StreamInfo

_REMEDY = "the finished frames are kept; resume to encode again, or take another format"
_READ_AS_PICTURES = frozenset({".webp", ".apng"})
"""Animations that libav does not decode: WebP, and PNG of 16 bits with transparency, whose frames are blended."""
_CLOCK_SECONDS = {
    ".gif": Fraction(1, 100),
    ".webp": Fraction(1, 1000),
    ".mkv": Fraction(1, 1000),
    ".webm": Fraction(1, 1000),
}
_FINE_CLOCK_SECONDS = Fraction(1, 2000)

_Content: TypeAlias = tuple[Sequence[Fraction], Fraction, tuple[int, int]]
"""Time stamps, duration of the last frame, and size of an output."""


def verify_output(
    path: Path,
    pts_seconds: Sequence[Fraction],
    last_duration_seconds: Fraction,
    *,
    size: tuple[int, int],
    audio_streams: int = 0,
    cancelled: Callable[[], bool] | None = None,
) -> None:
    """Decode an encoded file and compare it with the plan.

    Args:
        pts_seconds: planned time of each frame, of which only the distances from the first count.
        last_duration_seconds: planned duration of the last frame.
        size: width and height in pixels.
        audio_streams: number of audio streams; 0 is not checked.
        cancelled: polled regularly; True stops.

    Raises:
        OutputError: the frame count, a time stamp, the duration, the size or the audio is not as planned.
        CancelledError: `cancelled` returned True.
    """
    actual_pts, actual_last, actual_size = _probe_output(path, cancelled)
    clock = _CLOCK_SECONDS.get(path.suffix.lower(), _FINE_CLOCK_SECONDS)
    if len(actual_pts) != len(pts_seconds):
        raise OutputError(f"{path.name} has {len(actual_pts)} frames instead of {len(pts_seconds)}", _REMEDY)
    if actual_size != size:
        found, wanted = "x".join(map(str, actual_size)), "x".join(map(str, size))
        raise OutputError(f"{path.name} has {found} pixels instead of {wanted}", _REMEDY)
    for index, (actual, at) in enumerate(zip(actual_pts, pts_seconds, strict=True)):
        error = abs((actual - actual_pts[0]) - (at - pts_seconds[0]))
        if error > clock:
            raise OutputError(f"frame {index} of {path.name} is {float(error) * 1000:.1f} ms from its time", _REMEDY)
    if len(pts_seconds) == 1 and path.suffix.lower() in _READ_AS_PICTURES:
        return  # what is left of an animation is a picture, which has no duration
    duration = pts_seconds[-1] - pts_seconds[0] + last_duration_seconds
    longer = actual_pts[-1] - actual_pts[0] + actual_last - duration
    if abs(longer) > max(last_duration_seconds, clock):
        raise OutputError(f"{path.name} is {float(longer):+.3f} s longer than planned", _REMEDY)
    if audio_streams and (streams := len(read_container(path).audio)) != audio_streams:
        raise OutputError(f"{path.name} has {streams} audio streams instead of {audio_streams}", _REMEDY)


def verify_streams(path: Path, copied: Sequence[StreamInfo]) -> None:
    """Compare the streams of an encoded file with those that were to be copied.

    Raises:
        OutputError: a stream is missing.
    """
    if not copied:
        return
    wanted = Counter((stream.kind, stream.is_cover) for stream in copied)
    found = Counter((stream.kind, stream.is_cover) for stream in read_container(path).streams)
    for (kind, is_cover), count in wanted.items():
        if found[kind, is_cover] < count:
            name = "cover" if is_cover else kind
            raise OutputError(f"{path.name} has {found[kind, is_cover]} {name} streams instead of {count}", _REMEDY)


def _probe_output(path: Path, cancelled: Callable[[], bool] | None) -> _Content:
    def stop_if_cancelled(seen: int) -> None:
        if cancelled and cancelled():
            raise CancelledError("stopped while the output was verified")

    try:
        if path.suffix.lower() in _READ_AS_PICTURES:
            clip = probe_pictures([path], name=path.name, on_progress=stop_if_cancelled)
        else:
            clip = probe_video(path, on_progress=stop_if_cancelled)
    except SourceError as error:
        raise OutputError(f"the encoded file does not decode: {error.what}", _REMEDY) from error
    if clip.bad_frames:
        raise OutputError(f"frame {clip.bad_frames[0]} of {path.name} does not decode", _REMEDY)
    return clip.pts_seconds, clip.last_duration_seconds, (clip.width, clip.height)
