"""Shot detection by PySceneDetect's detectors on downscaled frames."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from scenedetect import AdaptiveDetector, ContentDetector, FrameTimecode

from vidnst.errors import RangeError
from vidnst.frames import ClipInfo, Pixels, Shot, SourceKind, to_bits
from vidnst.media.input.frame_reader import FrameReader, fit_size
from vidnst.processes.parallel import ordered_results, thread_count

CutDetection: TypeAlias = Literal["auto", "none", "content", "adaptive"] | tuple[int, ...]

_LONGEST_SIDE_PX = 256
"""Size in pixels of the analysed frames: cuts are as clear there, and noise is gone."""

_SEGMENT_FRAMES = 200
"""Frames per decoder: it skips earlier frames without converting them, which takes longer than decoding."""

_MAX_DECODERS = 4
"""Most parallel decoders; each has threads and reference frames of its own."""

_PIXEL_BYTES = 32
"""Approximate memory of a decoder per pixel of a frame."""
_MEMORY_BYTES = 1 << 29
"""Most memory of all decoders."""

_MIN_SHOT_FRAMES = 5
"""Least frames of a shot; what is shorter (flashes) is merged into the shot around it."""


def find_shots(
    clip: ClipInfo,
    *,
    start: int,
    end: int,
    method: CutDetection = "auto",
    on_progress: Callable[[int], None] | None = None,
) -> list[Shot]:
    """Split the frames `start <= index < end` into shots.

    Args:
        method: `content` cuts where successive frames differ much, `adaptive` where they differ much more than the
            frames around them (so that fast motion is no cut); `none` is one shot; numbers are the first frames of new
            shots, of which those inside the range count; `auto` is `adaptive` for videos, `none` for images.
        on_progress: called regularly with the number of analysed frames.

    Raises:
        RangeError: a given cut is outside the clip.
        BadFrameError: the first frame does not decode (other bad frames are ignored here).
    """
    if isinstance(method, tuple):
        cuts = _check_cuts(method, clip)
    else:
        if method == "auto":
            is_sequence = clip.kind is SourceKind.PICTURES or clip.video_codec == "tiff"  # pages are shot one by one
            method = "none" if is_sequence else "adaptive"
        cuts = _detect_cuts(clip, start, end, method, on_progress)
    edges = [start, *sorted({cut for cut in cuts if start < cut < end}), end]
    return [Shot(first, stop) for first, stop in pairwise(edges)]


def _check_cuts(cuts: tuple[int, ...], clip: ClipInfo) -> list[int]:
    for cut in cuts:
        if not 0 <= cut < clip.frame_count:
            raise RangeError(
                f"the cut at frame {cut} is outside {clip.source}", f"it has frames 0 to {clip.frame_count - 1}"
            )
    return list(cuts)


def _detect_cuts(
    clip: ClipInfo, start: int, end: int, method: str, on_progress: Callable[[int], None] | None
) -> list[int]:
    if method == "none" or end - start < 2 * _MIN_SHOT_FRAMES:
        return []
    detector = _detector(method)
    cuts: list[int] = []
    for index, image in enumerate(_decode_small(clip, start, end), start):
        # A constant rate suffices: the detectors only compare and subtract frame numbers.
        cuts += [cut.frame_num for cut in detector.process_frame(FrameTimecode(index, fps=clip.rate), image)]
        if on_progress and (index - start) % 50 == 49:
            on_progress(index - start + 1)
    return cuts


def _decode_small(clip: ClipInfo, start: int, end: int) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames of a range, downscaled, in BGR order; segments of it are decoded in parallel."""
    size = fit_size(clip.width, clip.height, _LONGEST_SIDE_PX)

    def segment(first: int) -> list[NDArray[np.uint8]]:
        stop = min(first + _SEGMENT_FRAMES, end)
        with FrameReader(clip, start=first, end=stop, size=size, on_bad_frame="repeat") as reader:
            return [_bgr(frame.pixels) for frame in reader]

    tasks = (partial(segment, first) for first in range(start, end, _SEGMENT_FRAMES))
    threads = min(_MAX_DECODERS, thread_count(clip.width * clip.height * _PIXEL_BYTES, _MEMORY_BYTES))
    with ThreadPoolExecutor(threads) as pool, closing(ordered_results(tasks, pool, ahead=threads)) as segments:
        for frames in segments:
            yield from frames


def _bgr(pixels: Pixels) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(to_bits(pixels, 8), cv2.COLOR_RGB2BGR), np.uint8)


def _detector(method: str) -> Any:
    kind = AdaptiveDetector if method == "adaptive" else ContentDetector
    return kind(min_scene_len=_MIN_SHOT_FRAMES)
