"""Pictures as arrays and as tensors, and their sizes."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vidnst.frames import Pixels, to_float_planes


def from_pixels(pixels: Pixels, device: torch.device | str = "cpu") -> Tensor:
    """Convert `(H, W, 3)` uint8 or uint16 to `(1, 3, H, W)` float32 in [0, 1]; colour order unchanged."""
    # With NumPy: the array may be read-only, and torch hardly supports uint16.
    return torch.from_numpy(to_float_planes(pixels)).unsqueeze(0).to(device)


def to_state(image: Tensor) -> NDArray[np.uint16]:
    """Convert `(1, 3, H, W)` float to `(H, W, 3)` uint16: clamped to [0, 1], scaled to 0..65535 and rounded."""
    if image.is_cuda:
        return state_bits(image).cpu().numpy().view(np.uint16)
    levels = _levels(image).numpy()
    state = np.empty((*levels.shape[1:], 3), np.uint16)
    for channel, plane in enumerate(levels):  # a third of the time of all channels at once
        state[..., channel] = plane
    return state


def _levels(image: Tensor) -> Tensor:
    """`(3, H, W)` float, integers in 0..65535."""
    return image.detach()[0].clamp(0, 1).mul_(65535).round_()


def state_bits(image: Tensor) -> Tensor:
    """A state's bits as `(H, W, 3)` int16, converted on the device: half the bytes to transfer, and nothing left to do.

    Converted by way of int32, from which a number beyond int16's range keeps its lower bits.
    """
    return _levels(image).permute(1, 2, 0).to(torch.int32, memory_format=torch.contiguous_format).to(torch.int16)


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """Resize `(1, 3, H, W)` in [0, 1], antialiased and clamped to [0, 1]."""
    if image.shape[-2:] == (height, width):
        return image
    # Bicubic keeps strokes crisp, and overshoots at edges.
    result = functional.interpolate(image, size=(height, width), mode="bicubic", align_corners=False, antialias=True)
    return result.clamp_(0, 1)


def size_of_area(height: int, width: int, area: float, smallest_side_px: int) -> tuple[int, int]:
    """Height and width of the same aspect ratio that cover `area` pixels; no side is below `smallest_side_px`."""
    factor = max(math.sqrt(area / (height * width)), smallest_side_px / min(height, width))
    return max(smallest_side_px, round(height * factor)), max(smallest_side_px, round(width * factor))
