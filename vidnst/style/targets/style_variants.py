"""A style picture at the sizes and rotations at which its textures are taken."""

from collections.abc import Iterator

import torch
from torch import Tensor

from vidnst.config import StylesConfig
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
