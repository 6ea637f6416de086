"""How a picture is cut into tiles: cores that cover it once, each seen with a halo of what lies around it."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from vidnst.errors import ConfigError
from vidnst.style.memory.chunked_sum import Window

_ALIGNED_PX = 16
"""What tiles begin at multiples of: the stride of the deepest maps, so that poolings meet the same pixels as in the
whole picture."""
HALO_PX = 64
"""Context on each side of a core. Against the whole picture the gradient is then off by 0.7 % (VGG19) or 0.07 % (slim),
in norm over norm; with 32 pixels by 16 % and 3.5 %, with 48 by 7 % and 0.9 %, and with 80, which is all that
relu5_1 sees, by rounding alone. Measured at 512x288 and 640x360 in tiles of 256 pixels, on a photograph with three
tenths of noise."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of a picture."""

    seen: Window
    """What the network looks at, at most a tile's side in both directions."""
    core: Window
    """What counts of it. Its borders are at multiples of `_ALIGNED_PX` or are those of the picture."""


def tiles(
    height: int, width: int, *, tile_px: int, chance: tuple[int, int] | None = None, halo_px: int = HALO_PX
) -> list[Tile]:
    """Tiles of a picture, row by row.

    Args:
        height, width: of the picture.
        tile_px: the longest side of a tile with its halo, but for up to 15 pixels at the lower and right borders.
        chance: a seed and a number, which together decide how the grid is shifted; None begins it at the upper left.
        halo_px: a multiple of 16.

    Raises:
        ConfigError: the tiles are not larger than their halos.
    """
    period = (tile_px - 2 * halo_px) // _ALIGNED_PX * _ALIGNED_PX
    if period <= 0:
        raise ConfigError(
            f"tiles of {tile_px} pixels have nothing inside of their halo of {halo_px}",
            f"take at least {2 * halo_px + _ALIGNED_PX}",
        )
    drawn = (0, 0) if chance is None else np.random.default_rng(chance).integers(period // _ALIGNED_PX, size=2).tolist()
    rows, columns = (
        [(0, size)] if size <= tile_px else _spans(size, period, first * _ALIGNED_PX)
        for size, first in zip((height, width), drawn, strict=True)
    )
    found = []
    for top, bottom in rows:
        for left, right in columns:
            seen = (max(0, top - halo_px), min(height, bottom + halo_px), max(0, left - halo_px))
            found.append(Tile(Window(*seen, min(width, right + halo_px)), Window(top, bottom, left, right)))
    return found


def _spans(size: int, period: int, first: int) -> list[tuple[int, int]]:
    """Parts of a side. The last one is never so short that deep maps have no position there."""
    inner = [cut for cut in range(first, size, period) if 0 < cut <= size - _ALIGNED_PX]
    return list(pairwise([0, *inner, size]))
