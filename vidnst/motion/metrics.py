"""How steady a clip is, pair by pair and frame by frame: pure functions, nothing is read or remembered here.

Warping errors come in the three published definitions from one function. In all of them the flow is found on the
*source* frames, so the result cannot help itself to a flow that suits it. The papers take flow and occlusion from
ground truth or from a network, and Lai 2018 also leaves out the edges of motion; here both come from
`flow.estimate_flow`, so numbers compare with each other, and not with the papers' tables.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.frames import LUMA_WEIGHTS, Pixels, to_levels
from vidnst.motion.flow import Flow
from vidnst.motion.warp import enlarge

_NOISE_SIGMA_PX = 1.0
"""Blur before two source frames are compared: it takes three quarters off the noise of single pixels."""

_STATIC_LEVELS = 3.0
"""Difference of two blurred source frames under which a pixel stands still. Noise of 2 levels (standard deviation)
leaves about 0.8 after the blur, so nearly all of what stands still is found as such."""

_ROWS = 72
"""Of pictures that are compared at once: so few stay in a core's cache."""


@dataclass(frozen=True, slots=True)
class PairError:
    """What a picture and an earlier one, fetched onto it, have for a difference."""

    mean_squared: float
    """Mean squared difference over the samples that are valid (Lai 2018), of channels in [0, 1]; over all of them
    where none is valid (Lai's rule)."""
    valid_share: float
    """Share of pixels that are valid, 0 to 1."""

    @property
    def over_all(self) -> float:
        """The same sum of squares over the number of all samples (Ruder 2016); 0 where none is valid."""
        return self.mean_squared * self.valid_share


@dataclass(frozen=True, slots=True)
class ClipErrors:
    """The warping error of a clip in the published definitions, of channels in [0, 1]."""

    ruder: float
    """Ruder 2016: mean over pairs of the squared difference at valid samples, summed and divided by all samples."""
    huang: float
    """Huang 2017, ReCoNet 2018: the root of Ruder's number, taken after the mean over pairs."""
    lai: float
    """Lai 2018: mean over pairs of the mean squared difference at valid samples."""


def clip_errors(pairs: Sequence[PairError]) -> ClipErrors:
    """The errors of a clip from those of its pairs, at least one."""
    ruder = sum(pair.over_all for pair in pairs) / len(pairs)
    return ClipErrors(ruder, math.sqrt(ruder), sum(pair.mean_squared for pair in pairs) / len(pairs))


def warp_error(
    current: NDArray[np.float32],
    previous: NDArray[np.float32],
    flow: Flow,
    *,
    norm: Literal["valid", "all"] = "valid",
    root: bool = False,
) -> float:
    """Squared difference between a picture and an earlier one fetched onto it, where the flow is valid.

    With M the validity, W the bilinear warp and D = H * W * C:

    - `norm="valid"`: `sum M (W(previous) - current)^2 / sum M`, the form of Lai 2018. Lai warps the later frame back
      to the earlier one; here the earlier is always fetched forward.
    - `norm="all"`: the same sum over D: Ruder 2016.
    - `root=True`: the square root. Huang 2017 and ReCoNet 2018 take it after the mean over a clip's frames, so for
      their number use `clip_errors`.

    Args:
        current: `(H, W, C)` float32 in [0, 1].
        previous: the same shape.
        flow: from the current frame into the previous one, found on the *source* frames.

    Returns:
        The error; with nothing valid, the mean over all pixels for `valid` (Lai's rule) and 0 for `all`.
    """
    pair = pair_error(current, previous, flow)
    error = pair.mean_squared if norm == "valid" else pair.over_all
    return math.sqrt(error) if root else error


def pair_error(current: NDArray[np.float32], previous: NDArray[np.float32], flow: Flow) -> PairError:
    """What every definition of the warping error is made of. Arguments as in `warp_error`."""
    return along(flow, *current.shape[:2])(current, previous)


