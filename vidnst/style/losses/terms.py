"""The terms of the objective, as pure functions of feature maps and pictures.

Three scales. *Relative* divides each distance by the energy of its target, so a number means the same look at any
resolution and with any weights. *Gatys* keeps the sums of Gatys, Ecker & Bethge 2015, "A Neural Algorithm of Artistic
Style" (the equations below are its numbers), with the deviations that each function names. *Mean* has plain means of
squared differences instead, as most published code does: a content of a million values then counts like one of ten.
All maps are `(1, N, h, w)` float tensors, N channels over M = h * w positions; all results are scalars.
"""

from collections.abc import Mapping
from functools import reduce
from typing import Any, Literal, TypeAlias, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

Scale: TypeAlias = Literal["relative", "gatys", "mean"]
Name = TypeVar("Name", bound=str | int)

NO_ENERGY = 1e-12
"""Added to mean energies, so that a target without any (a black picture, a dead layer) gives no division by zero."""


def shares(weights: Mapping[Name, float]) -> dict[Name, float]:
    """Layer weights over their sum; layers without weight are left out."""
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items() if weight > 0}


def gram(features: Tensor, guide: Tensor | None = None) -> Tensor:
    """Gram matrix `(N, N)`: the mean over positions of products of channels, G_ij = 1/M sum_k F_ik F_jk.

    Deviation from equation 3, which sums: pictures of different sizes can then be compared, as a style picture and a
    frame must be. With a guide `(1, 1, h, w)` the mean is a weighted one, so that a region's size plays no part either.

    The result is float32. Of bfloat16 maps the products are summed up in bfloat16 over `_BAND` positions at most and
    in float32 from there on: its entries are then off by 0.2 % at most.
    """
    # A view, where channels come last in memory; and so does its gradient, as `features[0]` would not have it.
    rows = features.permute(0, 2, 3, 1).flatten(0, 2)
    weights = None if guide is None else guide.flatten()[:, None].to(rows)
    count = rows.shape[0] if guide is None else guide.sum() + NO_ENERGY
    found: Tensor = _Products.apply(rows, weights)
    return found / count


_BAND = 4096
"""Positions over which products are added up in bfloat16."""


