"""Optical flow by RAFT (Teed and Deng 2020): slower than DIS, but better on large, fast or untextured motion."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vidnst.config import MotionConfig
from vidnst.determinism import deterministic_cudnn
from vidnst.frames import Pixels, upper_8_bits
from vidnst.motion.flow import FlowPair, consistent_pair, shrink

_STRIDE_PX = 8
"""Side of the network's cells: it needs sides that are multiples of it."""
_MIN_SIDE_PX = 128
"""Below this side the coarsest of the four correlation maps would be empty."""

Network = Callable[[Tensor, Tensor], Sequence[Tensor]]
"""torchvision's RAFT: two batches `(N, 3, H, W)` in [-1, 1] to its successive flows `(N, 2, H, W)`, best last.

The flow is on the first batch's grid, x then y, in pixels: second(p + flow[p]) shows what first(p) shows.
"""


class Raft:
    """Estimates flows with the network on one device, one pair of frames at a time.

    Args:
        network: on `device`, ready for inference.
        config: size and consistency check. Memory grows with the fourth power of the size.
        device: the device to compute on.
    """

    def __init__(self, network: Network, config: MotionConfig, *, device: torch.device | str = "cpu") -> None:
        self._network = network
        self._config = config
        self._device = torch.device(device)

    def estimate_pair(self, first: Pixels, second: Pixels) -> FlowPair:
        """Estimate the flows between two frames, each checked against the other.

        Args:
            first: `(H, W, 3)` uint8 or uint16 sRGB.
            second: the same shape.
        """
        small = [shrink(upper_8_bits(pixels), self._config.size) for pixels in (first, second)]
        forward, backward = self._vectors(small[0], small[1])
        return consistent_pair(forward, backward, self._config)

    def _vectors(
        self, first: NDArray[np.uint8], second: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        height, width = first.shape[:2]
        top, bottom = _margins(height)
        left, right = _margins(width)
        one, two = (
            functional.pad(self._to_device(picture), (left, right, top, bottom), mode="replicate")
            for picture in (first, second)
        )
        with torch.inference_mode(), deterministic_cudnn():
            flows = self._network(torch.cat([one, two]), torch.cat([two, one]))[-1]
            inner = flows[..., top : top + height, left : left + width].permute(0, 2, 3, 1).float().cpu().numpy()
        return np.ascontiguousarray(inner[0]), np.ascontiguousarray(inner[1])

    def _to_device(self, picture: NDArray[np.uint8]) -> Tensor:
        """Convert `(h, w, 3)` uint8 to `(1, 3, h, w)` float32 in [-1, 1], the range of the training data."""
        planes = np.ascontiguousarray(picture.transpose(2, 0, 1), dtype=np.float32) / np.float32(127.5) - np.float32(1)
        return torch.from_numpy(planes)[None].to(self._device)


def _margins(length_px: int) -> tuple[int, int]:
    """Return the pixels to pad before and after a side, so that the network accepts it; the picture is centred."""
    missing = max(-(-length_px // _STRIDE_PX) * _STRIDE_PX, _MIN_SIDE_PX) - length_px
    return missing // 2, missing - missing // 2
