"""VGG19's filters: read from a file of a stranger, checked, and named by a fingerprint."""

import hashlib
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor

from vidnst.errors import WeightsError
from vidnst.style.fetch import resolve_weights
from vidnst.style.layers import CONVS, Conv, convs_up_to
from vidnst.style.random_filters import random_features

__all__ = [
    "Features",
    "WeightsReport",
    "load_features",
    "random_features",
    "resolve_weights",
    "verify",
    "weights_fingerprint",
]

Features: TypeAlias = dict[str, NDArray[np.float32]]
"""`features.N.weight` `(outputs, inputs, 3, 3)` and `features.N.bias` `(outputs,)`, as torchvision numbers them."""

_LARGEST_BYTES = 2**31
_REMEDY = (
    "take torchvision's vgg19-dcbb9e9d.pth or a file made from it (vidnst weights fetches it), or --weights random"
)


@dataclass(frozen=True, slots=True)
class WeightsReport:
    """What is in a usable weights file."""

    source: str
    """The file, or `random`."""
    size_bytes: int
    """Of the file; of the filters where there is none."""
    deepest_layer: str
    """The last layer that it can look at."""
    fingerprint: str
    """SHA-256 of all its VGG19 filters."""


def load_features(source: Path | Literal["random"], last_layer: str, *, seed: int = 0) -> Features:
    """The filters down to `last_layer`, float32, checked.

    Args:
        source: torchvision's own file, any file of torch.save or safetensors with the same names (all of VGG19 or its
            features only, in any floating-point type, ending at `last_layer` or later), or `random`.
        last_layer: deepest layer that is needed.
        seed: of random filters.

    Raises:
        WeightsError: no such file, not a weights file, damaged, of another network, or not deep enough.
    """
    if source == "random":
        return random_features(last_layer, seed)
    with _opened(source) as tensors:
        return _checked(source, tensors, convs_up_to(last_layer))


def verify(source: Path | Literal["random"]) -> WeightsReport:
    """Read and check all of VGG19's filters in a file, as deep as they go; WeightsError where they are unusable."""
    if source == "random":
        features = random_features(CONVS[-1].name)
        size_bytes = sum(array.nbytes for array in features.values())
        return WeightsReport("random", size_bytes, CONVS[-1].name, weights_fingerprint(features))
    with _opened(source) as tensors:
        convs = [conv for conv in CONVS if conv.weight in tensors] or [CONVS[0]]
        features = _checked(source, tensors, CONVS[: CONVS.index(convs[-1]) + 1])
    return WeightsReport(str(source), source.stat().st_size, convs[-1].name, weights_fingerprint(features))


def weights_fingerprint(features: Mapping[str, NDArray[np.float32]]) -> str:
    """SHA-256 over names, shapes and values, in hexadecimal; the same for the same filters from whatever file."""
    digest = hashlib.sha256()
    for name in sorted(features):
        array = np.ascontiguousarray(features[name], dtype="<f4")
        digest.update(f"{name}{array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()


class _Tensors(Mapping[str, Tensor]):
    """Tensors of a safetensors file, each read when it is asked for."""

    def __init__(self, file: safe_open) -> None:
        self._file = file
        self._names = tuple(file.keys())  # type: ignore[no-untyped-call]

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._names:
            raise KeyError(name)  # what a mapping says; safetensors raises an error of its own
        tensor: Tensor = self._file.get_tensor(name)  # type: ignore[no-untyped-call]
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@contextmanager
def _opened(path: Path) -> Iterator[Mapping[str, Tensor]]:
    """The tensors of a file by name; WeightsError for all that can be wrong with it as a file."""
    try:
        size_bytes = path.stat().st_size
    except OSError as error:
        raise WeightsError(f"weights {path} cannot be read ({error.strerror})", _REMEDY) from error
    if size_bytes > _LARGEST_BYTES:
        raise WeightsError(f"{path} is {size_bytes / 2**30:.1f} GiB, more than any VGG19", _REMEDY)
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                yield _Tensors(file)
            return
        # Mapped, only the filters that are wanted are read; torchvision's own file is of the older kind that cannot be.
        mapped = zipfile.is_zipfile(path)
        values = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except WeightsError:
        raise
    except Exception as error:  # a stranger's file fails in torch and safetensors in a dozen ways
        raise WeightsError(f"{path} is truncated, or no weights file", _REMEDY) from error
    if not isinstance(values, Mapping):
        raise WeightsError(f"{path} holds no table of weights", _REMEDY)
    yield {str(name): value for name, value in values.items() if isinstance(value, Tensor)}


def _checked(path: Path, tensors: Mapping[str, Tensor], convs: tuple[Conv, ...]) -> Features:
    features: Features = {}
    if CONVS[0].weight not in tensors:
        raise WeightsError(f"{path} is of another network: it has no {CONVS[0].weight}", _REMEDY)
    for conv in convs:
        shapes = {conv.weight: (conv.outputs, conv.inputs, 3, 3), conv.bias: (conv.outputs,)}
        for name, shape in shapes.items():
            if name not in tensors:
                raise WeightsError(f"{conv.name} needs {name}, which {path} lacks", _REMEDY)
            tensor = tensors[name]
            if tuple(tensor.shape) != shape:
                raise WeightsError(
                    f"{path} is of another network: its {name} is {tuple(tensor.shape)}, not {shape}", _REMEDY
                )
            if not tensor.is_floating_point():
                raise WeightsError(f"{path} is not usable: its {name} holds {tensor.dtype}, not real numbers", _REMEDY)
            array = tensor.float().numpy().copy()
            if not np.isfinite(array).all():
                raise WeightsError(f"{path} is damaged: its {name} holds NaN or infinity", _REMEDY)
            features[name] = array
    return features
