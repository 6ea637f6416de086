"""The backbones as tables of layers: VGG19, and slim, an approximation of it with a seventh of its arithmetic.

Standard library only, so that layers can be checked and costs estimated without loading torch.

A backbone is such a table and a file of filters with the same names, so losses, presets and workers do not know which
one they use. A run records the backbone and the hash of its filters; nothing is ever swapped silently.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from vidnst.config import VGG19_LAYERS, RenderConfig
from vidnst.errors import ConfigError

MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
"""Of the pictures that the networks were trained on, by channel, in 0..1."""


@dataclass(frozen=True, slots=True)
class ConvLayer:
    """One 3x3 convolution with the ReLU after it.

    One of low rank is a 3x3 convolution to `rank` channels and a 1x1 convolution from there to all outputs.
    """

    name: str
    """Name of its ReLU: `relu4_2`."""
    index: int
    """Its number in torchvision's `features`."""
    inputs: int
    """Input channels."""
    outputs: int
    """Output channels."""
    block: int
    """The number of poolings before the layer."""
    rank: int = 0
    """Channels between the two parts of a convolution of low rank; 0 if it has full rank."""
    head: bool = False
    """True if maps leave the network through a head: a 1x1 convolution to one channel more."""

    @property
    def weight_key(self) -> str:
        """Key of its filters in torchvision's files: `(outputs, inputs, 3, 3)`, or `(rank, inputs, 3, 3)`."""
        return f"features.{self.index}.weight"

    @property
    def expand_key(self) -> str:
        """Key of the second part of a convolution of low rank: `(outputs, rank, 1, 1)`."""
        return f"features.{self.index}.expand.weight"

    @property
    def bias_key(self) -> str:
        """Key of its biases in torchvision's files: `(outputs,)`."""
        return f"features.{self.index}.bias"

    @property
    def head_keys(self) -> tuple[str, str]:
        """Keys of its head: filters `(outputs + 1, outputs, 1, 1)` and biases `(outputs + 1,)`."""
        return f"features.{self.index}.head.weight", f"features.{self.index}.head.bias"

    @property
    def stride_px(self) -> int:
        """Pixels of the picture between two neighbouring positions of its map."""
        return 1 << self.block

    @property
    def filter_values(self) -> int:
        """Number of its filters' values, and of multiply-adds at each position of its map."""
        if self.rank:
            return self.rank * (9 * self.inputs + self.outputs)
        return 9 * self.inputs * self.outputs


@dataclass(frozen=True, slots=True)
class Block:
    """Equal convolutions between two poolings; the fields are those of `ConvLayer`."""

    outputs: int
    count: int
    """Number of convolutions."""
    rank: int = 0
    head: bool = False


@dataclass(frozen=True, slots=True)
class Backbone:
    """VGG19's order of convolutions and poolings (Simonyan & Zisserman 2015), with its own numbers of channels."""

    title: str
    """Its name in messages."""
    layers: tuple[ConvLayer, ...]
    """The layers, the shallowest first."""

    @classmethod
    def from_blocks(cls, title: str, blocks: Iterable[Block]) -> "Backbone":
        """Build the table from blocks, with a 2x2 pooling after each."""
        layers: list[ConvLayer] = []
        index, inputs = 0, 3
        for number, block in enumerate(blocks):
            for conv in range(1, block.count + 1):
                name = f"relu{number + 1}_{conv}"
                layers.append(ConvLayer(name, index, inputs, block.outputs, number, block.rank, block.head))
                index, inputs = index + 2, block.outputs  # convolution, ReLU
            index += 1  # pooling
        return cls(title, tuple(layers))

    def up_to(self, last_layer: str) -> tuple[ConvLayer, ...]:
        """The layers down to `last_layer`, from the shallowest; ConfigError if the backbone has no such layer."""
        names = [layer.name for layer in self.layers]
        if last_layer in names:
            return self.layers[: names.index(last_layer) + 1]
        other = "; --backbone vgg19 goes deeper" if last_layer in VGG19_LAYERS else ""
        raise ConfigError(f"{self.title} has no layer {last_layer!r}", f"name one of {names[0]} to {names[-1]}{other}")

    def flops(self, height: int, width: int, last_layer: str) -> int:
        """Floating-point operations (a multiply-add is two) of one forward pass over a `height` x `width` picture.

        Only convolutions count; everything else is about a thousandth of them. The gradient of a frozen network with
        respect to the picture costs the same again, so a step of the optimizer costs about twice this.
        """
        return sum(
            2 * layer.filter_values * (height // layer.stride_px) * (width // layer.stride_px)
            for layer in self.up_to(last_layer)
        )


VGG19_BACKBONE = Backbone.from_blocks(
    "VGG19", (Block(64, 2), Block(128, 2), Block(256, 4), Block(512, 4), Block(512, 4))
)
SLIM_BACKBONE = Backbone.from_blocks(
    "slim",
    (
        Block(24, 2, head=True),
        Block(56, 2, head=True),
        Block(144, 4, rank=40, head=True),
        Block(512, 4, rank=80),
        Block(512, 1, rank=160),
    ),
)
"""Fewer channels where maps are large, and convolutions of low rank where they are small."""
BACKBONES = {"vgg19": VGG19_BACKBONE, "slim": SLIM_BACKBONE}
"""By the values of `model.backbone`."""

WEIGHTS_NAMES = ("random", "torchvision")
"""What `model.weights` may be other than a file: seeded random filters, or torchvision's, downloaded if necessary."""


def deepest(layers: Iterable[str]) -> str:
    """The deepest of some layers, by name."""
    return max(layers, key=VGG19_LAYERS.index)


def last_layer(config: RenderConfig) -> str:
    """The deepest layer with a weight in the losses: weights must reach down to it."""
    layers = {**config.losses.content_layers, **config.losses.style_layers}
    return deepest(name for name, weight in layers.items() if weight > 0)


def stride_px(layer: str) -> int:
    """Pixels between two neighbouring positions of a layer's map, and thus the shortest side that has a position."""
    return VGG19_BACKBONE.up_to(layer)[-1].stride_px