class _Products(torch.autograd.Function):
    """R^T diag(w) R of rows R, `(M, N)`, and weights w, `(M, 1)` or None, which get no gradient.

    By hand because its gradient, w R (D + D^T), is one product, and autograd makes two and adds them up.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weights: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows, weights)
        left = rows if weights is None else rows * weights
        if rows.dtype != torch.bfloat16:
            return left.T @ rows
        whole = len(rows) // _BAND * _BAND
        products = [left[whole:].T @ rows[whole:]]
        if whole:
            bands = [part[:whole].reshape(-1, _BAND, part.shape[1]) for part in (left, rows)]
            products.append(torch.bmm(bands[0].transpose(1, 2), bands[1]).sum(0, dtype=torch.float32))
        return reduce(torch.add, (product.float() for product in products))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        rows, weights = ctx.saved_tensors
        found = rows @ (gradient + gradient.T).to(rows.dtype)
        return found if weights is None else found * weights, None


def style(found: Tensor, target: Tensor, *, scale: Scale = "relative") -> Tensor:
    """Distance of a Gram matrix from the one of the style.

    relative: ||G - A||^2 / ||A||^2, 0 for the style itself, about 1 for nothing like it.
    gatys: equation 4, E = 1 / (4 N^2 M^2) sum_ij (G_ij - A_ij)^2; the M^2 is in Gram matrices that are means (see
    `gram`), each picture's own.
    mean: 1/N^2 sum_ij (G_ij - A_ij)^2. Code that divides its Gram matrices by N, too, and then sums has this number.
    """
    return functional.mse_loss(found, target) * of_mean_gram(target, scale)


def of_mean_gram(target: Tensor, scale: Scale) -> float | Tensor:
    """What the mean of squared differences from a Gram matrix is multiplied by to be at another scale."""
    if scale == "relative":
        return 1 / _energy(target)
    return 0.25 if scale == "gatys" else 1.0


def content(found: Tensor, target: Tensor, *, scale: Scale = "relative") -> Tensor:
    """Distance of a map from the one of the content.

    relative: ||F - P||^2 / ||P||^2, 0 for the content itself.
    gatys: equation 1, L = 1/2 sum_ij (F_ij - P_ij)^2.
    mean: 1/(N M) sum_ij (F_ij - P_ij)^2.
    """
    return functional.mse_loss(found, target) * of_mean(target, scale)


def of_mean(target: Tensor, scale: Scale) -> float | Tensor:
    """What the mean of squared differences from a content map is multiplied by to be at another scale."""
    if scale == "mean":
        return 1.0
    return target.numel() / 2 if scale == "gatys" else 1 / _energy(target)


def total_variation(picture: Tensor) -> Tensor:
    """Mean squared difference of vertical neighbours plus that of horizontal ones, over a `(1, 3, H, W)` picture.

    Not in Gatys 2015; a mean where others sum, so that its weight means the same at any resolution.
    A picture one pixel high or wide has no neighbours that way, and no such part.
    """
    found: Tensor = _Variation.apply(picture)
    return found


class _Variation(torch.autograd.Function):
    """By hand because its gradient is a few sums in place, of which autograd makes four pictures of zeros first."""

    @staticmethod
    def forward(ctx: Any, picture: Tensor) -> Tensor:
        ctx.save_for_backward(picture)
        parts = [part.square().mean() for part in _steps(picture) if part.numel()]
        return reduce(torch.add, parts, picture.new_zeros(()))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (picture,) = ctx.saved_tensors
        found = torch.zeros_like(picture)
        for axis, steps in zip((-2, -1), _steps(picture), strict=True):
            if count := steps.numel():
                size = picture.shape[axis] - 1
                found.narrow(axis, 1, size).add_(steps, alpha=2 / count)
                found.narrow(axis, 0, size).sub_(steps, alpha=2 / count)
        return found.mul_(gradient)


def _steps(picture: Tensor) -> tuple[Tensor, Tensor]:
    """From every pixel to the next below, and to the next on the right."""
    return picture[..., 1:, :] - picture[..., :-1, :], picture[..., 1:] - picture[..., :-1]


def temporal(
    picture: Tensor, start: Tensor, mask: Tensor, *, light: Tensor | None = None, lock: Tensor | None = None
) -> Tensor:
    """Masked mean of the squared difference from where a frame started.

    Ruder, Dosovitskiy & Brox 2016, "Artistic Style Transfer for Videos", equation 7, is 1/D sum_k c_k (x_k - omega_k)^2
    with D = 3 H W. Deviation: the sum is over the mask's own sum, so that a number means the same pull on what can be
    held, however much of the frame has come into view.

    With `light` the part of the difference that a change of light explains is free and is taken off first: each
    channel's best a * light, and what changes smoothly over the picture. Gao et al. 2018, "ReCoNet", equation 4, takes
    the change of the source's luminance off as it is; a painting answers to light by a share of it only, and not
    everywhere by the same. What is left is texture, and is held.

    Args:
        picture, start: `(1, 3, H, W)` in [0, 1].
        mask: `(1, 1, H, W)` in [0, 1], 1 where `start` is to be believed.
        light: `(1, 1, H, W)` in [-1, 1], how much brighter the source is than where `start` comes from.
        lock: `(1, 1, H, W)` at least 0, how much more a pixel counts than others.
    """
    difference = picture - start
    if light is not None:
        difference = difference - _explained(difference, light, mask)
    weight = mask if lock is None else mask * (1 + lock)
    return (weight * difference.square()).sum() / (picture.shape[1] * mask.sum()).clamp(min=1)


_FLAT_LIGHT = 1e-6
"""Mean square under which a change of light has no pattern: far below one level of 255."""


_LIGHT_PATCHES = 10
"""Patches across a picture, each of which may grow brighter or darker by its own amount."""


def _explained(difference: Tensor, light: Tensor, mask: Tensor) -> Tensor:
    """What of the difference light explains: each channel's best a * light, and what is smooth, under the mask."""
    count = mask.sum().clamp(min=1)
    pattern = light - (mask * light).sum() / count
    rest = difference - (mask * difference).sum(dim=(2, 3), keepdim=True) / count
    share = (mask * rest * pattern).sum(dim=(2, 3), keepdim=True)
    share = share / ((mask * pattern.square()).sum() + _FLAT_LIGHT * count)
    return share * pattern + smooth(difference - share * pattern, mask)


def smooth(difference: Tensor, mask: Tensor) -> Tensor:
    """The mean around every place under the mask, by products of matrices, which add up in one order on any device.

    Args:
        difference: `(1, C, H, W)`.
        mask: `(1, 1, H, W)` in [0, 1].
    """
    height, width = difference.shape[-2:]
    rows = _hats(height, max(1, round(_LIGHT_PATCHES * height / width)), difference)
    columns = _hats(width, _LIGHT_PATCHES, difference)
    weight = (rows.T @ mask.to(rows) @ columns).clamp(min=1e-3)
    return rows @ ((rows.T @ (mask * difference) @ columns) / weight) @ columns.T


def _hats(length: int, count: int, like: Tensor) -> Tensor:
    """`(length, count)`: how much each of evenly spread hat functions has at each pixel; they add up to 1."""
    places = (torch.arange(length, dtype=like.dtype, device=like.device) + 0.5) * (count / length) - 0.5
    centres = torch.arange(count, dtype=like.dtype, device=like.device)
    return (1 - (places.clamp(0, count - 1)[:, None] - centres).abs()).clamp(min=0)


def _energy(target: Tensor) -> Tensor:
    return target.square().mean() + NO_ENERGY
