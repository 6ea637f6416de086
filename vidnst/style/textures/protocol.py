"""The interface of a texture statistic, and the helpers that statistics share.

A texture is a few tensors whose shapes depend on channels alone. Relative distances are scaled so that photographs
are as far from paintings as by Gram matrices, and a style weight means the same with each statistic.
"""

from collections.abc import Callable, Sequence
from typing import Literal, Protocol, TypeAlias

from torch import Tensor

Scale: TypeAlias = Literal["relative", "gatys", "mean"]
"""The scale of a loss: see `losses.terms`."""
Texture: TypeAlias = tuple[Tensor, ...]
"""A statistic of one layer: one or several tensors whose shapes depend on the number of channels alone."""

Distance: TypeAlias = Callable[[Texture], Tensor]
"""From a texture to its distance from a target."""

NO_ENERGY = 1e-12
"""Added to mean energies, so that a target without any (a black picture, a dead layer) causes no division by zero."""


class Statistic(Protocol):
    """A way to describe and compare textures, independent of where in the picture they are."""

    additive: bool
    """True if the texture of a picture is the `mix` of the textures of its parts, each by its share of positions."""
    takes_bfloat16: bool
    """True if `compute` takes bfloat16 maps, too; textures are float32 or float64 in any case."""

    def compute(self, maps: Tensor, guide: Tensor | None = None) -> Texture:
        """Compute the texture of maps.

        Args:
            maps: `(1, N, h, w)`.
            guide: `(1, 1, h, w)`, the weight of each position, at least 0; None for equal weights.
        """

    def distance_to(self, target: Texture, *, scale: Scale) -> "Distance":
        """The function that computes the distance of textures from a target: a scalar, 0 for equal ones.

        What depends on the target alone is computed once, here.
        """

    def distance(self, texture: Texture, target: Texture, *, scale: Scale) -> Tensor:
        """The distance of one texture from a target."""
        return self.distance_to(target, scale=scale)(texture)


def mix(textures: Sequence[tuple[float, Texture]]) -> Texture:
    """Interpolate between textures, each given with its share; the shares sum to 1."""
    parts = zip(*([share * part for part in texture] for share, texture in textures), strict=True)
    return tuple(sum(part[1:], part[0]) for part in parts)


def as_columns(maps: Tensor) -> Tensor:
    """`(1, N, h, w)` maps as `(N, M)`: one column for each of M = h * w positions."""
    return maps.flatten(0, 1).flatten(1)


def mean_over_positions(columns: Tensor, guide: Tensor | None) -> Tensor:
    """`(K,)`: the mean over positions of `(K, M)`, weighted by a guide `(1, 1, h, w)` if there is one."""
    if guide is None:
        return columns.mean(dim=1)
    weights = guide.flatten().to(columns)
    return columns @ weights / (weights.sum() + NO_ENERGY)  # an empty guide gives zeros
