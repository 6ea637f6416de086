"""Where the cuts are: PySceneDetect's detectors on small versions of the frames."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.errors import RangeError
from vidnst.frames import ClipInfo, Pixels, Shot, SourceKind, to_bits
from vidnst.media.input.frame_reader import FrameReader, fit_size
from vidnst.parallel import ordered_results, thread_count

CutDetection: TypeAlias = Literal["auto", "none", "content", "adaptive"] | tuple[int, ...]

_LONGEST_SIDE = 256
"""Pixels: cuts are as plain on a small picture, and noise is gone."""

_STRETCH_FRAMES = 200
"""That one decoder looks at: what it passes over before, it need not convert, which takes longer than decoding."""

_MOST_DECODERS = 4
"""At once; each has threads and reference frames of its own."""

_PIXEL_BYTES = 32
"""Memory that a decoder takes for each pixel of a frame, about."""
_ROOM_BYTES = 1 << 29
"""For all of them."""

_SHORTEST_SHOT = 5
"""Frames: what is shorter (flashes) stays with the shot around it."""


def find_shots(
    clip: ClipInfo,
    *,
    start: int,
    end: int,
    method: CutDetection = "auto",
    on_progress: Callable[[int], None] | None = None,
) -> list[Shot]:
    """The shots of frames `start <= index < end`, which together cover exactly these.

    Args:
        method: `content` cuts where neighbouring frames differ much, `adaptive` where they differ much more than the
            frames around them do (so that fast movement is no cut); `none` is one shot; numbers are the first frames
            of new shots, of which those inside the range count; `auto` is adaptive for video, none for pictures.
        on_progress: called now and then with the number of frames looked at.

    Raises:
        RangeError: a given cut is outside the clip.
        BadFrameError: the very first frame does not decode (others are passed over here).
    """
    if isinstance(method, tuple):
        cuts = _given(method, clip)
    else:
        if method == "auto":
            method = "adaptive" if clip.kind is SourceKind.VIDEO else "none"
        cuts = _detected(clip, start, end, method, on_progress)
    edges = [start, *sorted({cut for cut in cuts if start < cut < end}), end]
    return [Shot(first, stop) for first, stop in pairwise(edges)]


def _given(cuts: tuple[int, ...], clip: ClipInfo) -> list[int]:
    for cut in cuts:
        if not 0 <= cut < clip.frame_count:
            raise RangeError(
                f"the cut at frame {cut} is outside {clip.source}", f"it has frames 0 to {clip.frame_count - 1}"
            )
    return list(cuts)


def _detected(
    clip: ClipInfo, start: int, end: int, method: str, on_progress: Callable[[int], None] | None
) -> list[int]:
    if method == "none" or end - start < 2 * _SHORTEST_SHOT:
        return []
    from scenedetect import FrameTimecode

    detector = _detector(method)
    cuts: list[int] = []
    for index, picture in enumerate(_decode_small(clip, start, end), start):
        # Counted at a steady rate: the detectors only compare and subtract frame numbers.
        cuts += [cut.frame_num for cut in detector.process_frame(FrameTimecode(index, fps=clip.rate), picture)]
        if on_progress and (index - start) % 50 == 49:
            on_progress(index - start + 1)
    return cuts


def _decode_small(clip: ClipInfo, start: int, end: int) -> Iterator[NDArray[np.uint8]]:
    """The frames of a range, small and in BGR order; stretches of it are decoded side by side."""
    size = fit_size(clip.width, clip.height, _LONGEST_SIDE)

    def stretch(first: int) -> list[NDArray[np.uint8]]:
        stop = min(first + _STRETCH_FRAMES, end)
        with FrameReader(clip, start=first, end=stop, size=size, on_bad_frame="repeat") as reader:
            return [_bgr(frame.pixels) for frame in reader]

    pieces = (partial(stretch, first) for first in range(start, end, _STRETCH_FRAMES))
    threads = min(_MOST_DECODERS, thread_count(clip.width * clip.height * _PIXEL_BYTES, _ROOM_BYTES))
    with ThreadPoolExecutor(threads) as pool, closing(ordered_results(pieces, pool, ahead=threads)) as found:
        for pictures in found:
            yield from pictures


def _bgr(pixels: Pixels) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(to_bits(pixels, 8), cv2.COLOR_RGB2BGR), np.uint8)


def _detector(method: str) -> Any:
    from scenedetect import AdaptiveDetector, ContentDetector

    kind = AdaptiveDetector if method == "adaptive" else ContentDetector
    return kind(min_scene_len=_SHORTEST_SHOT)
