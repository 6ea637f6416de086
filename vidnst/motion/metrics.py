"""Measures of temporal stability for pairs of frames and series of numbers, as pure functions.

The warping error comes in the three published definitions. In all of them the flow is estimated on the *source* frames,
so that an output cannot choose a flow that suits it. The papers take flow and occlusion from ground truth or from a
network, and Lai 2018 also leaves out the edges of motion; here both come from `flow.estimate_flow`, so the numbers
compare with each other, but not with the papers' tables.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.frames import LUMA_WEIGHTS, Pixels, to_levels
from vidnst.motion.flow import Flow, target_positions
from vidnst.motion.warp import resize_flow

_NOISE_SIGMA_PX = 1.0
"""Blur before two source frames are compared: it removes three quarters of the noise of single pixels."""
_STATIC_LEVELS = 3.0
"""Difference of two blurred source frames below which a pixel is static. Noise of 2 levels (standard deviation) leaves
about 0.8 after the blur, so nearly all static pixels are detected."""
_ROWS = 72
"""Rows that are compared at once: few enough to stay in a core's cache."""


@dataclass(frozen=True, slots=True)
class PairError:
    """The difference between a picture and an earlier one that is warped to it."""

    mean_squared: float
    """Mean squared difference of channels in [0, 1] over the valid samples (Lai 2018), or over all if none is valid."""
    valid_share: float
    """Share of valid pixels, 0 to 1."""

    @property
    def over_all(self) -> float:
        """The same sum of squares divided by the number of all samples (Ruder 2016); 0 if none is valid."""
        return self.mean_squared * self.valid_share


@dataclass(frozen=True, slots=True)
class ClipErrors:
    """The warping error of a clip in the published definitions, for channels in [0, 1].

    For a pair with validity M, the bilinear warp W and D = H * W * C samples they are based on the sum
    S = sum M (W(previous) - current)^2.
    """

    ruder: float
    """Mean of S / D over the pairs (Ruder 2016)."""
    huang: float
    """Square root of Ruder's number, taken after the mean (Huang 2017, ReCoNet 2018)."""
    lai: float
    """Mean of S / sum M over the pairs. Lai 2018 warps the later frame to the earlier one; here it is the reverse."""


def clip_errors(pairs: Sequence[PairError]) -> ClipErrors:
    """Compute the errors of a clip from those of its pairs, at least one."""
    ruder = sum(pair.over_all for pair in pairs) / len(pairs)
    return ClipErrors(ruder, math.sqrt(ruder), sum(pair.mean_squared for pair in pairs) / len(pairs))


