"""Optical flow by RAFT (Teed and Deng 2020): slower than DIS, and better at what is large, fast or without texture."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vidnst.determinism import deterministic_cudnn
from vidnst.frames import Pixels, upper_8_bits
from vidnst.motion.flow import Flow, FlowPair, checked_pair, shrink

_STRIDE_PX = 8  # the network sees a picture in cells of this side
_SMALLEST_PX = 128  # under which the coarsest of its four correlation maps would vanish

Network = Callable[[Tensor, Tensor], Sequence[Tensor]]
"""torchvision's RAFT: two batches `(N, 3, H, W)` in [-1, 1] to its successive flows `(N, 2, H, W)`, best last.

The flow is on the first batch's grid, x then y, in pixels: second(p + flow[p]) shows what first(p) shows.
"""


class Raft:
    """Holds the network on one device and finds the flows of one pair of frames at a time.

    Args:
        network: on `device`, ready for inference.
        device: where it computes.
        size: longest side at which flow is computed, in pixels. Memory grows with its fourth power.
        consistency, slack_px: see `vidnst.motion.flow.check_consistency`.
    """

    def __init__(
        self,
        network: Network,
        *,
        device: torch.device | str = "cpu",
        size: int = 640,
        consistency: float = 0.01,
        slack_px: float = 0.5,
    ) -> None:
        self._network = network
        self._device = torch.device(device)
        self._size = size
        self._consistency = consistency
        self._slack_px = slack_px

    def estimate_flow(self, frame: Pixels, reference: Pixels) -> Flow:
        """Flow from `frame` into `reference`: the first of the two that `estimate_pair` gives for them."""
        return self.estimate_pair(frame, reference)[0]

    def estimate_pair(self, first: Pixels, second: Pixels) -> FlowPair:
        """Flows between two frames, each checked against the other.

        Args:
            first: `(H, W, 3)` uint8 or uint16 sRGB.
            second: the same shape.
        """
        small = [shrink(upper_8_bits(picture), self._size) for picture in (first, second)]
        forward, backward = self._vectors(small[0], small[1])
        return checked_pair(forward, backward, self._consistency, self._slack_px)

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
        """`(h, w, 3)` uint8 to `(1, 3, h, w)` float32 in [-1, 1], as torchvision's weights were trained."""
        planes = np.ascontiguousarray(picture.transpose(2, 0, 1), dtype=np.float32) / np.float32(127.5) - np.float32(1)
        return torch.from_numpy(planes)[None].to(self._device)


def _margins(length_px: int) -> tuple[int, int]:
    """Pixels to add before and after a side, so that the network takes it; the picture stays in the middle."""
    missing = max(-(-length_px // _STRIDE_PX) * _STRIDE_PX, _SMALLEST_PX) - length_px
    return missing // 2, missing - missing // 2
