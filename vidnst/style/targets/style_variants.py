"""A style picture at the sizes and rotations at which its textures are taken."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from vidnst.config import StylesConfig
from vidnst.errors import ConfigError
from vidnst.style.tensors import resize, size_of_area


def variants(picture: Tensor, area: int, config: StylesConfig, *, smallest_side_px: int) -> Iterator[Tensor]:
    """Yield a style picture at all sizes and rotations that `config` asks for.

    Args:
        picture: `(1, 3, H, W)` in [0, 1], of any size.
        area: of the content, in pixels.
        smallest_side_px: lower limit of the sides.

    Yields:
        `(1, 3, h, w)` in [0, 1], of `area` times the square of a scale.
    """
    for factor in config.scales:
        scaled_area = area * (config.scale * factor) ** 2
        scaled = resize(picture, *size_of_area(picture.shape[2], picture.shape[3], scaled_area, smallest_side_px))
        for turn in config.turns:
            turned = torch.rot90(scaled, turn // 90, dims=(2, 3))
            yield turned
            if config.mirror:
                yield turned.flip(3)


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
