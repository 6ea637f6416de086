"""Textures as Gram matrices (Gatys, Ecker & Bethge 2015, "A Neural Algorithm of Artistic Style")."""

from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from vidnst.style.textures.protocol import NO_ENERGY, Distance, Scale, Statistic, Texture

_BAND_POSITIONS = 4096
"""Positions over which products are summed in bfloat16."""


class GramMatrix(Statistic):
    """The mean products of channels."""

    additive = True
    takes_bfloat16 = True

    def compute(self, maps: Tensor, guide: Tensor | None = None) -> Texture:
        """The Gram matrix `(N, N)`: see `gram`."""
        return (gram(maps, guide),)

    def distance_to(self, target: Texture, *, scale: Scale) -> Distance:
        """The mean squared difference of two Gram matrices G and A of N channels, at a scale.

        relative: ||G - A||^2 / ||A||^2, 0 for the style itself, about 1 for nothing like it.
        gatys: equation 4, E = 1 / (4 N^2 M^2) sum_ij (G_ij - A_ij)^2; the M^2 is in Gram matrices that are means (see
        `gram`), each picture's own.
        mean: 1/N^2 sum_ij (G_ij - A_ij)^2, as in code that divides its Gram matrices by N, too, and then sums.
        """
        factor: float | Tensor = 0.25 if scale == "gatys" else 1.0
        if scale == "relative":
            factor = 1 / (target[0].square().mean() + NO_ENERGY)
        return lambda texture: functional.mse_loss(texture[0], target[0]) * factor


def gram(features: Tensor, guide: Tensor | None = None) -> Tensor:
    """Gram matrix `(N, N)` of maps: the mean over positions of products of channels, G_ij = 1/M sum_k F_ik F_jk.

    Deviation from equation 3, which sums: pictures of different sizes can then be compared, as a style picture and a
    frame must be. With a guide `(1, 1, h, w)` the mean is weighted, so that a region's size plays no part either
    (guided Gram matrices: Gatys et al. 2017, "Controlling Perceptual Factors in Neural Style Transfer").

    The result is float32. Products of bfloat16 maps are summed in bfloat16 over `_BAND_POSITIONS` positions at most and
    in float32 from there on: the entries are then off by 0.2 % at most.
    """
    # With channels last in memory this is a view, and so is its gradient, unlike that of `features[0]`.
    rows = features.permute(0, 2, 3, 1).flatten(0, 2)
    weights = None if guide is None else guide.flatten()[:, None].to(rows)
    count = rows.shape[0] if guide is None else guide.sum() + NO_ENERGY
    products: Tensor = _Products.apply(rows, weights)
    return products / count


class _Products(torch.autograd.Function):
    """R^T diag(w) R of rows R, `(M, N)`, and weights w, `(M, 1)` or None, which get no gradient.

    Written by hand because its gradient, w R (D + D^T), is one product; autograd would compute two and add them.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weights: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows, weights)
        weighted = rows if weights is None else rows * weights
        if rows.dtype != torch.bfloat16:
            return weighted.T @ rows
        end = len(rows) // _BAND_POSITIONS * _BAND_POSITIONS
        products = [weighted[end:].T @ rows[end:]]
        if end:
            bands = [part[:end].reshape(-1, _BAND_POSITIONS, part.shape[1]) for part in (weighted, rows)]
            products.append(torch.bmm(bands[0].transpose(1, 2), bands[1]).sum(0, dtype=torch.float32))
        return reduce(torch.add, (product.float() for product in products))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        rows, weights = ctx.saved_tensors
        of_rows = rows @ (gradient + gradient.T).to(rows.dtype)
        return of_rows if weights is None else of_rows * weights, None
