"""The starting picture of a warm frame: finished states, warped to the frame and blended.

Inside this module pictures are `(3, H, W)`: OpenCV remaps single channels twice as fast, and torch wants that order.
Validity that is checked pixel by pixel has ragged borders, along which blended states alternate; pass by pass that
grew into rows of dots around everything that moves, so the borders of validity are smoothed. Detail is restored only
where states were averaged.

With `motion.follow_light` the temporal residual is free in what the source's change of luma explains, with a fitted
share per channel, and in what changes smoothly over the picture; texture is held.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.frames import LUMA_WEIGHTS, Pixels, State, to_float_planes
from vidnst.motion.detail_gain import band_contrast, blend_attenuation, restore_detail
from vidnst.motion.disocclusion import match_colours
from vidnst.motion.flow import Flow
from vidnst.motion.warp import SamplingGrid, warp_planes

BORDER_WINDOW_PX = 3
"""Side of the window in which `smooth_borders` averages."""
MIN_TOTAL_SHARE = 1e-6
"""Least sum of weights times validities by which a blend is divided."""

LUMA_BLUR = 0.006
"""Standard deviation of the blur of a luma change, as a share of the longest side: it removes noise and edges that the
flow has misplaced."""
NOISE_MEAN_SQUARE = 1e-5
"""Mean square of a luma change that is as small as noise."""
MIN_LUMA_SPREAD = 0.1
"""Least differences of luma between the states, relative to their differences from the frame, from which the response
of the stylized picture is estimated."""
MAX_RESPONSE = 1.5
"""Largest change of a stylized channel for a change of the source's luma by 1."""
ROBUST_FITS = 4
"""Number of fits of the luma's gain and offset; each but the first without the outliers of the previous one."""


@dataclass(frozen=True, slots=True)
class WarmSource:
    """A finished state, with the flow that warps it to the frame to be stylized."""

    state: State
    flow: Flow | None = None
    """The flow from the frame into the state's frame; None if the state belongs to the frame itself."""
    weight: float = 1.0
    """Weight in the blend, relative to the other states valid at a pixel."""
    source: Pixels | None = None
    """The state's frame before stylization; needed to follow light and to detect static areas."""


@dataclass(frozen=True, slots=True)
class BlendedStart:
    """The picture that a warm frame starts from and is pulled toward."""

    picture: NDArray[np.float32]
    """`(3, H, W)` in [0, 1]."""
    valid: NDArray[np.float32]
    """`(H, W)` in [0, 1]: 1 where the picture comes from states, 0 where from recoloured content."""
    luma_change: NDArray[np.float32] | None = None
    """`(H, W)` in [-1, 1]: the frame's luma minus that of the warped sources."""
    static: NDArray[np.float32] | None = None
    """`(H, W)` in [0, 1]: 1 where the source does not move."""
    warped_source: NDArray[np.float32] | None = None
    """`(3, H, W)` in [0, 1]: the warped sources, if the states could not be relit; None if the picture has the frame's
    light."""


@dataclass(frozen=True, slots=True)
class _WarpedState:
    """A state on the frame's grid; arrays as in `BlendedStart`."""

    picture: NDArray[np.float32]
    valid: NDArray[np.float32]
    contrast: NDArray[np.float32] | None = None
    """Its `band_contrast`."""
    luma_change: NDArray[np.float32] | None = None
    static: NDArray[np.float32] | None = None
    source: NDArray[np.float32] | None = None
    """The state's source, warped like the state."""


