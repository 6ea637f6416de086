"""A backbone's filters: found or downloaded, read from an untrusted file, checked and fingerprinted."""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vidnst.errors import WeightsError
from vidnst.style.network.backbones import BACKBONES, ConvLayer
from vidnst.style.network.random_filters import random_features
from vidnst.weights_file import (
    DownloadProgress,
    WeightsSource,
    checked_tensor,
    find_weights_file,
    open_weights,
    read_metadata,
    weights_fingerprint,
)

Features: TypeAlias = dict[str, NDArray[np.float32]]
"""`features.N.weight` `(outputs, inputs, 3, 3)` and `features.N.bias` `(outputs,)`, as torchvision numbers them."""

URL = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
"""torchvision's VGG19_Weights.IMAGENET1K_V1, 548 MB."""
ENVIRONMENT = "VIDNST_WEIGHTS"
SLIM_FILE = Path(__file__).with_name("slim.safetensors")
"""Slim's weights, which ship with the package."""

_LARGEST_BYTES = 2**31
_SOURCE = WeightsSource(
    network="VGG19",
    option="--weights",
    environment=ENVIRONMENT,
    urls=(URL,),
    max_bytes=2**30,
    remedy=f"give --weights a file that has VGG19's features, set {ENVIRONMENT} to one, put {URL} there by hand, "
    "or do without it: --backbone slim ships with vidnst, and --weights random needs no file",
)
_REMEDIES = {
    "vgg19": "take torchvision's vgg19-dcbb9e9d.pth or a file made from it (vidnst weights downloads it), or do "
    "without: --backbone slim",
    "slim": "leave --weights out to take the file that ships with vidnst, make one with vidnst distill, or add "
    "--backbone vgg19 if it belongs to VGG19",
}


@dataclass(frozen=True, slots=True)
class WeightsReport:
    """The contents of a usable weights file."""

    source: str
    """The file, or `random`."""
    size_bytes: int
    """Size of the file, or of the filters if there is no file."""
    deepest_layer: str
    """The last layer that it has filters for."""
    fingerprint: str
    """SHA-256 of all filters."""
    backbone: str = "vgg19"
    notes: dict[str, str] = field(default_factory=dict)
    """The file's metadata: teacher, training pictures, quality, licence. Empty if it has none."""


def resolve_weights(
    spec: str | None, *, backbone: str = "vgg19", download: bool = True, on_progress: DownloadProgress | None = None
) -> Path | Literal["random"]:
    """Find the file that a configuration's `model.weights` stands for.

    For vgg19, in this order: `spec` itself; the environment variable VIDNST_WEIGHTS; torch's cache; a download into
    torch's cache. `random`, as either of the first two, stands for seeded random filters and is returned as it is.
    For slim: `spec` itself, or else the file that ships with the package; the environment variable is for VGG19 only.

    Args:
        spec: a path, `random`, or None.
        backbone: `vgg19` or `slim`.
        download: False forbids downloading.
        on_progress: called with the progress of the download.

    Raises:
        WeightsError: the file does not exist, or none was found; names the places that were tried.
    """
    if backbone == "slim":
        return _resolve_slim(spec)
    if (spec or os.environ.get(ENVIRONMENT)) == "random":
        return "random"
    return find_weights_file(_SOURCE, spec, download=download, on_progress=on_progress)


def _resolve_slim(spec: str | None) -> Path | Literal["random"]:
    if spec == "random":
        return "random"
    path = SLIM_FILE if spec is None else Path(spec).expanduser()
    if not path.is_file():
        problem = "the installation lacks" if spec is None else "--weights names"
        raise WeightsError(f"{problem} {path}, where there is no file", "reinstall vidnst, or leave --weights out")
    return path


def load_features(
    source: Path | Literal["random"], last_layer: str, *, seed: int = 0, backbone: str = "vgg19"
) -> Features:
    """Load and check the filters down to `last_layer`, float32.

    Args:
        source: torchvision's own file, any file of torch.save or safetensors with the same names (all of VGG19 or its
            features only, in any floating-point type, ending at `last_layer` or later), or `random`.
        last_layer: the deepest layer that is needed.
        seed: for random filters.
        backbone: `vgg19` or `slim`: the number of filters in each layer.

    Raises:
        WeightsError: no such file, not a weights file, damaged, of another network, or not deep enough.
        ConfigError: the backbone has no such layer.
    """
    table = BACKBONES[backbone]
    layers = table.up_to(last_layer)
    if source == "random":
        return random_features(last_layer, seed, backbone=table)
    with _open(source, backbone) as tensors:
        return _checked(source, tensors, layers, _REMEDIES[backbone])


def verify_weights(source: Path | Literal["random"], *, backbone: str = "vgg19") -> WeightsReport:
    """Read and check all of a backbone's filters in a file, down to its last layer; WeightsError if unusable."""
    table = BACKBONES[backbone]
    if source == "random":
        last_layer = table.layers[-1].name
        features = random_features(last_layer, backbone=table)
        size_bytes = sum(array.nbytes for array in features.values())
        return WeightsReport("random", size_bytes, last_layer, weights_fingerprint(features), backbone)
    with _open(source, backbone) as tensors:
        last_layer = ([layer for layer in table.layers if layer.weight_key in tensors] or [table.layers[0]])[-1].name
        features = _checked(source, tensors, table.up_to(last_layer), _REMEDIES[backbone])
    size_bytes = source.stat().st_size
    return WeightsReport(
        str(source), size_bytes, last_layer, weights_fingerprint(features), backbone, read_metadata(source)
    )


def _open(path: Path, backbone: str) -> AbstractContextManager[Mapping[str, Tensor]]:
    title, remedy = BACKBONES[backbone].title, _REMEDIES[backbone]
    return open_weights(path, network=title, max_bytes=_LARGEST_BYTES, remedy=remedy)


def _checked(path: Path, tensors: Mapping[str, Tensor], layers: tuple[ConvLayer, ...], remedy: str) -> Features:
    features: Features = {}
    if layers[0].weight_key not in tensors:
        raise WeightsError(f"{path} belongs to another network: it has no {layers[0].weight_key}", remedy)
    for layer in layers:
        shapes = {layer.weight_key: (layer.outputs, layer.inputs, 3, 3), layer.bias_key: (layer.outputs,)}
        for name, shape in shapes.items():
            if name not in tensors:
                raise WeightsError(f"{layer.name} needs {name}, which {path} lacks", remedy)
            features[name] = checked_tensor(path, name, tensors[name], shape, remedy)
    return features
