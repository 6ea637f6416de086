"""VGG19's convolutional part, frozen, with any numbers of channels, and no deeper than needed."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from vidnst.errors import ConfigError, WeightsError
from vidnst.style.network.backbones import DEVIATION, MEAN, VGG19_BACKBONE, ConvLayer, deepest, stride_px
from vidnst.style.tensors import resize, size_of_area

Block: TypeAlias = Callable[[Tensor], tuple[Tensor, dict[str, Tensor]]]
"""From a picture, or the output of the block before it, to its own output and the requested maps."""

_CALIBRATION_AREA_PX = 256 * 256
_SMALLEST_MEAN = 1e-6
"""Lower limit of the mean activation by which a layer is scaled; a layer below it is dead."""


class VGG19(nn.Module):
    """The convolutional part of VGG19 (Simonyan & Zisserman 2015) as torchvision trains and numbers it.

    Args:
        features: `features.N.weight` and `features.N.bias`, float32, at least down to `last_layer`; they decide the
            number of channels of each layer. With `features.N.expand.weight` a convolution is of low rank. With
            `features.N.head.weight` and `features.N.head.bias`, the maps that are returned are the results of this
            linear map of the layer's channels.
        last_layer: deepest layer that will be requested; nothing below it is built.
        pooling: max, as it was trained, or average, which Gatys 2015 found to give smoother pictures.
        padding: values beyond the border: zeros, as it was trained, the border's own values repeated, or the picture
            mirrored at its border.

    Raises:
        WeightsError: `features` does not reach down to `last_layer`.
    """

    mean: Tensor
    deviation: Tensor
    factor: Tensor
    offset: Tensor

    def __init__(
        self,
        features: Mapping[str, NDArray[np.float32]],
        *,
        last_layer: str,
        pooling: Literal["max", "average"] = "max",
        padding: Literal["zeros", "replicate", "reflect"] = "zeros",
    ) -> None:
        super().__init__()
        self.last_layer = last_layer
        self._padding = padding
        self.smallest_side_px = self._smallest_side_px(last_layer)
        self._pool = functional.max_pool2d if pooling == "max" else functional.avg_pool2d
        self._layers = VGG19_BACKBONE.up_to(last_layer)
        self._convs = nn.ModuleList()
        self._heads = nn.ModuleDict()
        for conv in self._layers:
            if conv.weight_key not in features or conv.bias_key not in features:
                raise WeightsError(f"{last_layer} needs {conv.weight_key}, which these weights lack")
            self._convs.append(_convolution(features, conv, padding=int(padding == "zeros")))
            if set(conv.head_keys) <= features.keys():
                self._heads[conv.name] = Pointwise(*(_parameter(features[key]) for key in conv.head_keys))
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(1, 3, 1, 1))
        self.register_buffer("factor", 1 / self.deviation)  # with offset: one pass over the picture instead of two
        self.register_buffer("offset", -self.mean / self.deviation)
        self.requires_grad_(False)
        self.eval()
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor, layers: Collection[str]) -> dict[str, Tensor]:
        """The maps of `layers`, each `(1, C, H / 2^b, W / 2^b)` after its ReLU, and its head if it has one.

        Args:
            x: `(1, 3, H, W)` float32 sRGB in RGB order, in [0, 1]; normalised by the network.
            layers: names such as `relu4_2`, none deeper than `last_layer`.

        Raises:
            ConfigError: a side of the picture is too short for the deepest layer, or a layer is not in this network.
        """
        maps: dict[str, Tensor] = {}
        for block in self.blocks(x, layers):
            x, maps_of_block = block(x)
            maps.update(maps_of_block)
        return maps

    def blocks(self, x: Tensor, layers: Collection[str], *, split_after: Collection[str] = ()) -> list[Block]:
        """The parts of the network that `layers` need: the first takes `x`, the others the output of the part before.

        Args:
            x, layers: see `forward`.
            split_after: layers after which a part ends, in addition to those with a pooling after them.
        """
        last = deepest(layers)
        self._check(x, last, layers)
        parts: list[Block] = []
        convs: list[tuple[str, nn.Module]] = []
        for number, (conv, module) in enumerate(zip(self._layers, self._convs, strict=True)):
            convs.append((conv.name, module))
            pooled = conv.name != last and self._layers[number + 1].block > conv.block
            if pooled or conv.name == last or conv.name in split_after:
                parts.append(partial(self._block, convs, layers, first=not parts, pooled=pooled))
                convs = []
            if conv.name == last:
                break
        return parts

    def _block(
        self, convs: list[tuple[str, nn.Module]], layers: Collection[str], x: Tensor, *, first: bool, pooled: bool
    ) -> tuple[Tensor, dict[str, Tensor]]:
        maps: dict[str, Tensor] = {}
        if first:
            x = torch.addcmul(self.offset, x, self.factor).to(self.dtype, memory_format=torch.channels_last)
        for name, module in convs:
            # In place, since nothing else uses the convolution's output and no gradient needs it: half the memory.
            # Maps are the ReLU's results, and nothing later writes to them.
            x = functional.relu_(module(x if self._padding == "zeros" else _padded(x, self._padding == "reflect")))
            if name in layers:
                maps[name] = self._heads[name](x) if name in self._heads else x
        return self._pool(x, 2) if pooled else x, maps

    def layers(self) -> Iterator[tuple[ConvLayer, nn.Conv2d]]:
        """Each convolution with its module, from the shallowest; all must be of full rank."""
        for conv, module in zip(self._layers, self._convs, strict=True):
            assert isinstance(module, nn.Conv2d)
            yield conv, module

    @property
    def pads_with_zeros(self) -> bool:
        """True if no padded copies are made, so that a convolution uses its input map directly."""
        return self._padding == "zeros"

    @property
    def dtype(self) -> torch.dtype:
        """Data type of the maps."""
        return next(self._convs.parameters()).dtype

    def to_bfloat16(self) -> "VGG19":
        """A copy whose maps are bfloat16; pictures and their gradients stay float32."""
        copy = deepcopy(self)
        copy._convs.to(torch.bfloat16)
        copy._heads.to(torch.bfloat16)
        return copy

    @torch.no_grad()
    def scale_to_unit_means(self, pictures: Sequence[Tensor]) -> None:
        """Scale the filters so that the mean of every layer over some pictures is 1; raw losses then mean the same
        with any weights.

        Gatys 2015 do so with the mean of every filter over the images of ImageNet. Deviation: the mean of a whole
        layer, which preserves the channels' relative strengths, over the style pictures at `_CALIBRATION_AREA_PX`.

        Args:
            pictures: `(1, 3, H, W)` in [0, 1], of any sizes, on the network's device.
        """
        names = [conv.name for conv in self._layers]
        sums = dict.fromkeys(names, 0.0)
        for picture in pictures:
            size = size_of_area(picture.shape[2], picture.shape[3], _CALIBRATION_AREA_PX, self.smallest_side_px)
            for name, maps in self(resize(picture, *size), names).items():
                sums[name] += float(maps.abs().mean(dtype=torch.float64))  # a head's results may be negative
        before = 1.0  # ReLU, pooling and padding are homogeneous: each layer's filters undo the division before them
        for conv, module in zip(self._layers, self._convs, strict=True):
            mean = max(sums[conv.name] / len(pictures), _SMALLEST_MEAN)
            if conv.name in self._heads:  # their results, not the maps below them, are to have a mean of 1
                for values in self._heads[conv.name].parameters():
                    values.div_(mean)
                mean = 1.0
            weight, bias = _last_parameters(module)
            weight.mul_(before / mean)
            bias.div_(mean)
            before = mean

    def _smallest_side_px(self, layer: str) -> int:
        return stride_px(layer) * (2 if self._padding == "reflect" else 1)  # a single position cannot be mirrored

    def _check(self, x: Tensor, last: str, layers: Collection[str]) -> None:
        names = {conv.name for conv in self._layers}
        for name in layers:
            if name not in names:
                raise ConfigError(f"layer {name} is not in this network, which ends at {self.last_layer}")
        height, width = x.shape[-2:]
        needed = self._smallest_side_px(last)
        if min(height, width) < needed:
            raise ConfigError(
                f"a picture of {width}x{height} is too small for layer {last}, which needs {needed} pixels a side",
                "render larger frames, or leave out the deep layers in losses.style_layers",
            )


class Pointwise(nn.Module):
    """A 1x1 convolution of channels-last maps, as a matrix product: torch's own takes twice as long on a CPU.

    Args:
        weight: `(outputs, inputs, 1, 1)`.
        bias: `(outputs,)`.
    """

    def __init__(self, weight: nn.Parameter, bias: nn.Parameter) -> None:
        super().__init__()
        self.weight, self.bias = weight, bias

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, inputs, H, W)` to `(N, outputs, H, W)`."""
        return functional.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


