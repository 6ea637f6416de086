"""VGG19's convolutions as a table, at its own widths and at a quarter of them: names, channels, what a pass costs.

Standard library only, so that layers can be checked and costs estimated without loading torch.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from vidnst.config import VGG19_LAYERS, RenderConfig
from vidnst.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Conv:
    """One 3x3 convolution with the ReLU after it."""

    name: str
    """Name of its ReLU: `relu4_2`."""
    index: int
    """Its number in torchvision's `features`."""
    inputs: int
    outputs: int
    block: int
    """From 0; as many poolings lie before it."""

    @property
    def weight(self) -> str:
        """Name of its filters in torchvision's files: `(outputs, inputs, 3, 3)`."""
        return f"features.{self.index}.weight"

    @property
    def bias(self) -> str:
        """Name of its biases in torchvision's files: `(outputs,)`."""
        return f"features.{self.index}.bias"

    @property
    def stride_px(self) -> int:
        """Pixels of the picture between two neighbouring positions of its map."""
        return 1 << self.block


@dataclass(frozen=True, slots=True)
class Topology:
    """VGG19's order of convolutions and poolings (Simonyan & Zisserman 2015), with channels of its own."""

    title: str
    """What it is called in messages."""
    convs: tuple[Conv, ...]
    """From the shallowest."""

    @classmethod
    def of(cls, title: str, blocks: Iterable[tuple[int, int]]) -> "Topology":
        """From the channels and the convolutions of each block; a 2x2 pooling stands between blocks."""
        convs: list[Conv] = []
        index, inputs = 0, 3
        for block, (outputs, count) in enumerate(blocks):
            for number in range(1, count + 1):
                convs.append(Conv(f"relu{block + 1}_{number}", index, inputs, outputs, block))
                index, inputs = index + 2, outputs  # convolution, ReLU
            index += 1  # pooling
        return cls(title, tuple(convs))

    def up_to(self, last_layer: str) -> tuple[Conv, ...]:
        """The convolutions that `last_layer` needs, from the shallowest; ConfigError for a name that it has not."""
        names = [conv.name for conv in self.convs]
        if last_layer in names:
            return self.convs[: names.index(last_layer) + 1]
        other = "; --backbone vgg19 goes deeper" if last_layer in VGG19_LAYERS else ""
        raise ConfigError(f"{self.title} has no layer {last_layer!r}", f"name one of {names[0]} to {names[-1]}{other}")


FULL = Topology.of("VGG19", ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)))
"""VGG19 itself: sixteen convolutions."""
SLIM = Topology.of("slim", ((16, 2), (32, 2), (64, 4), (128, 4), (128, 1)))
"""A quarter of its widths, a sixteenth of its arithmetic, down to relu5_1."""
TOPOLOGIES = {"vgg19": FULL, "slim": SLIM}
"""By the names that `model.backbone` may have."""

CONVS = FULL.convs


def convs_up_to(last_layer: str) -> tuple[Conv, ...]:
    """VGG19's convolutions that `last_layer` needs, from the shallowest; ConfigError for a name that it has not."""
    return FULL.up_to(last_layer)


def deepest(layers: Iterable[str]) -> str:
    """The deepest of some layers."""
    return max(layers, key=VGG19_LAYERS.index)


_STRIDES = {conv.name: conv.stride_px for conv in CONVS}


def stride_px(layer: str) -> int:
    """Pixels of the picture between two neighbouring positions of a layer's map."""
    return _STRIDES[layer]


def smallest_side_px(last_layer: str) -> int:
    """Shortest side in pixels that a picture must have for the map of `last_layer` to hold anything."""
    return convs_up_to(last_layer)[-1].stride_px


def arithmetic(height: int, width: int, last_layer: str, topology: Topology = FULL) -> int:
    """Floating-point operations (a multiply-add is two) of one forward pass over a `height` x `width` picture.

    Counts the convolutions, which are all but one in a thousand of them. The gradient of a frozen network with
    respect to the picture costs the same again, so a step of the optimiser is about twice this.
    """
    return sum(
        2 * 9 * conv.inputs * conv.outputs * (height // conv.stride_px) * (width // conv.stride_px)
        for conv in topology.up_to(last_layer)
    )


def last_layer(config: RenderConfig) -> str:
    """The deepest layer that the losses look at: what weights must reach down to."""
    layers = {**config.losses.content_layers, **config.losses.style_layers}
    return deepest(name for name, weight in layers.items() if weight > 0)
