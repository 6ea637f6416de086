"""The movement of strokes against that of the source: do they follow it, or stick to the screen?

Strokes that stay in place over a picture that moves look like a pane of ribbed glass, the "shower door" (Meier 1996).
No warping error tells: where the flow fails it measures nothing, and elsewhere it counts colours as well as strokes.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.motion.flow import Flow
from vidnst.motion.warp import SamplingGrid

_DETAIL_SHARE = 0.012
"""Standard deviation of the blur that strokes are told from, as a share of the longest side."""
_MOVING_SHARE = 0.008
"""Least movement that counts, as a share of the longest side: about the width of a stroke's edge."""
_LEAST_AREA = 0.002
"""Share of the frame that must move for the correlations to mean anything."""


@dataclass(frozen=True, slots=True)
class StrokeMotion:
    """Correlations of fine detail between two frames where the source moves, each in [-1, 1]."""

    follow: float
    """Along the flow of the source: 1 where strokes move with it."""
    screen: float
    """At the same place: 1 where strokes stick to the screen."""
    area: float
    """Share of the frame that moves, with a valid flow."""


def stroke_motion(current: NDArray[np.float32], previous: NDArray[np.float32], flow: Flow) -> StrokeMotion | None:
    """Compare the detail of two frames where the source moves; None where hardly anything does.

    Args:
        current, previous: `(H, W)` luma of the two frames, in any range.
        flow: from the current into the previous *source* frame.
    """
    grid = SamplingGrid.from_flow(flow, *current.shape)
    longest = max(current.shape)
    rows, columns = np.indices(current.shape, np.float32)
    moving = (grid.valid >= 0.999) & (np.hypot(grid.x - columns, grid.y - rows) >= _MOVING_SHARE * longest)
    if (area := float(moving.mean())) < _LEAST_AREA:
        return None
    now, before = (_detail(picture, _DETAIL_SHARE * longest) for picture in (current, previous))
    warped = cv2.remap(before, grid.x, grid.y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return StrokeMotion(_correlation(now[moving], warped[moving]), _correlation(now[moving], before[moving]), area)


def _detail(picture: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    return np.asarray(picture - cv2.GaussianBlur(picture, (0, 0), max(1.0, sigma_px)), np.float32)


def _correlation(one: NDArray[np.float32], two: NDArray[np.float32]) -> float:
    one, two = one - one.mean(), two - two.mean()
    scale = float(np.sqrt((one**2).sum(dtype=np.float64) * (two**2).sum(dtype=np.float64)))
    return float((one * two).sum(dtype=np.float64)) / scale if scale > 0 else 0.0