def _convolution(features: Mapping[str, NDArray[np.float32]], conv: ConvLayer, *, padding: int) -> nn.Module:
    weight, bias = _parameter(features[conv.weight_key]), _parameter(features[conv.bias_key])
    outputs, inputs = weight.shape[:2]
    low_rank = conv.expand_key in features
    module = nn.Conv2d(inputs, outputs, 3, padding=padding, bias=not low_rank, device="meta")
    module.weight = weight
    if low_rank:
        return nn.Sequential(module, Pointwise(_parameter(features[conv.expand_key]), bias))
    module.bias = bias
    return module


def _last_parameters(module: nn.Module) -> tuple[Tensor, Tensor]:
    """The weight and bias by which a convolution's results can be scaled."""
    last = module[-1] if isinstance(module, nn.Sequential) else module
    assert isinstance(last, nn.Conv2d | Pointwise)
    assert last.bias is not None
    return last.weight, last.bias


def _parameter(values: NDArray[np.float32]) -> nn.Parameter:
    """A copy, since arrays from an object store are read-only, of which torch warns."""
    return nn.Parameter(torch.from_numpy(np.array(values, np.float32)))


def _padded(x: Tensor, reflect: bool) -> Tensor:
    """Pad `(1, C, H, W)` by one row or column on each side.

    Concatenated from slices, because the gradient of torch's own padding has no fixed order of summation on a GPU.
    """
    first = 1 if reflect else 0
    last = -1 - first
    for axis in (2, 3):
        size = x.shape[axis]
        x = torch.cat([x.narrow(axis, first, 1), x, x.narrow(axis, size + last, 1)], dim=axis)
    return x
