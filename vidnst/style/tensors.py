"""Pictures as arrays and as tensors, and changes of their size."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vidnst.frames import Pixels, to_float_planes


def from_pixels(pixels: Pixels, device: torch.device | str = "cpu") -> Tensor:
    """`(H, W, 3)` uint8 or uint16 to `(1, 3, H, W)` float32 in [0, 1]; same colours, same order."""
    # By way of NumPy: the array may be read-only, and torch has next to no uint16.
    return torch.from_numpy(to_float_planes(pixels)).unsqueeze(0).to(device)


def to_state(image: Tensor) -> NDArray[np.uint16]:
    """`(1, 3, H, W)` float in [0, 1] to `(H, W, 3)` uint16 in 0..65535, rounded; what lies outside is clamped."""
    if image.is_cuda:
        return packed(image).cpu().numpy().view(np.uint16)
    levels = _levels(image).numpy()
    state = np.empty((*levels.shape[1:], 3), np.uint16)
    for channel, plane in enumerate(levels):  # one by one: in a third of the time of all together
        state[..., channel] = plane
    return state


def _levels(image: Tensor) -> Tensor:
    """`(3, H, W)`, whole numbers in 0..65535."""
    return image.detach()[0].clamp(0, 1).mul_(65535).round_()


def packed(image: Tensor) -> Tensor:
    """A state's bits as `(H, W, 3)` int16: ready on the device, so that half as much travels and nothing is left to
    do. By way of int32, from which a number beyond int16's range keeps its lower bits."""
    return _levels(image).permute(1, 2, 0).to(torch.int32, memory_format=torch.contiguous_format).to(torch.int16)


def resized(image: Tensor, height: int, width: int) -> Tensor:
    """`(1, 3, H, W)` in [0, 1] at another size, antialiased, clamped to [0, 1]."""
    if image.shape[-2:] == (height, width):
        return image
    # Bicubic keeps strokes crisp, and overshoots at edges.
    result = functional.interpolate(image, size=(height, width), mode="bicubic", align_corners=False, antialias=True)
    return result.clamp_(0, 1)
