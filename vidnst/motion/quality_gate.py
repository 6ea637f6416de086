"""A sanity check of every stylized frame: it must be a picture, and fit the neighbours that it started from.

It compares thumbnails of luma, so it costs next to nothing compared with the optimisation, and it is a pure function of
a node's inputs: a frame is suspect or not whenever and wherever it is rendered.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.frames import LUMA_WEIGHTS, Pixels
from vidnst.motion.flow import Flow, shrink
from vidnst.motion.warp import SamplingGrid, warp_planes

THUMBNAIL_PX = 128
"""Longest side of the thumbnails."""

# All of these are in levels of 255.
_BLACK_LEVEL = 6.0
"""A frame whose 99th percentile of luma is lower is black ..."""
_DARK_SOURCE_LEVEL = 24.0
"""... unless that of its source is not higher than this."""
_FLAT_CONTRAST = 1.5
"""A frame whose standard deviation is lower has a single colour ..."""
_FLAT_SOURCE_CONTRAST = 4.0
"""... unless that of its source is not higher than this."""
_MAX_LUMA_JUMP = 12.0
"""Largest change of mean luma that the source's change does not explain. Good frames of real clips reach 9."""
_MAX_ERROR = 24.0
"""Warping error that is accepted whatever the source's is. Good frames of real clips reach 14."""

_MAX_ERROR_RATIO = 3.0
"""Ratio to the source's warping error that is accepted however large the error is."""
_MAX_RESPONSE = 1.5
"""Largest change of the stylized luma that a change of the source's luma by 1 explains."""
_MIN_OVERLAP = 0.2
"""Least valid share of a flow by which two frames are compared."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A finished frame that the frame under test started from; thumbnails as `thumbnail_luma` returns them."""

    stylized: NDArray[np.float32]
    source: NDArray[np.float32]
    flow: Flow
    """The flow from the frame under test into this one."""


@dataclass(frozen=True, slots=True)
class NeighbourChange:
    """The change from a warped neighbour to a frame where the flow is valid, in levels of 255."""

    overlap: float
    """Valid share of the flow."""
    jump: float
    """Change of mean luma."""
    source_jump: float
    error: float
    """Mean absolute difference without the change of the mean."""
    source_error: float

    @property
    def excess_jump(self) -> float:
        """The part of the jump that the source's jump does not explain."""
        low, high = sorted((0.0, _MAX_RESPONSE * self.source_jump))
        return max(low - self.jump, self.jump - high)

    @property
    def max_error(self) -> float:
        """The largest error that is accepted."""
        return max(_MAX_ERROR, _MAX_ERROR_RATIO * self.source_error)


def thumbnail_luma(pixels: Pixels) -> NDArray[np.float32]:
    """Compute the luma of a reduced frame: `(h, w)` float32 in levels of 255 from `(H, W, 3)` uint8 or uint16 sRGB."""
    levels = shrink(pixels, THUMBNAIL_PX).astype(np.float32)
    # Neither `frames.to_levels` nor `frames.luma` gives the same last bits, which decide borderline frames.
    levels *= np.float32(255 / np.iinfo(pixels.dtype).max)
    return np.asarray(cv2.transform(levels, LUMA_WEIGHTS[None]), np.float32)


def quality_problem(
    stylized: NDArray[np.float32], source: NDArray[np.float32], neighbours: Sequence[Neighbour] = ()
) -> str:
    """Describe what is wrong with a frame; empty if nothing is.

    Black and flat frames are judged by their own source; jumps of luma, and motion other than the source's, by the
    neighbours. The neighbour that fits best decides, so that a single bad one does not make a good frame suspect.

    Args:
        stylized, source: thumbnails `(h, w)` of one size.
        neighbours: frames that it started from; those with too little overlap are ignored.
    """
    high, source_high = float(np.percentile(stylized, 99)), float(np.percentile(source, 99))
    if high < _BLACK_LEVEL and source_high > _DARK_SOURCE_LEVEL:
        return f"it is black, and its source is not: {high:.0f} levels against {source_high:.0f}"
    if float(stylized.std()) < _FLAT_CONTRAST and float(source.std()) > _FLAT_SOURCE_CONTRAST:
        return f"it has one colour: {stylized.std():.1f} levels of contrast against {source.std():.0f} in its source"
    changes = [measure_change(stylized, source, neighbour) for neighbour in neighbours]
    changes = [change for change in changes if change.overlap >= _MIN_OVERLAP]
    if not changes:
        return ""
    best = min(changes, key=lambda change: change.excess_jump)
    if best.excess_jump > _MAX_LUMA_JUMP:
        return f"its brightness jumps by {best.jump:+.0f} levels, its source's by {best.source_jump:+.0f}"
    best = min(changes, key=lambda change: change.error - change.max_error)
    if best.error > best.max_error:
        return f"it differs from its neighbours by {best.error:.0f} levels, its source by {best.source_error:.0f}"
    return ""


def measure_change(stylized: NDArray[np.float32], source: NDArray[np.float32], neighbour: Neighbour) -> NeighbourChange:
    """Compare a frame with a neighbour; all thumbnails `(h, w)` have one size."""
    grid = SamplingGrid.from_flow(neighbour.flow, *stylized.shape)
    valid, total = grid.valid, max(float(grid.valid.sum()), 1e-6)
    change = _warped_difference(stylized, neighbour.stylized, grid)
    source_change = _warped_difference(source, neighbour.source, grid)
    jump, source_jump = float((change * valid).sum()) / total, float((source_change * valid).sum()) / total
    error = float((np.abs(change - jump) * valid).sum()) / total
    source_error = float((np.abs(source_change - source_jump) * valid).sum()) / total
    return NeighbourChange(float(valid.mean()), jump, source_jump, error, source_error)


def _warped_difference(
    luma: NDArray[np.float32], neighbour: NDArray[np.float32], grid: SamplingGrid
) -> NDArray[np.float32]:
    warped = warp_planes(neighbour[None] / np.float32(255), grid)[0]
    return np.asarray(luma - warped * 255, np.float32)