def blend(
    content: Pixels, sources: Sequence[WarmSource], *, follow_light: bool = False, static_levels: float = 0.0
) -> BlendedStart:
    """Warp states to a frame and blend them by weight and validity; recoloured content fills what none covers.

    Args:
        content: `(H, W, 3)` uint8 or uint16, the frame to be stylized.
        sources: at least one.
        follow_light: relights the states to the frame's light.
        static_levels: largest difference, in levels of 255, at which a pixel counts as static: there states are not
            warped, whatever the flow says. 0 detects no static pixels.

    Raises:
        ValueError: `follow_light` is set and a warped state has no source.
    """
    if follow_light and any(source.flow is not None and source.source is None for source in sources):
        raise ValueError("following the light needs the source of every start")
    planes, several = to_float_planes(content), len(sources) > 1
    states = [
        _warp_state(planes, source, measure_contrast=several, follow_light=follow_light, static_levels=static_levels)
        for source in sources
    ]
    relit = True
    if follow_light:
        states, relit = _relight(states)
    shares = [np.float32(source.weight) * state.valid for source, state in zip(sources, states, strict=True)]
    total = np.maximum(np.sum(shares, axis=0), np.float32(MIN_TOTAL_SHARE))
    shares = [share / total for share in shares]
    blended = _weighted_mean([state.picture for state in states], shares)
    valid = np.maximum.reduce([state.valid for state in states])
    if several:
        contrast = _weighted_mean([state.contrast for state in states if state.contrast is not None], shares)
        blended = restore_detail(blended, contrast, blend_attenuation(shares))
    if valid.min() < 1:
        blended = _mix(valid, blended, match_colours(planes, blended, valid))
    luma_changes = [state.luma_change for state in states if state.luma_change is not None]
    static = [state.static for state in states if state.static is not None]
    return BlendedStart(
        blended,
        valid,
        luma_change=_weighted_mean(luma_changes, shares) if follow_light else None,
        static=np.minimum.reduce(static) if static else None,
        warped_source=None
        if relit
        else _weighted_mean([state.source for state in states if state.source is not None], shares),
    )


def _warp_state(
    content: NDArray[np.float32],
    source: WarmSource,
    *,
    measure_contrast: bool,
    follow_light: bool,
    static_levels: float,
) -> _WarpedState:
    """Warp one state, with its source and contrast, to the grid of `content`, `(3, H, W)` in [0, 1]."""
    state = to_float_planes(source.state)
    contrast = band_contrast(state) if measure_contrast else None
    if source.flow is None:
        ones = np.ones(content.shape[1:], np.float32)
        return _WarpedState(state, ones, contrast, luma_change=np.zeros_like(ones), source=content)
    grid = SamplingGrid.from_flow(source.flow, *content.shape[1:])
    grid = replace(grid, valid=smooth_borders(grid.valid))
    if contrast is not None:
        contrast = warp_planes(contrast, grid)
    warped = _WarpedState(warp_planes(state, grid), grid.valid, contrast)
    if source.source is None:
        return warped
    source_planes, static = to_float_planes(source.source), None
    if static_levels:
        lumas = luma_of_planes(content), luma_of_planes(source_planes)
        static = static_areas(*lumas, threshold_levels=static_levels, ignore_light=follow_light)
        picture = _mix(static, state, warped.picture)
        warped = replace(warped, picture=picture, valid=np.maximum(grid.valid, static), static=static)
    if not follow_light:
        return warped
    warped_source = warp_planes(source_planes, grid)
    warped_source = warped_source if static is None else _mix(static, source_planes, warped_source)
    sigma_px = max(1.0, LUMA_BLUR * max(grid.valid.shape))
    change = cv2.GaussianBlur(luma_of_planes(content) - luma_of_planes(warped_source), (0, 0), sigma_px)
    return replace(warped, luma_change=np.asarray(change, np.float32), source=warped_source)


def _relight(states: Sequence[_WarpedState]) -> tuple[list[_WarpedState], bool]:
    """Adapt states to the frame's light; the second result is False if that was necessary but not possible.

    How strongly a stylized channel c responds to the source's luma depends on style and weights. It is estimated from
    pairs of states a, b under different light, as the least-squares solution r of `r (L_a - L_b) = c_b - c_a` over the
    pixels where both are valid, with L the luma change from a state to the frame. A single state, or several under
    the same light, do not determine it.
    """
    lit = [(state, state.luma_change) for state in states if state.luma_change is not None]
    needed = sum(float((state.valid * np.square(change)).sum()) for state, change in lit)
    numerator, denominator = np.zeros(3), 0.0
    for (one, one_change), (other, other_change) in itertools.combinations(lit, 2):
        difference = one_change - other_change
        weight = one.valid * other.valid * difference
        numerator += [float((weight * (b - a)).sum()) for a, b in zip(one.picture, other.picture, strict=True)]
        denominator += float((weight * difference).sum())
    noise = NOISE_MEAN_SQUARE * states[0].valid.size
    if denominator < MIN_LUMA_SPREAD * needed:
        return list(states), needed < noise
    response = np.clip(numerator / (denominator + noise), 0, MAX_RESPONSE).astype(np.float32)[:, None, None]
    return [
        state
        if state.luma_change is None
        else replace(state, picture=np.clip(state.picture + state.luma_change * response, 0, 1))
        for state in states
    ], True


