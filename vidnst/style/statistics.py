"""What a layer's maps say about their texture, and how far two textures are apart: a table of ways, each by a name.

A statistic forgets where things are. `of` makes it from maps, weighing positions by a guide where there is one (guided
Gram matrices: Gatys et al. 2017, "Controlling Perceptual Factors in Neural Style Transfer"); `distance` compares two;
`mixed` lies between several. Nothing else needs to know which one is in use.
"""

from collections.abc import Sequence
from typing import Protocol, TypeAlias

from torch import Tensor

from vidnst.style import losses
from vidnst.style.losses import Scale

Texture: TypeAlias = tuple[Tensor, ...]
"""A statistic of one layer: one or several tensors whose shapes depend on the number of channels alone."""


class Statistic(Protocol):
    """A way to describe and to compare textures."""

    def of(self, maps: Tensor, guide: Tensor | None = None) -> Texture:
        """The texture of maps.

        Args:
            maps: `(1, N, h, w)`.
            guide: `(1, 1, h, w)` at least 0, how much each position counts; None counts all alike.
        """

    def distance(self, found: Texture, target: Texture, *, scale: Scale) -> Tensor:
        """How far one texture is from another: a scalar, 0 for equal ones. For `scale` see `losses`."""


class GramMatrix:
    """Products of channels (Gatys 2015): see `losses.gram` and `losses.style`."""

    def of(self, maps: Tensor, guide: Tensor | None = None) -> Texture:
        """The Gram matrix `(N, N)`."""
        return (losses.gram(maps, guide),)

    def distance(self, found: Texture, target: Texture, *, scale: Scale) -> Tensor:
        """See `losses.style`."""
        return losses.style(found[0], target[0], scale=scale)


STATISTICS: dict[str, Statistic] = {"gram": GramMatrix()}
"""By the names of `losses.style_kinds`."""


def mixed(textures: Sequence[tuple[float, Texture]]) -> Texture:
    """The texture between several, each with its share; the shares sum to 1."""
    parts = zip(*([share * part for part in texture] for share, texture in textures), strict=True)
    return tuple(sum(part[1:], part[0]) for part in parts)
