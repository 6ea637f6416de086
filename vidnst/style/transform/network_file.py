"""Files of transform networks, which `vidnst train` writes and other clips can be painted with."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidnst.errors import WeightsError
from vidnst.files.weights_file import (
    checked_tensor,
    encode_safetensors,
    open_weights,
    read_metadata,
    weights_fingerprint,
)
from vidnst.style.transform.network import TransformNetwork

KIND = "vidnst transform network"
_MAX_BYTES = 1 << 28
_MAX_STYLES = 256
_SCALE = "down.0.norm.scale"
"""A tensor whose first dimension is the number of styles."""
_REMEDY = "make one with vidnst train"


@dataclass(frozen=True, slots=True)
class NetworkFile:
    """A transform network from a file."""

    vector: NDArray[np.float32]
    """`TransformNetwork.to_vector`."""
    styles: int
    fingerprint: str
    """SHA-256 of its values."""
    notes: Mapping[str, str]
    """What it was trained on, and how."""


def encode_network(vector: NDArray[np.float32], notes: Mapping[str, str], *, styles: int = 1) -> bytes:
    """Encode a network as a safetensors file, reproducible to the byte; `notes` become its metadata."""
    network = TransformNetwork(styles=styles)
    network.load_vector(vector)
    return encode_safetensors(_arrays(network), {"network": KIND, **notes})


def read_network_file(path: Path) -> NetworkFile:
    """Read a network, executing nothing in the file.

    Raises:
        WeightsError: the file is missing, damaged, too large, of another network, or no .safetensors file.
    """
    if path.suffix != ".safetensors":
        raise WeightsError(f"{path} is no .safetensors file", _REMEDY)
    with open_weights(path, network=KIND, max_bytes=_MAX_BYTES, remedy=_REMEDY) as tensors:
        scale = tensors.get(_SCALE)
        if scale is None or scale.ndim != 2 or not 1 <= scale.shape[0] <= _MAX_STYLES:
            raise WeightsError(f"{path} is no transform network", _REMEDY)
        network = TransformNetwork(styles=scale.shape[0])
        arrays: dict[str, NDArray[np.float32]] = {}
        for name, values in network.state_dict().items():
            if name not in tensors:
                raise WeightsError(f"{path} lacks {name}, which a transform network has", _REMEDY)
            arrays[name] = checked_tensor(path, name, tensors[name], tuple(values.shape), _REMEDY)
    vector = np.concatenate([values.ravel() for values in arrays.values()])
    return NetworkFile(vector, scale.shape[0], weights_fingerprint(arrays), read_metadata(path))


def _arrays(network: TransformNetwork) -> dict[str, NDArray[np.float32]]:
    return {name: value.detach().contiguous().numpy() for name, value in network.state_dict().items()}
