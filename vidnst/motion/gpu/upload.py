"""From arrays of the farm to tensors on a device: the integers travel, and become fractions there."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidnst.frames import Pixels


def send(array: NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32], device: torch.device) -> Tensor:
    """An array as it is, on a device; uint16 as the int16 of the same bits, since torch computes with no uint16.

    Whoever sends several does it before anything is computed of them: a copy waits for what the device has to do.
    """
    if not array.flags.writeable or not array.flags.c_contiguous:  # torch warns of the one and refuses some others
        array = array.copy()
    bits = array.view(np.int16) if array.dtype == np.uint16 else array
    return torch.from_numpy(bits).to(device)


def planes_of(sent: Tensor) -> Tensor:
    """Pixels that were sent, as `frames.to_float_planes` gives them, to the last bit.

    Args:
        sent: `(H, W, 3)` uint8, or int16 for uint16.

    Returns:
        `(1, 3, H, W)` float32 in [0, 1].
    """
    channels, wide = sent.permute(2, 0, 1)[None], sent.dtype == torch.int16
    if wide:
        channels = channels.to(torch.int32).bitwise_and_(0xFFFF)
    found = channels.to(torch.float32, memory_format=torch.contiguous_format)
    # By a tensor: a number would make CUDA multiply by its reciprocal, which is not always the same.
    return found.div_(torch.full((), 65535.0 if wide else 255.0, device=sent.device))


def upload(pixels: Pixels, device: torch.device) -> Tensor:
    """`(H, W, 3)` uint8 or uint16 as `(1, 3, H, W)` float32 in [0, 1] on a device."""
    return planes_of(send(pixels, device))
