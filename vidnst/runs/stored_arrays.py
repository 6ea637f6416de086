"""The arrays of a run folder: frames' states, and networks. NumPy files, read without executing anything in them."""

import math
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vidnst.errors import RunError
from vidnst.farm.plan import NetworkId, StateId, StoredId
from vidnst.runs.safe_files import MAX_IMAGE_BYTES, open_file

StoredArray: TypeAlias = NDArray[np.uint16] | NDArray[np.float32]
"""A frame's state, `(H, W, 3)` uint16, or a network, `(N,)` float32."""

_MAX_NETWORK_VALUES = 1 << 27


def check_array(node: StoredId, dimensions: int, dtype: "np.dtype[Any]") -> None:
    """Make sure that an array is of the kind that a node leaves; ValueError if not."""
    wanted, kind = (3, np.dtype(np.uint16)) if isinstance(node, StateId) else (1, np.dtype(np.float32))
    if dimensions != wanted or dtype != kind:
        raise ValueError(f"{node} is {wanted}-dimensional {kind}, not {dimensions}-dimensional {dtype}")


def save_array(part: Path, values: StoredArray) -> None:
    """Write values to a temporary file of any name."""
    with part.open("wb") as file:
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


def _read(path: Path, kind: StoredId, shape: tuple[int, ...] | None) -> NDArray[Any]:
    """Read a file; its header is checked before memory is taken. `kind` is any node of the kind that wrote it."""
    try:
        with open_file(path, max_bytes=MAX_IMAGE_BYTES) as file:
            found, dtype = _read_header(file)
            check_array(kind, len(found), dtype)
            if shape is not None and found != shape:
                raise ValueError(f"it holds {found}")
            count = math.prod(found)
            if shape is None and count > _MAX_NETWORK_VALUES:
                raise ValueError(f"it holds {count} values")
            values = np.fromfile(file, dtype, count)
    except RunError:
        raise
    except Exception as error:  # numpy fails in a dozen ways on a header that it did not write
        raise _unreadable(path, str(error)) from error
    if values.size != count:
        raise _unreadable(path, f"it ends after {values.size} of {count} values")
    return values.reshape(found)


def _read_header(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"its format is {version}")
    shape, by_columns, dtype = np.lib.format.read_array_header_1_0(file)
    if by_columns or any(side < 0 for side in shape):
        raise ValueError("its values are in another order")
    return shape, dtype


def _unreadable(path: Path, reason: str) -> RunError:
    return RunError(
        f"the state {path} cannot be read: {reason}",
        "delete that file and give the same command again; what depends on it is rendered again",
    )
