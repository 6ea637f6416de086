"""VGG19's filters: read from a file of a stranger, checked, and named by a fingerprint."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vidnst.checkpoint import fingerprint_of as weights_fingerprint
from vidnst.checkpoint import opened, usable
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


def _opened(path: Path) -> AbstractContextManager[Mapping[str, Tensor]]:
    return opened(path, network="VGG19", largest_bytes=_LARGEST_BYTES, remedy=_REMEDY)


def _checked(path: Path, tensors: Mapping[str, Tensor], convs: tuple[Conv, ...]) -> Features:
    features: Features = {}
    if CONVS[0].weight not in tensors:
        raise WeightsError(f"{path} is of another network: it has no {CONVS[0].weight}", _REMEDY)
    for conv in convs:
        shapes = {conv.weight: (conv.outputs, conv.inputs, 3, 3), conv.bias: (conv.outputs,)}
        for name, shape in shapes.items():
            if name not in tensors:
                raise WeightsError(f"{conv.name} needs {name}, which {path} lacks", _REMEDY)
            features[name] = usable(path, name, tensors[name], shape, _REMEDY)
    return features
