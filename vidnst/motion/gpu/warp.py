"""Fetching pictures along a flow: `vidnst.motion.warp` on a device."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class DeviceGrid:
    """Where each pixel of a frame is found in a reference picture of the same size."""

    grid: Tensor
    """`(1, H, W, 2)` float32, x then y, from -1 at the outer edge of the first pixel to 1 at that of the last."""
    valid: Tensor
    """`(1, 1, H, W)` float32 in [0, 1]: how far that is trusted."""


def places(vectors_px: Tensor, valid: Tensor, height: int, width: int) -> DeviceGrid:
    """A flow of any size of the same aspect for pictures of this one.

    Args:
        vectors_px: `(h, w, 2)` float32, x then y, in pixels of its own size.
        valid: `(h, w)` uint8, 255 where the vectors are trusted.
    """
    small_height, small_width = valid.shape
    vectors = _enlarged(vectors_px.permute(2, 0, 1)[None].contiguous(), height, width)
    x, y = vectors[0, 0] * (width / small_width), vectors[0, 1] * (height / small_height)
    x += torch.arange(width, device=x.device, dtype=x.dtype)
    y += torch.arange(height, device=y.device, dtype=y.dtype)[:, None]
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
    trusted = valid.to(torch.float32).div_(torch.full((), 255.0, device=valid.device))
    return DeviceGrid(grid[None], _enlarged(trusted[None, None], height, width))


def fetch(picture: Tensor, at: DeviceGrid) -> Tensor:
    """A picture fetched onto the frame, bicubic, beyond its borders as at them, clamped to [0, 1].

    OpenCV takes the same cubic (a = -0.75), at places rounded to 1/32 of a pixel; here they are taken as they are.

    Args:
        picture: `(1, C, H, W)` float32.
        at: of the same size.

    Returns:
        The same shape.
    """
    found = functional.grid_sample(picture, at.grid, mode="bicubic", padding_mode="border", align_corners=False)
    return found.clamp_(0, 1)


def _enlarged(maps: Tensor, height: int, width: int) -> Tensor:
    if maps.shape[-2:] == (height, width):
        return maps
    return functional.interpolate(maps, size=(height, width), mode="bilinear", align_corners=False)
