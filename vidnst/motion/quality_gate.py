"""A look at every frame before it counts as done: is it a picture, and does it fit what it started from?

All of it is seen small and in luma only, so that it costs next to nothing beside the optimisation, and all of it is a
pure function of what the node read: the same frame is suspect whoever renders it, and whenever.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.frames import LUMA_WEIGHTS, Pixels
from vidnst.motion.flow import Flow
from vidnst.motion.warp import SamplingGrid, fetch, places

GLIMPSE_PX = 128
"""Longest side at which frames are looked at."""


def thumbnail_luma(pixels: Pixels) -> NDArray[np.float32]:
    """The luma of a frame `(H, W, 3)` uint8 or uint16, RGB, as `(h, w)` float32 in levels of 255, small."""
    height, width = pixels.shape[:2]
    shrink = min(1.0, GLIMPSE_PX / max(height, width))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    # Neither `frames.to_levels` nor `frames.luma` gives the same last bits, which decide borderline frames.
    small *= np.float32(255 / np.iinfo(pixels.dtype).max)
    return np.asarray(cv2.transform(small, LUMA_WEIGHTS[None]), np.float32)


_BLACK = 6.0
"""Level under which all but a hundredth of a black frame lies."""
_DARK = 24.0
"""The same of a source that is dark itself."""
_FLAT = 1.5
"""Standard deviation of a frame of one colour, levels of 255."""
_PLAIN = 4.0
"""The same of a source that has next to nothing to show itself."""
_LEAST_SHARE = 0.2
"""Of the picture that must be seen in both frames for them to be compared."""
_JUMP = 12.0
"""Levels by which mean luma may change beside what the source does. Good frames of real clips reach 9."""
_ANSWER = 1.5
"""The most that a painting grows brighter for its source's growing brighter by one."""
_ERROR = 24.0
"""Levels of warping error that are not too many whatever the source's is. Good frames of real clips reach 14."""
_ERROR_RATIO = 3.0
"""Warping error over the source's that is not too much however large it is."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A finished frame that the one at hand was started from."""

    painted: NDArray[np.float32]
    """`(h, w)` float32 glimpse of its state."""
    source: NDArray[np.float32]
    """`(h, w)` float32 glimpse of its source frame."""
    flow: Flow
    """From the frame at hand into this one."""


@dataclass(frozen=True, slots=True)
class Fit:
    """How a frame follows from a neighbour, in levels of 255; where the flow is valid."""

    share: float
    """Of the picture that is seen in both."""
    jump: float
    """Change of mean luma."""
    source_jump: float
    error: float
    """Mean absolute difference beside the change of the mean."""
    source_error: float


def fit(painted: NDArray[np.float32], source: NDArray[np.float32], other: Neighbour) -> Fit:
    """Compare a frame with a neighbour; all pictures are glimpses `(h, w)` of one size."""
    at = places(other.flow, *painted.shape)
    now, before, valid = _apart(painted, other.painted, at), _apart(source, other.source, at), at.valid
    total = max(float(valid.sum()), 1e-6)
    jump, source_jump = float((now * valid).sum()) / total, float((before * valid).sum()) / total
    error = float((np.abs(now - jump) * valid).sum()) / total
    source_error = float((np.abs(before - source_jump) * valid).sum()) / total
    return Fit(float(valid.mean()), jump, source_jump, error, source_error)


def _apart(here: NDArray[np.float32], there: NDArray[np.float32], at: SamplingGrid) -> NDArray[np.float32]:
    fetched = fetch(there[None] / np.float32(255), at)[0]
    return np.asarray(here - fetched * 255, np.float32)


def quality_problem(painted: NDArray[np.float32], source: NDArray[np.float32], others: Sequence[Neighbour] = ()) -> str:
    """What is wrong with a frame, in words; empty where nothing is.

    Black and flat are judged against the frame's own source, a change of brightness and what moves otherwise than the
    source against the neighbours. A frame is wrong only if it fits none of them, so that one wrong neighbour does not
    make it so.

    Args:
        painted, source: glimpses `(h, w)` of one size.
        others: frames that it was started from; those of which too little is seen in it are passed over.
    """
    bright, own_bright = float(np.percentile(painted, 99)), float(np.percentile(source, 99))
    if bright < _BLACK and own_bright > _DARK:
        return f"it is black, and its source is not: {bright:.0f} levels against {own_bright:.0f}"
    if float(painted.std()) < _FLAT and float(source.std()) > _PLAIN:
        return f"it is of one colour: {painted.std():.1f} levels of contrast against {source.std():.0f} of its source"
    fits = [found for other in others if (found := fit(painted, source, other)).share >= _LEAST_SHARE]
    if not fits:
        return ""
    closest = min(fits, key=_excess)
    if _excess(closest) > _JUMP:
        return f"its brightness jumps by {closest.jump:+.0f} levels, its source's by {closest.source_jump:+.0f}"
    closest = min(fits, key=lambda one: one.error - _allowed(one))
    if closest.error > _allowed(closest):
        return f"it differs from its neighbours by {closest.error:.0f} levels, its source by {closest.source_error:.0f}"
    return ""


def _excess(found: Fit) -> float:
    """How far a change of luma is from all that the source's explains, levels."""
    low, high = sorted((0.0, _ANSWER * found.source_jump))
    return max(low - found.jump, found.jump - high)


def _allowed(found: Fit) -> float:
    return max(_ERROR, _ERROR_RATIO * found.source_error)
