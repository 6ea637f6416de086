"""Warping pictures along a flow: `vidnst.motion.warp` on a device."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class DeviceGrid:
    """A `SamplingGrid` on a device, for pictures of the frame's size."""

    positions: Tensor
    """`(1, H, W, 2)` float32, x then y, from -1 at the outer edge of the first pixel to 1 at that of the last."""
    valid: Tensor
    """`(1, 1, H, W)` float32 in [0, 1]: validity of the flow."""

    @classmethod
    def from_flow(cls, vectors_px: Tensor, valid: Tensor, height: int, width: int) -> Self:
        """Resize a flow of the same aspect to pictures of a size.

        Args:
            vectors_px: `(h, w, 2)` float32, x then y, in pixels of its own size.
            valid: `(h, w)` uint8, 255 where the vectors are trusted.
        """
        small_height, small_width = valid.shape
        vectors = _resized(vectors_px.permute(2, 0, 1)[None].contiguous(), height, width)
        x, y = vectors[0, 0] * (width / small_width), vectors[0, 1] * (height / small_height)
        x += torch.arange(width, device=x.device, dtype=x.dtype)
        y += torch.arange(height, device=y.device, dtype=y.dtype)[:, None]
        positions = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
        trusted = valid.to(torch.float32).div_(torch.full((), 255.0, device=valid.device))
        return cls(positions[None], _resized(trusted[None, None], height, width))


def warp_planes(picture: Tensor, grid: DeviceGrid) -> Tensor:
    """Warp `(1, C, H, W)` float32, bicubic, with the borders repeated, clamped to [0, 1].

    OpenCV has the same cubic kernel (a = -0.75), but rounds positions to 1/32 of a pixel.
    """
    warped = functional.grid_sample(picture, grid.positions, mode="bicubic", padding_mode="border", align_corners=False)
    return warped.clamp_(0, 1)


def _resized(maps: Tensor, height: int, width: int) -> Tensor:
    if maps.shape[-2:] == (height, width):
        return maps
    return functional.interpolate(maps, size=(height, width), mode="bilinear", align_corners=False)
