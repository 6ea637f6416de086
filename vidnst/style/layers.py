"""VGG19's convolutions as a table: names, positions, channels, what a picture must measure, what a pass costs.

Standard library only, so that layers can be checked and costs estimated without loading torch.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from vidnst.config import VGG19_LAYERS
from vidnst.errors import ConfigError

_BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
"""Channels and convolutions of each block; a 2x2 pooling stands between blocks (Simonyan & Zisserman 2015)."""


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


def _table() -> tuple[Conv, ...]:
    convs: list[Conv] = []
    index, inputs = 0, 3
    for block, (outputs, count) in enumerate(_BLOCKS):
        for number in range(1, count + 1):
            convs.append(Conv(f"relu{block + 1}_{number}", index, inputs, outputs, block))
            index, inputs = index + 2, outputs  # convolution, ReLU
        index += 1  # pooling
    return tuple(convs)


CONVS = _table()
"""All sixteen, from the shallowest."""


def convs_up_to(last_layer: str) -> tuple[Conv, ...]:
    """The convolutions that `last_layer` needs, from the shallowest; ConfigError for a name that VGG19 has not."""
    names = [conv.name for conv in CONVS]
    if last_layer not in names:
        raise ConfigError(f"VGG19 has no layer {last_layer!r}", f"name one of {names[0]} to {names[-1]}")
    return CONVS[: names.index(last_layer) + 1]


def deepest(layers: Iterable[str]) -> str:
    """The deepest of some layers."""
    return max(layers, key=VGG19_LAYERS.index)


def smallest_side_px(last_layer: str) -> int:
    """Shortest side in pixels that a picture must have for the map of `last_layer` to hold anything."""
    return convs_up_to(last_layer)[-1].stride_px


def arithmetic(height: int, width: int, last_layer: str) -> int:
    """Floating-point operations (a multiply-add is two) of one forward pass over a `height` x `width` picture.

    Counts the convolutions, which are all but one in a thousand of them. The gradient of a frozen network with
    respect to the picture costs the same again, so a step of the optimiser is about twice this.
    """
    return sum(
        2 * 9 * conv.inputs * conv.outputs * (height // conv.stride_px) * (width // conv.stride_px)
        for conv in convs_up_to(last_layer)
    )