@dataclass(frozen=True, slots=True)
class FlowSampler:
    """Compares pictures of one size along a flow."""

    positions: NDArray[np.int16]
    """`(H, W, 2)`: the position that each pixel is sampled from, x then y, in whole pixels."""
    fractions: NDArray[np.uint16]
    """`(H, W)`: the fraction of the position, as an index into OpenCV's table of 1/32 pixels."""
    valid: NDArray[np.uint8]
    """`(H, W)`: 255 where a pixel counts, else 0."""
    valid_count: int

    @classmethod
    def from_flow(cls, flow: Flow, height: int, width: int) -> Self:
        """Resize a flow, from the current into the previous *source* frame, to the size of the pictures."""
        full = resize_flow_strictly(flow, height, width)
        positions, fractions = cv2.convertMaps(*target_positions(full.vectors_px), cv2.CV_16SC2)
        count = cv2.countNonZero(full.valid)
        return cls(np.asarray(positions, np.int16), np.asarray(fractions, np.uint16), full.valid, count)

    def pair_error(self, current: NDArray[np.float32], previous: NDArray[np.float32]) -> PairError:
        """Compare two pictures, both `(H, W, C)` float32 in [0, 1]."""
        height, width, channels = current.shape
        total = 0.0
        for first in range(0, height, _ROWS):
            rows = slice(first, first + _ROWS)
            warped = cv2.remap(
                previous, self.positions[rows], self.fractions[rows], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            mask = self.valid[rows] if self.valid_count else None
            total += cv2.norm(warped.reshape(-1, width, channels), current[rows], cv2.NORM_L2SQR, mask)
        return PairError(total / ((self.valid_count or height * width) * channels), self.valid_count / self.valid.size)


def resize_flow_strictly(flow: Flow, height: int, width: int) -> Flow:
    """Resize a flow; a vector is valid only if all those that it is interpolated from are."""
    vectors_px, valid = resize_flow(flow, height, width)
    return Flow(vectors_px, (valid >= 0.999).astype(np.uint8) * np.uint8(255))


def static_pixels(current: Pixels, previous: Pixels, *, threshold_levels: float = _STATIC_LEVELS) -> NDArray[np.bool_]:
    """Find the pixels at which two frames of a source show the same apart from noise.

    Both are blurred (Gaussian, standard deviation 1 pixel); a pixel is static if no channel then differs by
    `threshold_levels` or more.

    Args:
        current: `(H, W, 3)` uint8 or uint16.
        previous: the same shape.
        threshold_levels: in levels of 255.

    Returns:
        `(H, W)` bool.
    """
    static = np.ones(current.shape[:2], np.bool_)
    for channel in range(3):
        # A blur is linear: blurring the difference blurs both.
        plane = to_levels(current[..., channel]) - to_levels(previous[..., channel])
        cv2.GaussianBlur(plane, (0, 0), _NOISE_SIGMA_PX, dst=plane, borderType=cv2.BORDER_REFLECT_101)
        static &= np.abs(plane, out=plane) < threshold_levels
    return static


def flicker_levels(current: Pixels, previous: Pixels, static: NDArray[np.bool_]) -> float | None:
    """Compute the mean absolute difference of two pictures at static pixels, in levels of 255; None without any.

    Args:
        current: `(H, W, 3)` uint8 or uint16.
        previous: the same shape.
        static: `(H, W)`, from the *source*, as `static_pixels` returns it.
    """
    mask = static.view(np.uint8)
    count = cv2.countNonZero(mask)
    if count == 0:
        return None
    if current.dtype != previous.dtype:
        return cv2.norm(to_levels(current), to_levels(previous), cv2.NORM_L1, mask) / (3 * count)
    level = 257 if current.dtype == np.uint16 else 1
    return cv2.norm(current, previous, cv2.NORM_L1, mask) / (3 * count * level)


def luma_levels(pixels: Pixels) -> NDArray[np.float32]:
    """Compute the `(H, W)` float32 Rec. 709 luma of `(H, W, 3)` uint8 or uint16 sRGB, in levels of 0 to 255."""
    # By OpenCV, which sums the products in another order than `frames.luma`: the last digits of a measurement differ.
    return np.asarray(cv2.transform(to_levels(pixels), LUMA_WEIGHTS[None]), np.float32).reshape(pixels.shape[:2])


def laplacian_variance(plane: NDArray[np.float32]) -> float:
    """Measure sharpness as the variance of the Laplacian (Pech-Pacheco 2000), in levels squared.

    Args:
        plane: `(H, W)` luma in levels of 0 to 255.
    """
    laplacian = np.asarray(cv2.Laplacian(plane, cv2.CV_32F, ksize=1), np.float64)
    return float(laplacian.var())


def slope_per_100(series: Sequence[Sequence[float]]) -> float | None:
    """Fit the change per 100 steps by least squares: one slope for all series, an own offset for each.

    Args:
        series: values at steps 0, 1, 2, ...; one series per shot, since a cut changes the level and is no drift.

    Returns:
        The slope in the values' unit; None if no series has two values.
    """
    return trend_per_100([list(enumerate(values)) for values in series])


def trend_per_100(series: Sequence[Sequence[tuple[int, float]]]) -> float | None:
    """Fit the change per 100 steps as `slope_per_100`, to pairs of a step and its value."""
    numerator, denominator = 0.0, 0.0
    for points in series:
        steps, values = np.array(points, np.float64).reshape(-1, 2).T
        steps = steps - steps.mean() if len(steps) else steps
        numerator += float(steps @ values)
        denominator += float(steps @ steps)
    return 100 * numerator / denominator if denominator else None
