"""The arrays of a run folder: frames' states, and networks. NumPy files, read without executing anything in them."""

from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vidnst.errors import RunError
from vidnst.farm.plan import NetworkId, StateId, StoredId

StoredArray: TypeAlias = NDArray[np.uint16] | NDArray[np.float32]
"""A frame's state, `(H, W, 3)` uint16, or a network, `(N,)` float32."""

_MAX_NETWORK_VALUES = 1 << 27


def check_array(node: StoredId, values: StoredArray) -> None:
    """Make sure that values are what a node of its kind leaves; ValueError if not."""
    dimensions, kind = (3, np.dtype(np.uint16)) if isinstance(node, StateId) else (1, np.dtype(np.float32))
    if values.ndim != dimensions or values.dtype != kind:
        raise ValueError(f"{node} is {dimensions}-dimensional {kind}, not {values.shape} {values.dtype}")


def save_array(path: Path, values: StoredArray) -> None:
    """Write values to a file of any name."""
    with path.open("wb") as file:
        np.save(file, values, allow_pickle=False)


def read_state_file(path: Path, *, width: int, height: int) -> NDArray[np.uint16]:
    """Read a state, `(height, width, 3)` uint16.

    Raises:
        RunError: it is missing, cut off, or of another size or type.
    """
    return np.array(_read(path, StateId(0), (height, width, 3)), np.uint16)


def read_network_file(path: Path) -> NDArray[np.float32]:
    """Read a network, `(N,)` float32.

    Raises:
        RunError: it is missing, cut off, too large, or of another type.
    """
    return np.array(_read(path, NetworkId(0, 0), None), np.float32)


def _read(path: Path, kind: StoredId, shape: tuple[int, ...] | None) -> StoredArray:
    """Map a file into memory and check it; `kind` is any node of the kind that wrote it."""
    try:
        values: StoredArray = np.load(path, mmap_mode="r", allow_pickle=False)  # mapped: its size is checked first
        check_array(kind, values)
        if shape is not None and values.shape != shape:
            raise ValueError(f"it holds {values.shape}")
        if shape is None and values.size > _MAX_NETWORK_VALUES:
            raise ValueError(f"it holds {values.size} values")
    except Exception as error:  # numpy fails in a dozen ways on a header that it did not write
        raise RunError(
            f"the state {path} cannot be read: {error}",
            "delete that file and give the same command again; what depends on it is rendered again",
        ) from error
    return values
