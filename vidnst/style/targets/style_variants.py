"""A style picture at the sizes and turns at which it is looked at."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from vidnst.config import StylesConfig
from vidnst.errors import ConfigError
from vidnst.style.tensors import resized


def variants(picture: Tensor, area: int, config: StylesConfig, *, smallest_side_px: int) -> Iterator[Tensor]:
    """A style picture in all the ways that `config` asks for, one after the other.

    Args:
        picture: `(1, 3, H, W)` in [0, 1], of any size.
        area: of the content, in pixels.
        smallest_side_px: no side is made shorter than this.

    Yields:
        `(1, 3, h, w)` in [0, 1], of `area` times the square of a scale.
    """
    for factor in config.scales:
        whole = area * (config.scale * factor) ** 2
        sized = resized(picture, *matched_size(picture.shape[2], picture.shape[3], whole, smallest_side_px))
        for turn in config.turns:
            turned = torch.rot90(sized, turn // 90, dims=(2, 3))
            yield turned
            if config.mirror:
                yield turned.flip(3)


def matched_size(height: int, width: int, area: float, smallest_side_px: int) -> tuple[int, int]:
    """Height and width, in the same proportion, that cover `area` pixels; no side below `smallest_side_px`."""
    factor = max(math.sqrt(area / (height * width)), smallest_side_px / min(height, width))
    return max(smallest_side_px, round(height * factor)), max(smallest_side_px, round(width * factor))


def check_scales(
    styles: Sequence[tuple[int, int]], config: StylesConfig, *, height: int, width: int, smallest_side_px: int
) -> None:
    """Make sure that styles are large enough at the smallest size that is asked for.

    Args:
        styles: heights and widths.
        height, width: of the frames.
        smallest_side_px: what the deepest layer needs.

    Raises:
        ConfigError: a style would be too small.
    """
    smallest = config.scale * min(config.scales)
    for one in styles:
        side = min(one) * smallest * math.sqrt(height * width / (one[0] * one[1]))
        # By itself a style that is as large as the frame is always taken, however long and thin it is.
        if smallest < 1 and side < smallest_side_px:
            least = smallest * smallest_side_px / side
            raise ConfigError(
                f"styles.scale = {smallest:g}: a style of {one[1]}x{one[0]} pixels would be {side:.0f} pixels high or"
                f" wide beside frames of {width}x{height}, and the deepest layer needs {smallest_side_px}",
                f"take at least {math.ceil(least * 100) / 100:g}",
            )
