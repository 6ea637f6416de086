"""VGG19's feature maps, at any widths: frozen, and no deeper than what is asked for."""

from collections.abc import Callable, Collection, Mapping
from copy import deepcopy
from functools import partial
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from vidnst.errors import ConfigError, WeightsError
from vidnst.style.network.backbones import VGG19_BACKBONE, deepest, smallest_side_px

MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)

Block: TypeAlias = Callable[[Tensor], tuple[Tensor, dict[str, Tensor]]]
"""From a picture, or what the block before it gives on, to what it gives on itself, and the maps that are wanted."""


class VGG19(nn.Module):
    """The convolutional part of VGG19 (Simonyan & Zisserman 2015) as torchvision trains and numbers it.

    Args:
        features: `features.N.weight` and `features.N.bias`, float32, at least down to `last_layer`; they say how many
            channels each layer has.
        last_layer: deepest layer that will be asked for; nothing below it is built.
        pooling: max, as it was trained, or average, which Gatys 2015 found to give smoother pictures.
        padding: what the convolutions see beyond the border: zeros, as it was trained, the border's own values once
            more, or the picture mirrored in its border.

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
        self._plan = VGG19_BACKBONE.up_to(last_layer)
        self._convs = nn.ModuleList()
        for conv in self._plan:
            if conv.weight_key not in features or conv.bias_key not in features:
                raise WeightsError(f"{last_layer} needs {conv.weight_key}, which these weights lack")
            outputs, inputs = features[conv.weight_key].shape[:2]
            module = nn.Conv2d(inputs, outputs, 3, padding=int(padding == "zeros"), device="meta")
            # A copy: arrays that come through an object store are read-only, which torch warns of.
            module.weight = nn.Parameter(torch.from_numpy(np.array(features[conv.weight_key], np.float32)))
            module.bias = nn.Parameter(torch.from_numpy(np.array(features[conv.bias_key], np.float32)))
            self._convs.append(module)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(1, 3, 1, 1))
        self.register_buffer("factor", 1 / self.deviation)  # with the next: one pass over the picture, not two
        self.register_buffer("offset", -self.mean / self.deviation)
        self.requires_grad_(False)
        self.eval()
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor, layers: Collection[str]) -> dict[str, Tensor]:
        """The maps of `layers`, each `(1, C, H / 2^b, W / 2^b)` float32 after its ReLU.

        Args:
            x: `(1, 3, H, W)` float32 sRGB in RGB order, in [0, 1]; normalised in here.
            layers: names such as `relu4_2`, none deeper than `last_layer`.

        Raises:
            ConfigError: a side of the picture is too short for the deepest layer, or a layer is not in this network.
        """
        maps: dict[str, Tensor] = {}
        for block in self.blocks(x, layers):
            x, found = block(x)
            maps.update(found)
        return maps

    def blocks(self, x: Tensor, layers: Collection[str], *, split_after: Collection[str] = ()) -> list[Block]:
        """The parts of the network that `layers` need: the first is for `x`, each other one for what the one before it
        gives on. See `forward`.

        Args:
            split_after: layers after which a part ends, besides those after which there is a pooling.
        """
        last = deepest(layers)
        self._check(x, last, layers)
        parts: list[Block] = []
        convs: list[tuple[str, nn.Module]] = []
        for number, (conv, module) in enumerate(zip(self._plan, self._convs, strict=True)):
            convs.append((conv.name, module))
            pooled = conv.name != last and self._plan[number + 1].block > conv.block
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
            # In place over the convolution's own output, which nobody else holds and no gradient needs: half the
            # memory. What is handed out is the ReLU's result, and nothing after it writes into it.
            x = functional.relu_(module(x if self._padding == "zeros" else _padded(x, self._padding == "reflect")))
            if name in layers:
                maps[name] = x
        return self._pool(x, 2) if pooled else x, maps

    @property
    def pads_with_zeros(self) -> bool:
        """Whether convolutions see zeros beyond the border, so that each is the only user of what it looks at."""
        return self._padding == "zeros"

    @property
    def dtype(self) -> torch.dtype:
        """Of the maps."""
        return next(self._convs.parameters()).dtype

    def halved(self) -> "VGG19":
        """A copy whose maps are bfloat16; pictures and their gradients stay as they are."""
        copy = deepcopy(self)
        copy._convs.to(torch.bfloat16)
        return copy

    def rescale(self, strengths: Mapping[str, float]) -> None:
        """Divide the maps of every layer by a number, by the name of the layer, and change nothing else.

        ReLU, pooling and padding hand a factor on, so each layer takes back what the one before it was divided by.
        """
        before = 1.0
        for conv, module in zip(self._plan, self._convs, strict=True):
            assert isinstance(module, nn.Conv2d)
            assert module.bias is not None
            strength = strengths[conv.name]
            module.weight.mul_(before / strength)
            module.bias.div_(strength)
            before = strength

    def _smallest_side_px(self, layer: str) -> int:
        return smallest_side_px(layer) * (2 if self._padding == "reflect" else 1)  # one position mirrors nothing

    def _check(self, x: Tensor, last: str, layers: Collection[str]) -> None:
        names = {conv.name for conv in self._plan}
        for name in layers:
            if name not in names:
                raise ConfigError(f"layer {name} lies outside this network, which ends at {self.last_layer}")
        height, width = x.shape[-2:]
        needed = self._smallest_side_px(last)
        if min(height, width) < needed:
            raise ConfigError(
                f"a picture of {width}x{height} is too small for layer {last}, which needs {needed} pixels a side",
                "render larger frames, or leave out the deep layers in losses.style_layers",
            )


def _padded(x: Tensor, reflect: bool) -> Tensor:
    """`(1, C, H, W)` with one row or column more on each side.

    Put together from slices: the gradient of torch's own padding adds up in any order on a GPU.
    """
    first = 1 if reflect else 0
    last = -1 - first
    for axis in (2, 3):
        size = x.shape[axis]
        x = torch.cat([x.narrow(axis, first, 1), x, x.narrow(axis, size + last, 1)], dim=axis)
    return x
