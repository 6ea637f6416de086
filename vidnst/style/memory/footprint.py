"""Memory estimate of a frame's optimisation, from the table of layers; nothing is measured or loaded.

Most of the memory holds what the backward pass needs from the forward pass. For VGG19 down to relu5_1 that is 290
floats per pixel of the frame (each convolution's output, once, since the ReLUs work in place) and, with max pooling, 30
more, each with an index of eight bytes. With recomputation only the inputs of the network's parts are stored, and the
first part, at full resolution, decides.
"""

from dataclasses import dataclass

from vidnst.config import RenderConfig
from vidnst.style.memory.modes import NO_SAVINGS, MemoryMode
from vidnst.style.network.backbones import BACKBONES, ConvLayer, last_layer

_FLOAT_BYTES = 4
_BFLOAT16_BYTES = 2
_INDEX_BYTES = 8
_PERMANENT_PICTURES = 6
"""Pictures of three floats per pixel that always exist: content, start, masks, picture, gradient, best picture."""
_TERM_PICTURES = 11
"""Pictures that are gone before the backward pass through the network: its normalised copy, and what the losses on
pixels store for their own gradients."""
_GRADIENT_COPIES = 3
"""Copies of a convolution's output during its backward pass: before and after the ReLU, and the device's workspace."""
_FIXED_BYTES = 8 << 20
"""Targets, and the allocator's overhead."""
FREQUENCIES = 128
"""Of the Gaussian kernel: see `textures.moments_and_mmd`."""
_STORED_PER_VALUE = {"sliced": 8, "wasserstein": 8, "moments": 4}
"""Bytes that statistics keep for each value of a style layer's map until the backward pass: the order of the sorted
values, and copies without their means."""
_MOMENTARY_PER_VALUE = {"sliced": 44, "wasserstein": 8, "moments": 8}
"""Bytes that they take while they compute: sorting in double precision. From the peaks of whole evaluations at 640x360,
which are 4.2 and, for the Gaussian kernel, 5.8 KB per pixel, 1.8 KB for Gram matrices."""
_STORED_WAVES, _MOMENTARY_WAVES = 2, 7
"""Maps of all frequencies that the Gaussian kernel keeps, and those that it takes while it computes."""
_SIDE_STEP_PX = 16
_FULL_SIZE_PICTURES = 3
"""Pictures of the frame's own size that exist while a smaller one is stylized."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes in use while a frame is optimised."""

    per_pixel: float
    """Per pixel of the frame."""
    fixed: int
    per_tile_pixel: float = 0.0
    """Per pixel of a tile."""
    tile_pixels: int = 0
    """Pixels of a tile; a smaller frame is not tiled."""
    before_tiles: float = 0.0
    """Per pixel of the frame, freed before the tiles are processed."""

    def bytes_at(self, width: int, height: int) -> int:
        """Bytes for a frame of this size."""
        pixels = width * height
        network = max(self.before_tiles * pixels, self.per_tile_pixel * min(pixels, self.tile_pixels))
        return round(self.per_pixel * pixels + network) + self.fixed

    def longest_side_px(self, limit_bytes: int, width: int, height: int) -> int | None:
        """Longest side, a multiple of 16, at which a frame of this shape fits into the limit; None if it never does."""
        longest = max(width, height)
        for side in range(longest // _SIDE_STEP_PX * _SIDE_STEP_PX, 0, -_SIDE_STEP_PX):
            if self.bytes_at(round(width * (side / longest)), round(height * (side / longest))) <= limit_bytes:
                return side
        return None


def estimate_footprint(config: RenderConfig, memory_mode: MemoryMode = NO_SAVINGS) -> Footprint:
    """Estimate the device memory of one stylizing worker.

    L-BFGS stores two float32 vectors per step of its history (24 bytes per pixel), Adam two altogether. Statistics are
    counted once, whatever the number of regions. Not included: cuDNN's workspaces and CUDA's own context (some hundred
    MB).
    """
    losses, optimize = config.losses, config.optimize
    convs = BACKBONES[config.model.backbone].up_to(last_layer(config))
    half = memory_mode.bfloat16 or config.model.precision == "bfloat16"
    value_bytes = _BFLOAT16_BYTES if half else _FLOAT_BYTES
    limit = memory_mode.lbfgs_history
    history = optimize.history if limit is None else min(limit, optimize.history)
    steps = 2 if optimize.optimizer == "adam" else 2 * history + 2
    targets = sum(_values(conv) * value_bytes for conv in convs if losses.content_layers.get(conv.name, 0) > 0)
    differences = targets / value_bytes * _FLOAT_BYTES * (2 if half else 1)
    forward, backward = (_recomputed if memory_mode.recompute else _stored)(config, convs, value_bytes)
    terms = _TERM_PICTURES * 3 * _FLOAT_BYTES
    network = differences + max(terms + forward, backward)
    pictures = (_PERMANENT_PICTURES + steps) * 3 * _FLOAT_BYTES + targets
    filters = sum(conv.filter_values * (_FLOAT_BYTES + half * _BFLOAT16_BYTES) for conv in convs)
    fixed = filters + _FIXED_BYTES
    area = memory_mode.scale**2
    full_size = _FULL_SIZE_PICTURES * 3 * _FLOAT_BYTES if memory_mode.scale < 1 else 0
    if memory_mode.tile_px is None:
        return Footprint(area * (pictures + network) + full_size, fixed)
    # A tile's pixels are those of the frame as it is stylized, which may be smaller.
    tile = area * (differences + max(forward, backward))
    tile_pixels = round(memory_mode.tile_px**2 / area)
    return Footprint(area * pictures + full_size, fixed, tile, tile_pixels, area * _TERM_PICTURES * 3 * _FLOAT_BYTES)


def _values(conv: ConvLayer) -> float:
    """Values in a map per pixel of the picture."""
    return conv.outputs / float(4**conv.block)


def _head_values(config: RenderConfig, conv: ConvLayer) -> float:
    """Values in the results of a convolution's head per pixel of the picture, if a loss uses them."""
    losses = config.losses
    used = losses.style_layers.get(conv.name, 0) > 0 or losses.content_layers.get(conv.name, 0) > 0
    return (conv.outputs + 1) / float(4**conv.block) if conv.head and used else 0.0


def _padded_values(config: RenderConfig, conv: ConvLayer) -> float:
    """Values in the padded copy of a convolution's input per pixel of the picture, if there is one."""
    return 0.0 if config.model.padding == "zeros" else conv.inputs / float(4**conv.block)


def _statistics_bytes(config: RenderConfig, conv: ConvLayer, value_bytes: int) -> tuple[float, float]:
    """Bytes per pixel that statistics of a layer's map keep for the backward pass, and take while they compute."""
    if not config.losses.style_layers.get(conv.name, 0):
        return 0.0, 0.0
    kinds = [kind for kind, weight in config.losses.style_kinds.items() if weight > 0]
    values = _values(conv)
    kept = values * sum(_STORED_PER_VALUE.get(kind, 0) for kind in kinds)
    momentary = values * max((_MOMENTARY_PER_VALUE.get(kind, 0) for kind in kinds), default=0)
    if "mmd_gaussian" in kinds:
        waves = FREQUENCIES * _FLOAT_BYTES / float(4**conv.block)
        kept, momentary = kept + _STORED_WAVES * waves, max(momentary, _MOMENTARY_WAVES * waves)
    if value_bytes < _FLOAT_BYTES and {"sliced", "mmd_gaussian"} & set(kinds):  # of a whole map in float32
        kept += values * _FLOAT_BYTES
    return kept, momentary


def _stored(config: RenderConfig, convs: tuple[ConvLayer, ...], value_bytes: int) -> tuple[float, float]:
    """Bytes per pixel of all maps, and the peak during the backward pass."""
    stored = peak = 0.0
    for conv, following in zip(convs, (*convs[1:], None), strict=True):
        stored += value_bytes * (_values(conv) + _padded_values(config, conv) + _head_values(config, conv))
        kept, momentary = _statistics_bytes(config, conv, value_bytes)
        stored += kept
        peak = max(peak, stored + momentary + _GRADIENT_COPIES * _values(conv) * value_bytes)
        if following is not None and following.block > conv.block:
            # The pooling's result, and the indices of its maxima.
            stored += _values(conv) / 4 * (value_bytes + _INDEX_BYTES * (config.model.pooling == "max"))
    return stored, peak


def _recomputed(config: RenderConfig, convs: tuple[ConvLayer, ...], value_bytes: int) -> tuple[float, float]:
    """Bytes per pixel of the inputs of the network's parts, and the peak while a part is recomputed."""
    inputs = 3.0 * value_bytes
    peak = inside = 0.0
    for conv, following in zip(convs, (*convs[1:], None), strict=True):
        inside += value_bytes * (_values(conv) + _padded_values(config, conv) + _head_values(config, conv))
        kept, momentary = _statistics_bytes(config, conv, value_bytes)
        inside += kept
        peak = max(peak, inputs + inside + momentary + _GRADIENT_COPIES * _values(conv) * value_bytes)
        pooled = following is not None and following.block > conv.block
        if pooled or _is_split(config, conv):
            inputs += _values(conv) / (4 if pooled else 1) * value_bytes
            inside = 0.0
    return inputs, peak


def _is_split(config: RenderConfig, conv: ConvLayer) -> bool:
    """True if a part ends after a convolution: see `FeatureExtractor`. Regions are not known here."""
    losses = config.losses
    kinds = sum(weight > 0 for weight in losses.style_kinds.values())
    uses = kinds * (losses.style_layers.get(conv.name, 0) > 0) + (losses.content_layers.get(conv.name, 0) > 0)
    return uses <= (config.model.padding == "zeros")
