"""At which sizes a picture is painted, from coarse to fine, and for how long at each."""

from vidnst.config import RenderConfig
from vidnst.style.network.backbones import last_layer, smallest_side_px

_COARSE_SHARE = 1.5
"""Evaluations at one scale over those at the next finer one, which costs four times as much for each."""
_COARSE_MAP_SIDE = 3
"""Positions that the deepest map must have along each side for a coarse scale to be worth while."""
_LIGHT_SIDE_PX = 96
"""Pictures that tell of light alone have half the size even where frames have one scale, but for small ones."""
_LIGHT_EVALUATIONS = 150
"""As many tell how bright a picture becomes; published recipes have thousands."""


def relit(config: RenderConfig, height: int, width: int) -> tuple[tuple[int, int], int]:
    """Height, width and most evaluations of the pictures by which a start is brought into a frame's light."""
    size = scale_sizes(config, height, width, least=1 + (min(height, width) >= 2 * _LIGHT_SIDE_PX))[0]
    return size, min(config.optimize.iterations, _LIGHT_EVALUATIONS)


def scale_sizes(config: RenderConfig, height: int, width: int, *, least: int = 1) -> list[tuple[int, int]]:
    """Height and width of each scale that a cold start goes through, from the coarsest; the last is the picture's.

    Args:
        least: scales that there are to be, where the configuration has fewer.
    """
    sizes = [(height, width)]
    for halvings in range(1, max(least, config.optimize.scales)):
        size = (round(height / 2**halvings), round(width / 2**halvings))
        if min(size) < _COARSE_MAP_SIDE * smallest_side_px(last_layer(config)):
            break
        sizes.insert(0, size)
    return sizes


def split_evaluations(total: int, scales: int) -> list[int]:
    """Evaluations for each scale, from the coarsest; every scale has at least one, or else is left out.

    Coarse scales get more of them, `_COARSE_SHARE` times as many as the next finer one.
    """
    parts = [_COARSE_SHARE**level for level in range(min(scales, total), 0, -1)]
    ends = [round(total * sum(parts[: index + 1]) / sum(parts)) for index in range(len(parts))]
    counts = [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
    return counts if min(counts) > 0 else split_evaluations(total, scales - 1)
