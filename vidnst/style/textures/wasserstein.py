"""Textures as distributions of activations, compared by the cost of transporting one to the other."""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from vidnst.style.textures.protocol import (
    NO_ENERGY,
    Distance,
    Scale,
    Statistic,
    Texture,
    as_columns,
    mean_over_positions,
)

_GAUSSIAN_LIKE_GRAM, _SLICED_LIKE_GRAM = 2.0, 2.8
"""Relative distances are then about as large as those of Gram matrices: see `moments_and_mmd`."""
_FLOOR = 1e-4
"""Variance added to every direction, as a share of the target's mean variance: where a texture has no variance the
distance has no usable gradient, and rounding may make a variance negative."""
LEVELS = 256
"""Equal parts into which each sorted distribution is divided."""
_SEED = 20210620


class GaussianWasserstein(Statistic):
    """The 2-Wasserstein distance of Gaussians with the mean and the covariance of the activations.

    W^2 = ||mu_F - mu_S||^2 + tr C_F + tr C_S - 2 tr (R^T C_F R)^1/2 with C_S = R R^T, which is Dowson & Landau 1982,
    "The Frechet Distance between Multivariate Normal Distributions", for any root R of C_S: the products have the same
    eigenvalues. R is a Cholesky factor, and the eigenvalues are those of a symmetric matrix, in double precision: their
    gradient contains no differences of eigenvalues and stays finite where some are equal. Deviation: both covariances
    have `_FLOOR` added to their diagonals.

    Stored as the mean and the mean of products, so a mix has the pooled moments of both textures.
    """

    additive = True
    takes_bfloat16 = False

    def compute(self, maps: Tensor, guide: Tensor | None = None) -> Texture:
        """Means `(N,)` and means of products `(N, N)`, float64."""
        columns = as_columns(maps)
        mean = mean_over_positions(columns, guide)
        centred = columns - mean[:, None]
        weights = None if guide is None else (guide / (guide.sum() + NO_ENERGY)).flatten()
        weighted = centred / centred.shape[1] if weights is None else centred * weights
        mean = mean.double()
        return mean, (weighted @ centred.T).double() + mean.outer(mean)

    def distance_to(self, target: Texture, *, scale: Scale) -> Distance:
        """gatys and mean: W^2 itself. relative: over the mean of ||y||^2 of the target, times `_GAUSSIAN_LIKE_GRAM`."""
        wanted = _covariance(target)
        size, trace, energy = len(wanted), wanted.trace(), target[1].trace() + NO_ENERGY
        floor = _FLOOR * trace / size + NO_ENERGY
        lift = floor * torch.eye(size, dtype=wanted.dtype, device=wanted.device)
        root = torch.linalg.cholesky(wanted + lift)
        least, lifted = floor**2 * _FLOOR, 2 * floor * size

        def distance(texture: Texture) -> Tensor:
            covariance = _covariance(texture)
            product: Tensor = root.T @ (covariance + lift) @ root
            # Symmetrised, because the gradient of the eigenvalues would amplify the rounding.
            overlap: Tensor = torch.linalg.eigvalsh((product + product.T) / 2).clamp(min=least).sqrt().sum()
            spread = covariance.trace() + trace + lifted - 2 * overlap
            apart = (texture[0] - target[0]).square().sum() + spread.clamp(min=0)
            if scale == "relative":
                apart = _GAUSSIAN_LIKE_GRAM * apart / energy
            return apart.float()

        return distance


def _covariance(texture: Texture) -> Tensor:
    mean, products = texture
    return products - mean.outer(mean)


