"""The terms of the objective, as pure functions of feature maps and pictures.

Two scales. *Relative* divides each distance by the energy of its target, so a number means the same look at any
resolution and with any weights. *Gatys* keeps the sums of Gatys, Ecker & Bethge 2015, "A Neural Algorithm of Artistic
Style" (the equations below are its numbers), with the deviations that each function names.
All maps are `(1, N, h, w)` float tensors, N channels over M = h * w positions; all results are scalars.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import torch
from torch import Tensor

Scale: TypeAlias = Literal["relative", "gatys"]

_NO_ENERGY = 1e-12
"""Added to mean energies, so that a target without any (a black picture, a dead layer) gives no division by zero."""


def shares(weights: Mapping[str, float]) -> dict[str, float]:
    """Layer weights over their sum; layers without weight are left out."""
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items() if weight > 0}


def gram(features: Tensor) -> Tensor:
    """Gram matrix `(N, N)`: the mean over positions of products of channels, G_ij = 1/M sum_k F_ik F_jk.

    Deviation from equation 3, which sums: pictures of different sizes can then be compared, as a style picture and a
    frame must be.
    """
    channels = features.flatten(0, 1).flatten(1)
    return channels @ channels.T / channels.shape[1]


def style(found: Tensor, target: Tensor, *, scale: Scale = "relative") -> Tensor:
    """Distance of a Gram matrix from the one of the style.

    relative: ||G - A||^2 / ||A||^2, 0 for the style itself, about 1 for nothing like it.
    gatys: equation 4, E = 1 / (4 N^2 M^2) sum_ij (G_ij - A_ij)^2; the M^2 is in Gram matrices that are means (see
    `gram`), each picture's own.
    """
    distance = (found - target).square().mean()
    return distance / 4 if scale == "gatys" else distance / _energy(target)


def content(found: Tensor, target: Tensor, *, scale: Scale = "relative") -> Tensor:
    """Distance of a map from the one of the content.

    relative: ||F - P||^2 / ||P||^2, 0 for the content itself.
    gatys: equation 1, L = 1/2 sum_ij (F_ij - P_ij)^2.
    """
    difference = (found - target).square()
    return difference.sum() / 2 if scale == "gatys" else difference.mean() / _energy(target)


def total_variation(picture: Tensor) -> Tensor:
    """Mean squared difference of vertical neighbours plus that of horizontal ones, over a `(1, 3, H, W)` picture.

    Not in Gatys 2015; a mean where others sum, so that its weight means the same at any resolution.
    A picture one pixel high or wide has no neighbours that way, and no such part.
    """
    down = (picture[..., 1:, :] - picture[..., :-1, :]).square()
    across = (picture[..., 1:] - picture[..., :-1]).square()
    parts = [part.mean() for part in (down, across) if part.numel()]
    return torch.stack(parts).sum() if parts else picture.sum() * 0


def temporal(picture: Tensor, start: Tensor, mask: Tensor) -> Tensor:
    """Mean over all pixels and channels of mask * (picture - start)^2.

    Ruder, Dosovitskiy & Brox 2016, "Artistic Style Transfer for Videos", equation 7:
    L = 1/D sum_k c_k (x_k - omega_k)^2, D = 3 H W. Pixels that the mask leaves out stay in the denominator, so the pull
    on one pixel does not depend on how many others are valid.

    Args:
        picture, start: `(1, 3, H, W)` in [0, 1].
        mask: `(1, 1, H, W)` in [0, 1], 1 where `start` is to be believed.
    """
    return (mask * (picture - start).square()).mean()


def _energy(target: Tensor) -> Tensor:
    return target.square().mean() + _NO_ENERGY
