"""Transfer of arrays to tensors on a device: the integers are transferred, and converted there."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidnst.frames import Pixels

_TORCH_TYPES = {"uint8": torch.uint8, "int16": torch.int16, "float32": torch.float32}


def to_device(array: NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32], device: torch.device) -> Tensor:
    """Copy an array to a device; uint16 becomes int16 of the same bits, since torch does not compute with uint16.

    To a GPU it goes through pinned memory, so nobody waits for the copy; it follows the work that is queued on the
    current stream.
    """
    if device.type == "cuda":
        return _pinned(array).to(device, non_blocking=True)
    if (
        not array.flags.writeable or not array.flags.c_contiguous
    ):  # torch warns about the one, refuses some of the other
        array = array.copy()
    bits = array.view(np.int16) if array.dtype == np.uint16 else array
    return torch.from_numpy(bits).to(device)


def _pinned(array: NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32]) -> Tensor:
    """Copy an array to pinned memory; torch keeps that from others until copies out of it have ended."""
    bits = array.view(np.int16) if array.dtype == np.uint16 else array
    pinned = torch.empty(bits.shape, dtype=_TORCH_TYPES[bits.dtype.name], pin_memory=True)
    np.copyto(pinned.numpy(), bits)
    return pinned


def to_float_planes(transferred: Tensor) -> Tensor:
    """Convert transferred pixels exactly as `frames.to_float_planes` does.

    Args:
        transferred: `(H, W, 3)` uint8, or int16 for uint16.

    Returns:
        `(1, 3, H, W)` float32 in [0, 1].
    """
    channels, is_wide = transferred.permute(2, 0, 1)[None], transferred.dtype == torch.int16
    if is_wide:
        channels = channels.to(torch.int32).bitwise_and_(0xFFFF)
    planes = channels.to(torch.float32, memory_format=torch.contiguous_format)
    # By a tensor: CUDA would multiply by a number's reciprocal, which does not always give the same result.
    return planes.div_(torch.full((), 65535.0 if is_wide else 255.0, device=planes.device))


def upload(pixels: Pixels, device: torch.device) -> Tensor:
    """Convert `(H, W, 3)` uint8 or uint16 to `(1, 3, H, W)` float32 in [0, 1] on a device."""
    return to_float_planes(to_device(pixels, device))
