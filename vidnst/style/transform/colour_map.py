"""The affine map of colours that gives a clip the mean and covariance of a style's colours."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidnst.frames import linear_colour_map


@dataclass(frozen=True, slots=True)
class ColourMoments:
    """Mean and covariance of colours in [0, 1]."""

    mean: NDArray[np.float64]
    """`(3,)`."""
    covariance: NDArray[np.float64]
    """`(3, 3)`."""

    @classmethod
    def of(cls, images: Iterable[Tensor]) -> "ColourMoments":
        """The moments of all pixels of `(1, 3, H, W)` images in [0, 1]."""
        parts, sizes = [], []
        for image in images:
            colours = image[0].flatten(1).double().cpu().numpy()
            parts.append(cls(colours.mean(1), np.cov(colours, ddof=0)))
            sizes.append(colours.shape[1])
        return cls.mixed(parts, sizes)

    @classmethod
    def mixed(cls, parts: Sequence["ColourMoments"], shares: Sequence[float]) -> "ColourMoments":
        """The moments of a mixture; shares are relative to each other."""
        mean = np.average([part.mean for part in parts], 0, shares)
        squares = [part.covariance + np.outer(part.mean - mean, part.mean - mean) for part in parts]
        return cls(mean, np.average(squares, 0, shares))


def colour_map(own: ColourMoments, goal: ColourMoments) -> Tensor:
    """The map from colours of the moments `own` to those of `goal`: `(3, 4)` float32, a matrix and an offset."""
    matrix = linear_colour_map(own.covariance, goal.covariance)
    offset = goal.mean - matrix @ own.mean
    return torch.from_numpy(np.column_stack([matrix, offset])).float()
