"""Checks that pictures are large enough for what is computed of them. Imports no torch, so they fail at once."""

import math
from collections.abc import Sequence

from vidnst.config import LossConfig, StylesConfig
from vidnst.errors import ConfigError


def check_edge_cells(config: LossConfig, *, height: int, width: int) -> None:
    """Check that frames are large enough for the cells of the Laplacian loss.

    At the coarser scales of a cold start, cells that do not fit are left out.

    Raises:
        ConfigError: a side is shorter than three cells, and edges have a weight.
    """
    largest = max(cell for cell, share in config.edges_cells.items() if share)
    if config.edges_weight and min(height, width) < 3 * largest:
        raise ConfigError(
            f"losses.edges_cells = {largest}: frames of {width}x{height} have a side shorter than three cells"
            f" of {largest} pixels",
            f"use at most {min(height, width) // 3}, or render larger frames",
        )


def check_scales(
    styles: Sequence[tuple[int, int]], config: StylesConfig, *, height: int, width: int, smallest_side_px: int
) -> None:
    """Check that style pictures are large enough for the network at the smallest scale.

    Args:
        styles: heights and widths.
        height, width: of the frames.
        smallest_side_px: what the deepest layer needs.

    Raises:
        ConfigError: a style picture would be too small.
    """
    smallest = config.scale * min(config.scales)
    for style_height, style_width in styles:
        side = min(style_height, style_width) * smallest * math.sqrt(height * width / (style_height * style_width))
        # A style as large as the frame is always accepted, however long and thin it is.
        if smallest < 1 and side < smallest_side_px:
            least = smallest * smallest_side_px / side
            raise ConfigError(
                f"styles.scale = {smallest:g}: a style of {style_width}x{style_height} pixels would have a side of"
                f" {side:.0f} pixels for frames of {width}x{height}, and the deepest layer needs {smallest_side_px}",
                f"use at least {math.ceil(least * 100) / 100:g}",
            )