@dataclass(frozen=True, slots=True)
class FlowSampler:
    """A flow, ready for all pictures of one size that are compared along it."""

    places: NDArray[np.int16]
    """`(H, W, 2)`: where each pixel is fetched from, x then y, in whole pixels."""
    fractions: NDArray[np.uint16]
    """`(H, W)`: and the rest, in OpenCV's table of 1/32 pixels, to which it rounds in any case."""
    valid: NDArray[np.uint8]
    """`(H, W)`: 255 where a pixel counts, else 0."""
    count: int
    """How many do."""

    def __call__(self, current: NDArray[np.float32], previous: NDArray[np.float32]) -> PairError:
        """See `pair_error`; both pictures are `(H, W, C)`."""
        height, width, channels = current.shape
        total = 0.0
        for first in range(0, height, _ROWS):
            rows = slice(first, first + _ROWS)
            warped = cv2.remap(
                previous, self.places[rows], self.fractions[rows], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            counts = self.valid[rows] if self.count else None
            total += cv2.norm(warped.reshape(-1, width, channels), current[rows], cv2.NORM_L2SQR, counts)
        return PairError(total / ((self.count or height * width) * channels), self.count / self.valid.size)


def along(flow: Flow, height: int, width: int) -> FlowSampler:
    """A flow of any size of the same aspect for pictures of this one."""
    full = full_size(flow, height, width)
    at = full.vectors_px.copy()
    at[..., 0] += np.arange(width, dtype=np.float32)
    at[..., 1] += np.arange(height, dtype=np.float32)[:, None]
    places, fractions = cv2.convertMaps(at, np.empty(0, np.float32), cv2.CV_16SC2)
    count = cv2.countNonZero(full.valid)
    return FlowSampler(np.asarray(places, np.int16), np.asarray(fractions, np.uint16), full.valid, count)


def full_size(flow: Flow, height: int, width: int) -> Flow:
    """A flow at another size; valid (255) only where all that a vector was enlarged from is valid, else 0."""
    vectors_px, valid = enlarge(flow, height, width)
    return Flow(vectors_px, (valid >= 0.999).astype(np.uint8) * np.uint8(255))


def static_pixels(current: Pixels, previous: Pixels, *, threshold_levels: float = _STATIC_LEVELS) -> NDArray[np.bool_]:
    """Where two frames of a source show the same, noise aside.

    Both are blurred (Gaussian, standard deviation 1 pixel); a pixel stands still where no channel then differs by
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
        # A blur is linear: one of the difference does for both.
        plane = to_levels(current[..., channel]) - to_levels(previous[..., channel])
        cv2.GaussianBlur(plane, (0, 0), _NOISE_SIGMA_PX, dst=plane, borderType=cv2.BORDER_REFLECT_101)
        static &= np.abs(plane, out=plane) < threshold_levels
    return static


def flicker_levels(current: Pixels, previous: Pixels, static: NDArray[np.bool_]) -> float | None:
    """Mean absolute difference of two pictures at static pixels, in levels of 255; None where no pixel is static.

    Args:
        current: `(H, W, 3)` uint8 or uint16.
        previous: the same shape.
        static: `(H, W)`, of the *source*, as `static_pixels` finds it.
    """
    where = static.view(np.uint8)
    count = cv2.countNonZero(where)
    if count == 0:
        return None
    if current.dtype != previous.dtype:
        return cv2.norm(to_levels(current), to_levels(previous), cv2.NORM_L1, where) / (3 * count)
    level = 257 if current.dtype == np.uint16 else 1
    return cv2.norm(current, previous, cv2.NORM_L1, where) / (3 * count * level)


def luma_levels(pixels: Pixels) -> NDArray[np.float32]:
    """Compute the `(H, W)` float32 Rec. 709 luma of `(H, W, 3)` uint8 or uint16 sRGB, in levels of 0 to 255."""
    # By OpenCV, which sums the products in another order than `frames.luma`: the last digits of a measurement differ.
    return np.asarray(cv2.transform(to_levels(pixels), LUMA_WEIGHTS[None]), np.float32).reshape(pixels.shape[:2])


def laplacian_variance(plane: NDArray[np.float32]) -> float:
    """How sharp a picture is: the variance of its Laplacian (Pech-Pacheco 2000), in levels squared.

    Args:
        plane: `(H, W)` luma in levels of 0 to 255.
    """
    laplacian = np.asarray(cv2.Laplacian(plane, cv2.CV_32F, ksize=1), np.float64)
    return float(laplacian.var())


def slope_per_100(series: Sequence[Sequence[float]]) -> float | None:
    """Change per 100 steps, by least squares: one slope for all series, each with a level of its own.

    Args:
        series: values at steps 0, 1, 2, ...; one for each shot, since a cut changes the level and is no drift.

    Returns:
        In the values' unit; None where no series has two values.
    """
    above, below = 0.0, 0.0
    for values in series:
        steps = np.arange(len(values)) - (len(values) - 1) / 2
        above += float(steps @ np.asarray(values, np.float64)) if len(values) else 0.0
        below += float(steps @ steps)
    return 100 * above / below if below else None
