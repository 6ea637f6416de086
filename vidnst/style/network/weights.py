"""A backbone's filters: read from a file of a stranger, checked, and named by a fingerprint."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vidnst.errors import WeightsError
from vidnst.style.network.find_weights import resolve_weights
from vidnst.style.network.random_filters import random_features
from vidnst.style.network.topology import TOPOLOGIES, Conv, Topology
from vidnst.weights_file import fingerprint_of as weights_fingerprint
from vidnst.weights_file import notes_of, opened, usable

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
_REMEDIES = {
    "vgg19": "take torchvision's vgg19-dcbb9e9d.pth or a file made from it (vidnst weights fetches it), or go on "
    "without: --backbone slim",
    "slim": "leave --weights out for the one that comes with vidnst, make one with vidnst distill, or add --backbone "
    "vgg19 if it is of VGG19",
}


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
    """SHA-256 of all its filters."""
    backbone: str = "vgg19"
    notes: dict[str, str] = field(default_factory=dict)
    """What the file says of itself: who taught it on what, how well, its licence. Empty where it says nothing."""


def load_features(
    source: Path | Literal["random"], last_layer: str, *, seed: int = 0, backbone: str = "vgg19"
) -> Features:
    """The filters down to `last_layer`, float32, checked.

    Args:
        source: torchvision's own file, any file of torch.save or safetensors with the same names (all of VGG19 or its
            features only, in any floating-point type, ending at `last_layer` or later), or `random`.
        last_layer: deepest layer that is needed.
        seed: of random filters.
        backbone: `vgg19` or `slim`: how many filters each layer has.

    Raises:
        WeightsError: no such file, not a weights file, damaged, of another network, or not deep enough.
        ConfigError: the backbone has no such layer.
    """
    topology = TOPOLOGIES[backbone]
    convs = topology.up_to(last_layer)
    if source == "random":
        return random_features(last_layer, seed, topology=topology)
    with _opened(source, topology, _REMEDIES[backbone]) as tensors:
        return _checked(source, tensors, convs, _REMEDIES[backbone])


def verify(source: Path | Literal["random"], *, backbone: str = "vgg19") -> WeightsReport:
    """Read and check all of a backbone's filters in a file, as deep as they go; WeightsError where unusable."""
    topology, remedy = TOPOLOGIES[backbone], _REMEDIES[backbone]
    everything = topology.convs
    if source == "random":
        features = random_features(everything[-1].name, topology=topology)
        size_bytes = sum(array.nbytes for array in features.values())
        return WeightsReport("random", size_bytes, everything[-1].name, weights_fingerprint(features), backbone)
    with _opened(source, topology, remedy) as tensors:
        deepest = [conv for conv in everything if conv.weight in tensors] or [everything[0]]
        features = _checked(source, tensors, topology.up_to(deepest[-1].name), remedy)
    mark = weights_fingerprint(features)
    return WeightsReport(str(source), source.stat().st_size, deepest[-1].name, mark, backbone, notes_of(source))


def _opened(path: Path, topology: Topology, remedy: str) -> AbstractContextManager[Mapping[str, Tensor]]:
    return opened(path, network=topology.title, largest_bytes=_LARGEST_BYTES, remedy=remedy)


def _checked(path: Path, tensors: Mapping[str, Tensor], convs: tuple[Conv, ...], remedy: str) -> Features:
    features: Features = {}
    if convs[0].weight not in tensors:
        raise WeightsError(f"{path} is of another network: it has no {convs[0].weight}", remedy)
    for conv in convs:
        shapes = {conv.weight: (conv.outputs, conv.inputs, 3, 3), conv.bias: (conv.outputs,)}
        for name, shape in shapes.items():
            if name not in tensors:
                raise WeightsError(f"{conv.name} needs {name}, which {path} lacks", remedy)
            features[name] = usable(path, name, tensors[name], shape, remedy)
    return features
