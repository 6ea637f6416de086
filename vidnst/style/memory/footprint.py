"""How much memory the optimisation of a frame takes, reckoned from the layers; nothing is measured or loaded here.

What takes most is what the backward pass needs of the forward pass. Of VGG19 down to relu5_1 that is 290 floats for
each pixel of the frame (each convolution's output, once, since the ReLUs work in place) and, with max pooling, 30 more
with an index of eight bytes beside each. Where maps are computed again, only what parts of the network begin with is
kept, and the first part, at full resolution, decides.
"""

from dataclasses import dataclass

from vidnst.config import RenderConfig
from vidnst.style.memory.modes import NO_SAVINGS, MemoryMode
from vidnst.style.network.backbones import BACKBONES, ConvLayer, deepest

_FLOAT = 4
_HALF = 2
_INDEX = 8
_HELD = 6
"""Pictures, of three floats a pixel, that are there all the time: content, start, masks, picture, gradient, the best so
far."""
_TERMS = 11
"""And those that are gone when the gradient goes through the network: its normalised copy, and what the losses on
pixels keep for their own gradients."""
_GRADIENTS = 3
"""Of a convolution's output, while its own is computed: before and after the ReLU, and what the device works with."""
_FIXED_BYTES = 8 << 20
"""Targets and what an allocator keeps beside."""
_STEP = 16
"""Sizes that would fit are multiples of it."""
_SHOWN = 3
"""Pictures of the frame's own size that are there while a smaller one is painted."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes while a frame is optimised."""

    per_pixel: float
    """Of the frame."""
    fixed: int
    per_tile_pixel: float = 0.0
    tile_pixels: int = 0
    """Of a tile; the frame is not cut if it is smaller."""
    before_tiles: float = 0.0
    """For each pixel of the frame, what is gone by the time of the tiles."""

    def of(self, width: int, height: int) -> int:
        """For a frame of this size."""
        pixels = width * height
        network = max(self.before_tiles * pixels, self.per_tile_pixel * min(pixels, self.tile_pixels))
        return round(self.per_pixel * pixels + network) + self.fixed

    def longest_side_px(self, room: int, width: int, height: int) -> int | None:
        """Longest side, a multiple of 16, at which a frame of this shape takes at most so many bytes; None: at none."""
        longest = max(width, height)
        sides = range(longest // _STEP * _STEP, 0, -_STEP)
        return next((side for side in sides if self._at(side / longest, width, height) <= room), None)

    def _at(self, share: float, width: int, height: int) -> int:
        return self.of(round(width * share), round(height * share))


def estimate_footprint(config: RenderConfig, memory_mode: MemoryMode = NO_SAVINGS) -> Footprint:
    """The memory of one stylizing worker: what it holds on its device.

    L-BFGS keeps two float32 vectors a step of its history (24 bytes a pixel), Adam two in all. Not reckoned: the
    workspaces of cuDNN, and CUDA's own context (some hundred MB); statistics other than Gram matrices, some of which
    keep another copy of their maps.
    """
    layers = {**config.losses.content_layers, **config.losses.style_layers}
    wanted = [name for name, weight in layers.items() if weight > 0]
    convs = BACKBONES[config.model.backbone].up_to(deepest(wanted))
    half = memory_mode.bfloat16 or config.model.precision == "bfloat16"
    number = _HALF if half else _FLOAT
    history = (
        config.optimize.history
        if memory_mode.lbfgs_history is None
        else min(memory_mode.lbfgs_history, config.optimize.history)
    )
    steps = 2 if config.optimize.optimizer == "adam" else 2 * history + 2
    targets = sum(_area(conv) * number for conv in convs if config.losses.content_layers.get(conv.name, 0) > 0)
    apart = targets / number * _FLOAT * (2 if half else 1)
    forward, backward = (_recomputed if memory_mode.recompute else _kept)(config, convs, number)
    network = apart + max(_TERMS * 3 * _FLOAT + forward, backward)
    pictures = (_HELD + steps) * 3 * _FLOAT + targets
    filters = sum(9 * conv.inputs * conv.outputs * (_FLOAT + half * _HALF) for conv in convs)
    fixed = filters + _FIXED_BYTES
    small = memory_mode.scale**2
    shown = _SHOWN * 3 * _FLOAT if memory_mode.scale < 1 else 0
    if memory_mode.tile_px is None:
        return Footprint(small * (pictures + network) + shown, fixed)
    # A tile's pixels are those of the frame as it is painted, which may be smaller.
    terms = small * _TERMS * 3 * _FLOAT
    tile = small * (apart + max(forward, backward))
    return Footprint(small * pictures + shown, fixed, tile, round(memory_mode.tile_px**2 / small), terms)


def _area(conv: ConvLayer) -> float:
    """Numbers in a map for each pixel of the picture."""
    return conv.outputs / float(4**conv.block)


def _of_pooling(config: RenderConfig, conv: ConvLayer, number: int) -> float:
    """Bytes that the pooling after a convolution keeps, its result among them."""
    return _area(conv) / 4 * (number + _INDEX * (config.model.pooling == "max"))


def _kept(config: RenderConfig, convs: tuple[ConvLayer, ...], number: int) -> tuple[float, float]:
    """Bytes a pixel of all maps, and the most while the gradient goes through them."""
    kept = most = 0.0
    for conv, after in zip(convs, (*convs[1:], None), strict=True):
        kept += number * (_area(conv) + _beside(config, conv))
        most = max(most, kept + _GRADIENTS * _area(conv) * number)
        if after is not None and after.block > conv.block:
            kept += _of_pooling(config, conv, number)
    return kept, most


def _recomputed(config: RenderConfig, convs: tuple[ConvLayer, ...], number: int) -> tuple[float, float]:
    """Bytes a pixel of what parts of the network begin with, and the most while one is computed again and gone through
    backward."""
    begins = 3.0 * number
    most = inside = 0.0
    for conv, after in zip(convs, (*convs[1:], None), strict=True):
        inside += number * (_area(conv) + _beside(config, conv))
        most = max(most, begins + inside + _GRADIENTS * _area(conv) * number)
        pooled = after is not None and after.block > conv.block
        if pooled or _is_split(config, conv):
            begins += _area(conv) / (4 if pooled else 1) * number
            inside = 0.0
    return begins, most


def _beside(config: RenderConfig, conv: ConvLayer) -> float:
    """Numbers in the padded copy of what a convolution looks at, if there is one."""
    return 0.0 if config.model.padding == "zeros" else conv.inputs / float(4**conv.block)


def _is_split(config: RenderConfig, conv: ConvLayer) -> bool:
    """Whether a part ends after a convolution: see `eye`. Regions are not known here."""
    wanted, zeros = config.losses, config.model.padding == "zeros"
    kinds = sum(weight > 0 for weight in wanted.style_kinds.values())
    asked = kinds * (wanted.style_layers.get(conv.name, 0) > 0) + (wanted.content_layers.get(conv.name, 0) > 0)
    return asked <= zeros