def smooth_borders(valid: NDArray[np.float32]) -> NDArray[np.float32]:
    """Smooth the borders of a validity map: 1 where all eight neighbours are valid, 0 where half of them or fewer are.

    The consistency check leaves ragged borders, along which states that differ would alternate from pixel to pixel;
    pass by pass that became rows of dots around moving objects.

    Args:
        valid: `(H, W)` float32 in [0, 1].
    """
    share = cv2.blur(valid, (BORDER_WINDOW_PX, BORDER_WINDOW_PX))
    return np.asarray(np.clip(2 * share - 1, 0, 1), np.float32)


def static_areas(
    luma: NDArray[np.float32], earlier: NDArray[np.float32], *, threshold_levels: float, ignore_light: bool
) -> NDArray[np.float32]:
    """Find where a frame shows the same as an earlier one at the same pixel.

    Args:
        luma: the frame's, `(H, W)` float32 in [0, 1].
        earlier: the earlier frame's luma.
        threshold_levels: largest difference in levels of 255, averaged over 5x5 pixels against noise.
        ignore_light: first removes the gain and offset of luma between the frames.

    Returns:
        `(H, W)` float32, 0 or 1 with soft edges.
    """
    reference = _match_light(luma, earlier) if ignore_light else earlier
    difference = cv2.blur(np.abs(cv2.blur(luma - reference, (3, 3))), (5, 5))
    static = (difference * 255 <= threshold_levels).astype(np.float32)
    kernel = np.ones((5, 5), np.uint8)
    return np.asarray(cv2.blur(cv2.erode(static, kernel), (5, 5)), np.float32)


def _match_light(luma: NDArray[np.float32], earlier: NDArray[np.float32]) -> NDArray[np.float32]:
    """Apply to `earlier` the gain and offset that fit it to `luma`, by least squares trimmed at 2.5 medians."""
    x, y = earlier.reshape(-1).astype(np.float64), luma.reshape(-1).astype(np.float64)
    fit_x, fit_y = x, y
    gain, offset = 1.0, 0.0
    for fits_left in reversed(range(ROBUST_FITS)):
        mean_x, mean_y = fit_x.mean(), fit_y.mean()
        deviation = fit_x - mean_x
        gain = float((deviation * (fit_y - mean_y)).mean() / (np.square(deviation).mean() + 1e-6))
        offset = float(mean_y - gain * mean_x)
        if fits_left:
            residual = np.abs(y - gain * x - offset)
            inliers = residual <= 2.5 * np.median(residual) + 1e-3
            fit_x, fit_y = x[inliers], y[inliers]
    return (earlier * np.float32(gain) + np.float32(offset)).astype(np.float32, copy=False)


def luma_of_planes(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute the `(H, W)` float32 Rec. 709 luma of a gamma-encoded `(3, H, W)` float32 picture."""
    # By OpenCV, not by `frames.luma`: NumPy sums the products in another order, which changes rendered pixels.
    return np.asarray(cv2.transform(cv2.merge(list(picture)), LUMA_WEIGHTS[None]), np.float32)


def _weighted_mean(values: Sequence[NDArray[np.float32]], shares: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Add up values `(H, W)` or `(C, H, W)` by their shares `(H, W)`."""
    total = values[0] * shares[0]
    product = np.empty_like(total)
    for value, share in zip(values[1:], shares[1:], strict=True):
        total += np.multiply(value, share, out=product)
    return total


def _mix(share: NDArray[np.float32], first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Interpolate from `second` (share 0) to `first` (share 1)."""
    return share * first + (1 - share) * second
