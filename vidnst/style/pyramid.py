"""The scales of a cold start, from coarse to fine, and the evaluations at each.

Standard library only, so that a forecast can use them without loading torch.
"""

from vidnst.config import RenderConfig
from vidnst.style.network.backbones import last_layer, stride_px

_COARSE_SHARE = 1.5
"""Evaluations at one scale over those at the next finer one, each of which costs four times as much."""
_COARSE_MAP_SIDE = 3
"""Positions that the deepest map must have along each side for a coarse scale to be worthwhile."""
_RELIGHT_SIDE_PX = 96
"""Relighting halves the picture even if frames have a single scale, unless its sides would get shorter than this."""
_RELIGHT_EVALUATIONS = 150
"""Evaluations after which the brightness of a picture has settled; published recipes have thousands."""
_RENEWAL_SHARE = 0.2
"""Evaluations of a small fresh painting, as a share of a cold frame's: after these it shows its content as well as it
ever will, at a tenth of the cost of a key frame."""
_LEAST_RENEWAL = 8
"""With fewer it would be the content itself."""


def relight_pass(config: RenderConfig, height: int, width: int) -> tuple[tuple[int, int], int]:
    """Height and width, and the most evaluations, of the pictures that relight a warm start."""
    size = scale_sizes(config, height, width, least=1 + (min(height, width) >= 2 * _RELIGHT_SIDE_PX))[0]
    return size, min(config.optimize.iterations, _RELIGHT_EVALUATIONS)


def renewal_pass(config: RenderConfig, height: int, width: int) -> tuple[tuple[int, int], int]:
    """Height and width, and the evaluations, of the fresh painting that tells how stale a warm start is."""
    size = scale_sizes(config, height, width, least=2)[0]
    return size, max(_LEAST_RENEWAL, round(config.optimize.iterations * _RENEWAL_SHARE))


def scale_sizes(config: RenderConfig, height: int, width: int, *, least: int = 1) -> list[tuple[int, int]]:
    """Height and width of each scale of a cold start, from the coarsest; the last is the picture's own.

    Args:
        least: number of scales, if the configuration has fewer.
    """
    sizes = [(height, width)]
    for halvings in range(1, max(least, config.optimize.scales)):
        size = (round(height / 2**halvings), round(width / 2**halvings))
        if min(size) < _COARSE_MAP_SIDE * stride_px(last_layer(config)):
            break
        sizes.insert(0, size)
    return sizes


def split_evaluations(total: int, scales: int) -> list[int]:
    """Split evaluations over the scales, from the coarsest; a scale that would get none is left out.

    Each scale gets `_COARSE_SHARE` times as many as the next finer one.
    """
    parts = [_COARSE_SHARE**level for level in range(min(scales, total), 0, -1)]
    ends = [round(total * sum(parts[: index + 1]) / sum(parts)) for index in range(len(parts))]
    counts = [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
    return counts if min(counts) > 0 else split_evaluations(total, scales - 1)
