"""Optical flow by RAFT (Teed and Deng 2020): slower than DIS, but better on large, fast or untextured motion.

Its weights are found or downloaded, read from an untrusted file, and checked against torchvision's two networks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from vidnst.config import MotionConfig
from vidnst.devices.determinism import reproducible_mode
from vidnst.errors import WeightsError
from vidnst.files.weights_file import (
    DownloadProgress,
    WeightsSource,
    checked_tensor,
    find_weights_file,
    open_weights,
    weights_fingerprint,
)
from vidnst.frames import Pixels, upper_8_bits
from vidnst.motion.flow import FlowPair, consistent_pair, resize_vectors, shrink

RaftSize: TypeAlias = Literal["large", "small"]
RaftWeights: TypeAlias = dict[str, NDArray[np.float32]]
"""The network's parameters and running statistics by name, as torchvision names them."""

ENVIRONMENT = "VIDNST_RAFT_WEIGHTS"

_FIRST_FILTERS = "feature_encoder.convnormrelu.0.weight"
_SIZES: dict[int, RaftSize] = {64: "large", 32: "small"}  # by the number of first filters
_MAX_BYTES = 2**28
_REMEDY = (
    "set motion.raft_weights to torchvision's raft_large_C_T_SKHT_V2-ff5fadd5.pth or raft_small_C_T_V2-01064c6d.pth "
    "(vidnst weights --raft --fetch downloads the first), or motion.method to dis, which needs no file"
)
_STRIDE_PX = 8
"""Side of the network's cells: it needs sides that are multiples of it."""
_PIXEL_BYTES = 1024
"""Estimated memory of the other maps for each pixel."""
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
        self.device = torch.device(device)

    def estimate_pair(self, first: Pixels, second: Pixels, *, in_turn: bool = False, scale: float = 1.0) -> FlowPair:
        """Estimate the flows between two frames, each checked against the other.

        Args:
            first: `(H, W, 3)` uint8 or uint16 sRGB.
            second: the same shape.
            in_turn: whether to estimate the two directions one after the other, in half the memory.
            scale: factor on the size at which the network sees the frames; the result is enlarged to the usual size.
        """
        one, two = (shrink(upper_8_bits(pixels), self._config.size) for pixels in (first, second))
        height, width = one.shape[:2]
        longest = max(1, round(max(height, width) * scale))
        forward, backward = (
            resize_vectors(vectors_px, height, width)
            for vectors_px in self._vectors(shrink(one, longest), shrink(two, longest), in_turn)
        )
        return consistent_pair(forward, backward, self._config)

    def _vectors(
        self, first: NDArray[np.uint8], second: NDArray[np.uint8], in_turn: bool
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        height, width = first.shape[:2]
        top, bottom = _margins(height)
        left, right = _margins(width)
        one, two = (
            functional.pad(self._to_device(picture), (left, right, top, bottom), mode="replicate")
            for picture in (first, second)
        )
        with torch.inference_mode(), reproducible_mode():
            if in_turn:
                flows = torch.cat([self._network(one, two)[-1], self._network(two, one)[-1]])
            else:
                flows = self._network(torch.cat([one, two]), torch.cat([two, one]))[-1]
            inner = flows[..., top : top + height, left : left + width].permute(0, 2, 3, 1).float().cpu().numpy()
        return np.ascontiguousarray(inner[0]), np.ascontiguousarray(inner[1])

    def _to_device(self, picture: NDArray[np.uint8]) -> Tensor:
        """Convert `(h, w, 3)` uint8 to `(1, 3, h, w)` float32 in [-1, 1], the range of the training data."""
        planes = np.ascontiguousarray(picture.transpose(2, 0, 1), dtype=np.float32) / np.float32(127.5) - np.float32(1)
        return torch.from_numpy(planes)[None].to(self.device)


def raft_bytes(longest_px: int) -> int:
    """Estimate the memory that the network takes for a pair of frames of 4:3, which are larger than most.

    Each position of an eighth of the size is correlated with each other, for both directions, and this is copied once;
    pooled copies are a third of that.
    """
    positions = (longest_px / _STRIDE_PX) ** 2 * 3 / 4
    correlations = 2 * 4 * positions**2 * (2 + 1 / 3)
    return round(correlations + _PIXEL_BYTES * longest_px**2 * 3 / 4)


def _margins(length_px: int) -> tuple[int, int]:
    """Return the pixels to pad before and after a side, so that the network accepts it; the picture is centred."""
    missing = max(-(-length_px // _STRIDE_PX) * _STRIDE_PX, _MIN_SIDE_PX) - length_px
    return missing // 2, missing - missing // 2


@dataclass(frozen=True, slots=True)
class RaftReport:
    """The contents of a usable file of RAFT's weights."""

    source: str
    """The file."""
    size_bytes: int
    """Size of the file."""
    network: str
    """`raft_large` or `raft_small`, as torchvision calls them."""
    fingerprint: str
    """SHA-256 of all weights."""


def raft_urls() -> dict[RaftSize, str]:
    """Return the URLs of torchvision's pinned weights for each network."""
    from torchvision.models.optical_flow import Raft_Large_Weights, Raft_Small_Weights

    # By name, not by DEFAULT, which may be another file with other flows in a newer torchvision.
    return {"large": str(Raft_Large_Weights.C_T_SKHT_V2.url), "small": str(Raft_Small_Weights.C_T_V2.url)}


def resolve_raft_weights(
    spec: str | None, *, download: bool = True, on_progress: DownloadProgress | None = None
) -> Path:
    """Find the file that a configuration's `motion.raft_weights` stands for.

    The order is: `spec` itself; the environment variable VIDNST_RAFT_WEIGHTS; torchvision's file of the large, then
    of the small network in torch's cache; a download of the large one (21 MB) into torch's cache.

    Args:
        spec: a path, or None.
        download: whether a download is allowed.
        on_progress: called during the download.

    Raises:
        WeightsError: the named file does not exist, or there is none in any place; names the places tried.
    """
    urls = raft_urls()
    source = WeightsSource(
        network="RAFT",
        option="motion.raft_weights",
        environment=ENVIRONMENT,
        urls=(urls["large"], urls["small"]),
        max_bytes=_MAX_BYTES,
        remedy=f"set motion.raft_weights or {ENVIRONMENT} to a file of torchvision's RAFT, put {urls['large']} there "
        "by hand, or set motion.method to dis, which needs no file",
    )
    return find_weights_file(source, spec, download=download, on_progress=on_progress)


def load_raft_weights(path: Path) -> RaftWeights:
    """Load and check all weights of one of torchvision's RAFT networks, as float32.

    Args:
        path: torchvision's own file, or any file of torch.save or safetensors with the same names, in any
            floating-point type. The shapes tell which of the two networks it belongs to.

    Raises:
        WeightsError: no such file, not a weights file, damaged, or from another network.
    """
    with open_weights(path, network="RAFT", max_bytes=_MAX_BYTES, remedy=_REMEDY) as tensors:
        return _checked(path, tensors)


def verify_raft(path: Path) -> RaftReport:
    """Read and check a file of RAFT's weights; raises WeightsError if it is unusable."""
    weights = load_raft_weights(path)
    return RaftReport(str(path), path.stat().st_size, f"raft_{raft_size(weights)}", weights_fingerprint(weights))


def raft_size(weights: Mapping[str, NDArray[np.float32]]) -> RaftSize:
    """Return the network that checked weights belong to."""
    return _SIZES[len(weights[_FIRST_FILTERS])]


def build_raft(weights: Mapping[str, NDArray[np.float32]], device: torch.device | str = "cpu") -> nn.Module:
    """Build torchvision's network with checked weights on a device, for inference only."""
    network = _architecture(raft_size(weights))
    # Inference reads parameters and running statistics only; batch norm's counter is for training.
    state = {
        name: torch.zeros(tuple(tensor.shape), dtype=tensor.dtype)
        for name, tensor in network.state_dict().items()
        if name not in weights
    }
    state |= {name: torch.from_numpy(array.copy()) for name, array in weights.items()}
    network.load_state_dict(state, assign=True)
    network.register_forward_hook(_free_correlations)
    return network.requires_grad_(False).eval().to(device)


def _free_correlations(network: nn.Module, inputs: object, flows: object) -> None:
    """Free the correlations of all pairs of pixels, which the network would keep until the next pair of frames."""
    block = getattr(network, "corr_block", None)
    if block is not None:
        block.corr_pyramid = []


def _architecture(size: RaftSize) -> nn.Module:
    """Make the network without allocating weights or advancing torch's random number generator."""
    from torchvision.models import optical_flow

    with torch.device("meta"):
        make = optical_flow.raft_large if size == "large" else optical_flow.raft_small
        network: nn.Module = make(weights=None)
    return network


@cache
def _shapes(size: RaftSize) -> dict[str, tuple[int, ...]]:
    return {
        name: tuple(tensor.shape)
        for name, tensor in _architecture(size).state_dict().items()
        if tensor.is_floating_point()
    }


def _checked(path: Path, tensors: Mapping[str, Tensor]) -> RaftWeights:
    if _FIRST_FILTERS not in tensors:
        raise WeightsError(f"{path} belongs to another network than RAFT: it has no {_FIRST_FILTERS}", _REMEDY)
    first = tensors[_FIRST_FILTERS]
    size = _SIZES.get(first.shape[0] if first.ndim else 0)
    if size is None:
        raise WeightsError(
            f"{path} belongs to another network than raft_large and raft_small: "
            f"its {_FIRST_FILTERS} is {tuple(first.shape)}",
            _REMEDY,
        )
    weights: RaftWeights = {}
    for name, shape in _shapes(size).items():
        if name not in tensors:
            raise WeightsError(f"raft_{size} needs {name}, which {path} lacks", _REMEDY)
        weights[name] = checked_tensor(path, name, tensors[name], shape, _REMEDY)
    return weights
