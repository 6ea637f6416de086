"""What a description of textures is to everything that uses one: the protocol, its values and what lies between."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from torch import Tensor

from vidnst.style.losses.terms import Scale

Texture: TypeAlias = tuple[Tensor, ...]
"""A statistic of one layer: one or several tensors whose shapes depend on the number of channels alone."""


class Statistic(Protocol):
    """A way to describe and to compare textures."""

    additive: bool
    """Whether the texture of a whole is the one `mixed` from those of its parts, each by its share of positions."""
    takes_half: bool
    """Whether it takes bfloat16 maps as well; its textures are float32 in any case."""

    def of(self, maps: Tensor, guide: Tensor | None = None) -> Texture:
        """The texture of maps.

        Args:
            maps: `(1, N, h, w)`.
            guide: `(1, 1, h, w)` at least 0, how much each position counts; None counts all alike.
        """

    def distance(self, found: Texture, target: Texture, *, scale: Scale) -> Tensor:
        """How far one texture is from another: a scalar, 0 for equal ones. For `scale` see `losses`."""

    def toward(self, target: Texture, *, scale: Scale) -> Callable[[Texture], Tensor]:
        """The same for one target and many textures."""
        return lambda found: self.distance(found, target, scale=scale)


def mixed(textures: Sequence[tuple[float, Texture]]) -> Texture:
    """The texture between several, each with its share; the shares sum to 1."""
    parts = zip(*([share * part for part in texture] for share, texture in textures), strict=True)
    return tuple(sum(part[1:], part[0]) for part in parts)


def vectors(maps: Tensor) -> Tensor:
    """`(1, N, h, w)` maps as `(N, M)`: one column for each of M = h * w positions."""
    return maps.flatten(0, 1).flatten(1)


def averaged(columns: Tensor, guide: Tensor | None) -> Tensor:
    """`(K,)`: the mean over positions of `(K, M)`, weighted by a guide `(1, 1, h, w)` where there is one."""
    if guide is None:
        return columns.mean(dim=1)
    weights = guide.flatten().to(columns)
    return columns @ weights / (weights.sum() + _NOTHING)


_NOTHING = 1e-12
"""Added to the sum of a guide, so that an empty one gives a texture of zeros."""
