"""The affine map of colours that gives a clip the mean and covariance of a style's colours.

It is the linear map of least displacement between two normal distributions (Pitie & Kokaram 2007, "The linear
Monge-Kantorovitch linear colour mapping for example-based colour transfer").
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_LEAST_VARIANCE = 1e-5
"""Added to each channel's variance, so that colours on a line or in a point have a map, too."""


@dataclass(frozen=True, slots=True)
class ColourMoments:
    """Mean and covariance of colours in [0, 1]."""

    mean: Tensor
    """`(3,)` float64."""
    covariance: Tensor
    """`(3, 3)` float64."""

    @classmethod
    def of(cls, images: Iterable[Tensor]) -> "ColourMoments":
        """The moments of all pixels of `(1, 3, H, W)` images in [0, 1], each pixel alike."""
        count, total, products = 0, torch.zeros(3).double(), torch.zeros(3, 3).double()
        for image in images:
            colours = image[0].flatten(1).double().cpu()
            count += colours.shape[1]
            total += colours.sum(1)
            products += colours @ colours.T
        mean = total / count
        return cls(mean, products / count - torch.outer(mean, mean) + _LEAST_VARIANCE * torch.eye(3).double())

    @classmethod
    def mixed(cls, parts: Sequence["ColourMoments"], shares: Sequence[float]) -> "ColourMoments":
        """The moments of a mixture; shares sum to 1."""
        mean, covariance = torch.zeros(3).double(), torch.zeros(3, 3).double()
        for part, share in zip(parts, shares, strict=True):
            mean += share * part.mean
            covariance += share * (part.covariance + torch.outer(part.mean, part.mean))
        return cls(mean, covariance - torch.outer(mean, mean))


def colour_map(own: ColourMoments, goal: ColourMoments) -> Tensor:
    """The map from colours of the moments `own` to those of `goal`: `(3, 4)` float32, a matrix and an offset."""
    root = _power(own.covariance, 0.5)
    inverse = _power(own.covariance, -0.5)
    matrix = inverse @ _power(root @ goal.covariance @ root, 0.5) @ inverse
    return torch.cat([matrix, (goal.mean - matrix @ own.mean)[:, None]], 1).float()


def _power(matrix: Tensor, exponent: float) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    result: Tensor = (vectors * values.clamp(min=1e-12) ** exponent) @ vectors.T
    return result
