"""Textures as Gaussians, compared by what it costs to carry one over to the other."""

import torch
from torch import Tensor

from vidnst.style.losses.terms import NO_ENERGY, Scale
from vidnst.style.textures.protocol import Statistic, Texture, averaged, vectors

_LIKE_GRAM = 2.0
"""Photographs are then about as far from paintings as under the Gram matrix: see `kernels`."""
_FLOOR = 1e-4
"""Variance that every direction is given, as a share of the target's mean variance: a direction in which a texture has
none has no direction to grow in, and rounding may leave it less than none."""


class Wasserstein(Statistic):
    """The 2-Wasserstein distance of Gaussians with the mean and the covariance of the activations.

    W^2 = ||mu_F - mu_S||^2 + tr C_F + tr C_S - 2 tr (R^T C_F R)^1/2 with C_S = R R^T, which is Dowson & Landau 1982,
    "The Frechet Distance between Multivariate Normal Distributions", whatever root R of C_S is taken: the products
    have the same eigenvalues. R is a Cholesky factor, the eigenvalues are those of a symmetric matrix, in double
    precision: their gradient has no differences of eigenvalues in it and stays finite where some are equal. Deviation:
    both covariances have `_FLOOR` added to their diagonals.

    Kept as the mean and the mean of products, so what is mixed has the moments of both textures pooled.
    """

    additive = True
    takes_half = False

    def of(self, maps: Tensor, guide: Tensor | None = None) -> Texture:
        """Means `(N,)` and means of products `(N, N)`, float64."""
        columns = vectors(maps)
        mean = averaged(columns, guide)
        rest = columns - mean[:, None]
        weighted = rest / rest.shape[1] if guide is None else rest * (guide / (guide.sum() + NO_ENERGY)).flatten()
        mean = mean.double()
        return mean, (weighted @ rest.T).double() + mean.outer(mean)

    def distance(self, found: Texture, target: Texture, *, scale: Scale) -> Tensor:
        """gatys and mean: W^2 itself. relative: over the mean of ||y||^2 of the target, times `_LIKE_GRAM`."""
        one, other = _covariance(found), _covariance(target)
        size = len(other)
        floor = _FLOOR * other.trace() / size + NO_ENERGY
        lift = floor * torch.eye(size, dtype=other.dtype, device=other.device)
        root = torch.linalg.cholesky(other + lift)
        product: Tensor = root.T @ (one + lift) @ root
        # Symmetric but for rounding, which the eigenvalues' gradient would answer to.
        overlap: Tensor = torch.linalg.eigvalsh((product + product.T) / 2).clamp(min=floor**2 * _FLOOR).sqrt().sum()
        spread = one.trace() + other.trace() + 2 * floor * size - 2 * overlap
        apart = (found[0] - target[0]).square().sum() + spread.clamp(min=0)
        if scale == "relative":
            apart = _LIKE_GRAM * apart / (target[1].trace() + NO_ENERGY)
        return apart.float()


def _covariance(texture: Texture) -> Tensor:
    mean, products = texture
    return products - mean.outer(mean)
