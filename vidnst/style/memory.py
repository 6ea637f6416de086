"""How much memory the optimisation of a frame takes, reckoned from the layers; nothing is measured or loaded here.

What takes most is what the backward pass needs of the forward pass. Of VGG19 down to relu5_1 that is 290 floats for
each pixel of the frame (each convolution's output, once, since the ReLUs work in place) and, with max pooling, 30 more
with an index of eight bytes beside each.
"""

from dataclasses import dataclass

from vidnst.config import RenderConfig
from vidnst.style.layers import TOPOLOGIES, deepest
from vidnst.style.thrift import NO_THRIFT, Thrift

_FLOAT = 4
_INDEX = 8
_PICTURES = 14
"""Of three floats a pixel: content, start, mask, picture, gradient, the best so far, its normalised copy, and what the
losses on pixels keep for their gradients."""
_FIXED_BYTES = 64 << 20
"""Filters, targets and what an allocator keeps beside."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes while a frame is optimised."""

    per_pixel: float
    fixed: int = _FIXED_BYTES

    def of(self, width: int, height: int) -> int:
        """For a frame of this size."""
        return round(self.per_pixel * width * height) + self.fixed


def footprint(config: RenderConfig, thrift: Thrift = NO_THRIFT) -> Footprint:
    """The memory of one stylizing worker: what it holds on its device.

    L-BFGS keeps two float32 vectors a step of its history (24 bytes a pixel), Adam two in all. Not reckoned: the
    workspaces of cuDNN, and CUDA's own context (some hundred MB).
    """
    layers = {**config.losses.content_layers, **config.losses.style_layers}
    wanted = [name for name, weight in layers.items() if weight > 0]
    convs = TOPOLOGIES[config.model.backbone].up_to(deepest(wanted))
    kept = 0.0
    block = 0
    for conv in convs:
        share = 1 / 4**conv.block
        if conv.block != block:
            block = conv.block
            kept += share * conv.inputs * (_FLOAT + _INDEX * (config.model.pooling == "max"))
        kept += share * conv.outputs * _FLOAT
        if config.model.padding != "zeros":  # the padded picture of each map is kept beside it
            kept += share * conv.inputs * _FLOAT
    targets = sum(
        conv.outputs / 4**conv.block * _FLOAT for conv in convs if config.losses.content_layers.get(conv.name, 0) > 0
    )
    backward = 2 * max(conv.outputs / 4**conv.block for conv in convs) * _FLOAT  # a gradient, and the next one
    steps = 2 if config.optimize.optimizer == "adam" else 2 * config.optimize.history + 2
    return Footprint(kept + targets + backward + (_PICTURES + steps) * 3 * _FLOAT)