class SlicedWasserstein(Statistic):
    """The sliced Wasserstein distance (Heitz, Vanhoey, Chambon & Belcour 2021, "A Sliced Wasserstein Loss for Neural
    Texture Synthesis"): activations projected onto directions, sorted, compared in order.

    Deviations. There are as many directions as channels, orthogonal, seeded and always the same, where the paper draws
    new ones for every step: the loss is then a fixed function, and results are reproducible. A sorted distribution is
    stored as the means of its `LEVELS` equal parts, so that pictures of different sizes can be compared and positions
    weighted. A mix interpolates quantile by quantile, which is the shortest path between the distributions.
    """

    additive = False
    takes_bfloat16 = False

    def compute(self, maps: Tensor, guide: Tensor | None = None) -> Texture:
        """Quantile functions `(N, LEVELS)`, one per direction."""
        columns = as_columns(maps)
        projected = _directions(len(columns), columns.dtype, str(columns.device)) @ columns
        return (quantiles(projected, None if guide is None else guide.flatten()),)

    def distance_to(self, target: Texture, *, scale: Scale) -> Distance:
        """Mean squared difference over directions and quantiles; relative: over the target's, scaled."""
        energy = target[0].square().mean() + NO_ENERGY

        def distance(texture: Texture) -> Tensor:
            apart = (texture[0] - target[0]).square().mean()
            return _SLICED_LIKE_GRAM * apart / energy if scale == "relative" else apart

        return distance


def quantiles(values: Tensor, weights: Tensor | None = None) -> Tensor:
    """The means of the `LEVELS` equal parts of each row's sorted values: `(K, M)` to `(K, LEVELS)`.

    Args:
        values: differentiable.
        weights: `(M,)`, the weight of each column, at least 0; None for equal weights. All 0 gives zeros.
    """
    result: Tensor = _Quantiles.apply(values, weights)
    return result


class _Quantiles(torch.autograd.Function):
    """`quantiles`, with a gradient that is gathered instead of scattered, so that its order of summation is fixed.

    Sorted and weighted, each value covers a span of [0, 1]. A part's mean is the increase of the integral of the
    quantile function over that part; a value's gradient is the increase of the integral of the parts' gradients over
    its span.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, weights: Tensor | None) -> Tensor:
        order = values.argsort(dim=1, stable=True)
        ctx.save_for_backward(order, weights)
        ordered = values.gather(1, order).double()
        ends = _ends(order, weights)
        spans = ends.diff(dim=1, prepend=torch.zeros_like(ends[:, :1]))
        integral = (ordered * spans).cumsum(dim=1)
        levels = torch.linspace(0, 1, LEVELS + 1, dtype=torch.float64, device=values.device)[1:-1]
        places = torch.searchsorted(ends, levels.expand(len(ends), -1).contiguous()).clamp(max=values.shape[1] - 1)
        excess = (ends.gather(1, places) - levels).expand(len(values), -1)
        places = places.expand(len(values), -1)
        inner = integral.gather(1, places) - excess * ordered.gather(1, places)
        integral = torch.cat([torch.zeros_like(inner[:, :1]), inner, integral[:, -1:]], dim=1)
        means = integral.diff(dim=1) * LEVELS
        return (means if weights is None else means * (weights.sum() > 0)).to(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        order, weights = ctx.saved_tensors
        (gradient,) = gradients
        ends = _ends(order, weights).clamp(0, 1) * LEVELS
        begins = torch.cat([torch.zeros_like(ends[:, :1]), ends[:, :-1]], dim=1)
        steps = gradient.double()
        sums = torch.cat([torch.zeros_like(steps[:, :1]), steps.cumsum(dim=1)], dim=1)

        def integral(at: Tensor) -> Tensor:
            part = at.long().clamp(max=LEVELS - 1)
            share = (at - part).expand(len(steps), -1)
            part = part.expand(len(steps), -1)
            return sums.gather(1, part) + share * steps.gather(1, part)

        ordered = (integral(ends) - integral(begins)).to(gradient)
        return torch.zeros_like(ordered).scatter_(1, order, ordered), None


def _ends(order: Tensor, weights: Tensor | None) -> Tensor:
    """The end of each sorted value's span of [0, 1], `(K, M)`, or `(1, M)` if all rows are alike; float64."""
    if weights is None:
        count = order.shape[1]
        return (torch.arange(1, count + 1, dtype=torch.float64, device=order.device) / count)[None]
    weights = weights.double()
    ends: Tensor = (weights / (weights.sum() + NO_ENERGY))[order].cumsum(dim=1)
    return ends


@lru_cache(maxsize=32)
def _directions(channels: int, dtype: torch.dtype, device: str) -> Tensor:
    generator = torch.Generator().manual_seed(_SEED)
    random = torch.randn(channels, channels, generator=generator, dtype=torch.float64)
    directions: Tensor = torch.linalg.qr(random)[0]
    return directions.to(device, dtype)
