"""The terms of the objective that look at pixels, and the rules that all terms share.

Three scales. *relative* divides each distance by the energy of its target, so a number means the same at any resolution
and with any weights. *gatys* keeps the sums of Gatys, Ecker & Bethge 2015, "A Neural Algorithm of Artistic Style" (the
equations that docstrings cite are numbered as there), with the deviations that they name. *mean* has plain means of
squared differences instead, as most published code does: a content of a million values then counts like one of ten.
All results are scalars.
"""

from collections.abc import Mapping
from functools import reduce
from typing import Any, TypeVar

import torch
from torch import Tensor

Name = TypeVar("Name", bound=str | int)

_NO_LIGHT_PATTERN = 1e-6
"""Mean square below which a change of light has no pattern: far below one level of 255."""
_LIGHT_PATCHES = 10
"""Patches across a picture, each of which may change its brightness by its own amount."""


def shares(weights: Mapping[Name, float]) -> dict[Name, float]:
    """Weights divided by their sum; entries without weight are left out."""
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items() if weight > 0}


def total_variation(picture: Tensor) -> Tensor:
    """Mean squared difference of vertical neighbours plus that of horizontal ones, over a `(1, 3, H, W)` picture.

    Not in Gatys 2015; a mean where others sum, so that its weight means the same at any resolution. A picture one pixel
    high or wide has no neighbours in that direction, and no such part.
    """
    variation: Tensor = _Variation.apply(picture)
    return variation


class _Variation(torch.autograd.Function):
    """Written by hand because its gradient is a few sums in place; autograd would allocate four pictures of zeros."""

    @staticmethod
    def forward(ctx: Any, picture: Tensor) -> Tensor:
        ctx.save_for_backward(picture)
        parts = [part.square().mean() for part in _steps(picture) if part.numel()]
        return reduce(torch.add, parts, picture.new_zeros(()))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (picture,) = ctx.saved_tensors
        result = torch.zeros_like(picture)
        for axis, steps in zip((-2, -1), _steps(picture), strict=True):
            if count := steps.numel():
                size = picture.shape[axis] - 1
                result.narrow(axis, 1, size).add_(steps, alpha=2 / count)
                result.narrow(axis, 0, size).sub_(steps, alpha=2 / count)
        return result.mul_(gradient)


def _steps(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Differences of every pixel to the next one below, and to the next one on the right."""
    return picture[..., 1:, :] - picture[..., :-1, :], picture[..., 1:] - picture[..., :-1]


def temporal(
    picture: Tensor, start: Tensor, mask: Tensor, *, light: Tensor | None = None, lock: Tensor | None = None
) -> Tensor:
    """Masked mean squared difference between a picture and its warm start.

    Ruder, Dosovitskiy & Brox 2016, "Artistic Style Transfer for Videos", equation 7, is 1/D sum_k c_k (x_k - omega_k)^2
    with D = 3 H W. Deviation: the sum is divided by the mask's own sum, so that the pull on valid pixels does not
    depend on the share of the frame that is disoccluded.

    With `light` the part of the difference that a change of light explains is subtracted first, and so costs nothing:
    each channel's best a * light, and whatever varies smoothly over the picture. Gao et al. 2018, "ReCoNet", equation
    4, subtracts the change of the source's luminance as it is; a stylized picture follows light only in part, and not
    everywhere alike. The rest is texture, and is kept.

    Args:
        picture, start: `(1, 3, H, W)` in [0, 1].
        mask: `(1, 1, H, W)` in [0, 1], 1 where `start` is valid.
        light: `(1, 1, H, W)` in [-1, 1], the source's brightness minus that of the source frame of `start`.
        lock: `(1, 1, H, W)`, at least 0, additional weight of a pixel.
    """
    difference = picture - start
    if light is not None:
        difference = difference - _explained_by_light(difference, light, mask)
    weight = mask if lock is None else mask * (1 + lock)
    return (weight * difference.square()).sum() / (picture.shape[1] * mask.sum()).clamp(min=1)


def _explained_by_light(difference: Tensor, light: Tensor, mask: Tensor) -> Tensor:
    """The part of the difference that light explains: each channel's best a * light, and the smooth rest of it."""
    count = mask.sum().clamp(min=1)
    pattern = light - (mask * light).sum() / count
    rest = difference - (mask * difference).sum(dim=(2, 3), keepdim=True) / count
    share = (mask * rest * pattern).sum(dim=(2, 3), keepdim=True)
    share = share / ((mask * pattern.square()).sum() + _NO_LIGHT_PATTERN * count)
    return share * pattern + smooth(difference - share * pattern, mask)


def smooth(difference: Tensor, mask: Tensor) -> Tensor:
    """The local mean of a difference under a mask, by matrix products, whose order of summation is fixed.

    Args:
        difference: `(1, C, H, W)`.
        mask: `(1, 1, H, W)` in [0, 1].
    """
    height, width = difference.shape[-2:]
    rows = _hat_functions(height, max(1, round(_LIGHT_PATCHES * height / width)), difference)
    columns = _hat_functions(width, _LIGHT_PATCHES, difference)
    weight = (rows.T @ mask.to(rows) @ columns).clamp(min=1e-3)
    return rows @ ((rows.T @ (mask * difference) @ columns) / weight) @ columns.T


def _hat_functions(length: int, count: int, like: Tensor) -> Tensor:
    """`(length, count)`: evenly spaced hat functions, sampled at each pixel; they sum to 1."""
    places = (torch.arange(length, dtype=like.dtype, device=like.device) + 0.5) * (count / length) - 0.5
    centres = torch.arange(count, dtype=like.dtype, device=like.device)
    return (1 - (places.clamp(0, count - 1)[:, None] - centres).abs()).clamp(min=0)
