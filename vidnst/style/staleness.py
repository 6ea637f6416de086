"""Staleness: how much farther a picture is from showing its frame than a fresh painting of the frame.

Warm starts keep strokes in their places for as long as the flow says that nothing moved. What changes without moving,
a cloud that dissolves or a lamp that goes on, is then never painted. Content features tell: they compare what is shown,
not how it is lit.
"""

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional

_WINDOW = 3
"""Side of the window over which distances are averaged, in positions of a map."""
_FLOOR = 0.25
"""Part of the fresh painting's mean distance that is added everywhere, since a ratio of small numbers says nothing."""
_LEAST_FLOOR = 0.01
"""Distance that is added at least: a hundredth of the content's own energy."""
_FULL_RELEASE = 1.3
"""Staleness, as a multiple of the least that is released, from which a place is painted without any hold."""

Maps = Mapping[str, Tensor]
"""Feature maps `(1, N, h, w)` by layer."""


def staleness(picture: Maps, fresh: Maps, content: Maps, shares: Mapping[str, float]) -> Tensor:
    """Distance of a picture from its content, as a multiple of a fresh painting's: `(1, 1, h, w)`, above 0.

    Args:
        picture, fresh, content: their maps of the content layers.
        shares: the share of each layer; maps are compared at the size of the first.
    """
    size = next(iter(content.values())).shape[-2:]
    distances = []
    for maps in (picture, fresh):
        total = sum(
            share * functional.interpolate(_distance(maps[layer], content[layer]), size, mode="area")
            for layer, share in shares.items()
        )
        assert isinstance(total, Tensor)
        distances.append(total)
    own, reference = distances
    floor = _FLOOR * reference.mean() + _LEAST_FLOOR
    return (own + floor) / (reference + floor)


def _distance(maps: Tensor, content: Tensor) -> Tensor:
    """Local mean square of a difference, relative to the energy of the content: `(1, 1, h, w)`."""
    difference = (maps.float() - content.float()).square().mean(dim=1, keepdim=True)
    energy = content.float().square().mean().clamp(min=1e-12)
    return functional.avg_pool2d(difference / energy, _WINDOW, 1, _WINDOW // 2, count_include_pad=False)


def release(stale: Tensor, least: float) -> Tensor:
    """How far each place is freed of what it started from, in [0, 1]: not at all up to a staleness of `least`.

    Args:
        stale: see `staleness`.
        least: at least 1.
    """
    return ((stale / least - 1) / (_FULL_RELEASE - 1)).clamp(0, 1)
