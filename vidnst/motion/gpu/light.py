"""Changing light and static areas: what `vidnst.motion.blend` does about them, on a device.

Nothing waits for the device but `relight`, which has to decide whether states can be relit at all.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from vidnst.frames import LUMA_WEIGHTS
from vidnst.motion.blend import LUMA_BLUR, MAX_RESPONSE, MIN_LUMA_SPREAD, NOISE_MEAN_SQUARE, ROBUST_FITS
from vidnst.motion.gpu.detail_gain import box_mean, gaussian_blur


@dataclass(frozen=True, slots=True)
class WarpedTensors:
    """A state on the frame's grid."""

    picture: Tensor
    """`(1, 3, H, W)` in [0, 1]."""
    valid: Tensor
    """`(1, 1, H, W)` in [0, 1]."""
    contrast: Tensor | None = None
    """Its `band_contrast`, `(1, 2, H, W)`."""
    luma_change: Tensor | None = None
    """`(1, 1, H, W)`: the frame's luma minus that of the warped source."""
    static: Tensor | None = None
    """`(1, 1, H, W)` in [0, 1]."""
    source: Tensor | None = None
    """Its source, warped like the state."""


def luma(picture: Tensor) -> Tensor:
    """Compute the `(1, 1, H, W)` Rec. 709 luma of a gamma-encoded `(1, 3, H, W)` picture."""
    red, green, blue = (float(weight) for weight in LUMA_WEIGHTS)
    return picture[:, :1] * red + picture[:, 1:2] * green + picture[:, 2:] * blue


def static_areas(own: Tensor, earlier: Tensor, *, threshold_levels: float, ignore_light: bool) -> Tensor:
    """Find where a frame shows the same as an earlier one at the same pixel, by their lumas: see `motion.blend`."""
    reference = _match_light(own, earlier) if ignore_light else earlier
    difference = box_mean(box_mean(own - reference, 3).abs_(), 5)
    static = (difference * 255 <= threshold_levels).to(torch.float32)
    eroded = -functional.max_pool2d(-static, 5, stride=1, padding=2)
    return box_mean(eroded, 5)


def smooth_change(own: Tensor, warped_source: Tensor) -> Tensor:
    """The change of luma from a warped source to the frame, without noise and misplaced edges."""
    sigma_px = max(1.0, LUMA_BLUR * max(own.shape[-2:]))
    return gaussian_blur(own - luma(warped_source), sigma_px)


def relight(states: Sequence[WarpedTensors]) -> tuple[list[WarpedTensors], bool]:
    """Adapt states to the frame's light; the second result is False if that was necessary but not possible."""
    lit = [(state, state.luma_change) for state in states if state.luma_change is not None]
    sums = [torch.stack([(state.valid * change.square()).double().sum() for state, change in lit]).sum()]
    sums += [torch.zeros_like(sums[0])] * 4
    for (one, one_change), (other, other_change) in itertools.combinations(lit, 2):
        difference = one_change - other_change
        weight = one.valid * other.valid * difference
        channels = (weight * (other.picture - one.picture)).double().sum(dim=(0, 2, 3))
        sums[1] = sums[1] + (weight * difference).double().sum()
        sums[2:] = [total + channel for total, channel in zip(sums[2:], channels, strict=True)]
    needed, denominator, *numerators = torch.stack(sums).tolist()  # the only wait
    noise = NOISE_MEAN_SQUARE * states[0].valid.numel()
    if denominator < MIN_LUMA_SPREAD * needed:
        return list(states), needed < noise
    responses = [min(max(numerator / (denominator + noise), 0.0), MAX_RESPONSE) for numerator in numerators]
    response = states[0].picture.new_tensor(responses).reshape(1, 3, 1, 1)
    return [
        state
        if state.luma_change is None
        else replace(state, picture=torch.addcmul(state.picture, state.luma_change, response).clamp_(0, 1))
        for state in states
    ], True


def _match_light(own: Tensor, earlier: Tensor) -> Tensor:
    """Apply to `earlier` the gain and offset that fit it to `own`, by least squares trimmed at 2.5 medians."""
    x, y = earlier.reshape(-1).double(), own.reshape(-1).double()
    inliers = torch.ones_like(x)
    gain, offset = x.new_ones(()), x.new_zeros(())
    for fits_left in reversed(range(ROBUST_FITS)):
        count = inliers.sum()
        mean_x, mean_y = (x * inliers).sum() / count, (y * inliers).sum() / count
        deviation = (x - mean_x) * inliers
        gain = (deviation * (y - mean_y)).sum() / count / (deviation.square().sum() / count + 1e-6)
        offset = mean_y - gain * mean_x
        if fits_left:
            residual = (y - gain * x - offset).abs_()
            inliers = (residual <= 2.5 * _median(residual) + 1e-3).to(x.dtype)
    return (earlier * gain + offset).to(torch.float32)


def _median(values: Tensor) -> Tensor:
    """Return the median as NumPy defines it: of an even number of values the mean of the two in the middle."""
    ordered, count = values.sort().values, values.numel()
    return (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
