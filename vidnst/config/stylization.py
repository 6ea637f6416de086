"""Sections for stylizing one picture: the network, the styles, the losses, the optimisation."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from vidnst.config.base import PathText, Positive, Section, Weight

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
VGG19_LAYERS = tuple(
    f"relu{block}_{conv}" for block, convs in enumerate((2, 2, 4, 4, 4), start=1) for conv in range(1, convs + 1)
)

_LARGEST_STYLE = 4

StyleKind = Literal["gram", "moments", "mmd_linear", "mmd_polynomial", "mmd_gaussian", "wasserstein", "sliced"]


class ModelConfig(Section):
    """The feature network."""

    backbone: Literal["vgg19", "slim"] = "vgg19"
    """vgg19: the network of the papers; slim: bundled, an approximation of it with a seventh of the arithmetic."""
    weights: PathText | None = None
    """Weights file, `torchvision` for torchvision's VGG19, or `random` for seeded, calibrated random filters; None
    takes VIDNST_WEIGHTS, or else what is installed with vidnst."""
    network: PathText | None = None
    """File of a transform network that paints the frames, made by `vidnst train`; None trains one where the schedule's
    kind is network."""
    pooling: Literal["max", "average"] = "max"
    """Downsampling between the blocks of VGG19."""
    padding: Literal["zeros", "replicate", "reflect"] = "zeros"
    """Padding of convolutions: zeros, as in training, or the border's own pixels."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of feature maps; pixels, statistics and losses are always float32. auto: bfloat16 where the device
    multiplies it faster or memory has to be saved, else float32."""
    unit: bool = False
    """Scale the filters to a mean activation of 1 in every layer over the style pictures (Gatys 2015); this affects raw
    losses only."""


class StylesConfig(Section):
    """Scaled, rotated and mirrored variants of the style pictures."""

    scale: float = Field(1.0, gt=0, le=4)
    """Size of a style picture relative to a frame, by area: larger ones give larger strokes."""
    scales: tuple[Annotated[float, Field(gt=0, le=4)], ...] = (1.0,)
    """Factors on `scale`: textures at several sizes, in equal parts."""
    turns: tuple[Literal[0, 90, 180, 270], ...] = (0,)
    """Counterclockwise rotations in degrees: textures of the rotated style picture, in equal parts."""
    mirror: bool = False
    """Add the textures of the mirrored picture, with equal weight."""

    @field_validator("scales", "turns")
    @classmethod
    def _some_and_each_once(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if not values or len(set(values)) < len(values):
            raise ValueError("needs one value, or several different ones")
        return values

    @field_validator("scales")
    @classmethod
    def _sorted(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted(values))

    @model_validator(mode="after")
    def _not_too_large(self) -> Self:
        if self.scale * max(self.scales) > _LARGEST_STYLE:
            raise ValueError(
                f"scale {self.scale:g} times the largest of scales, {max(self.scales):g}, is more than {_LARGEST_STYLE}"
            )
        return self


class LossConfig(Section):
    """The terms of the loss and their weights."""

    scale: Literal["relative", "gatys", "mean"] = "relative"
    """relative: each term over its target's energy, the same at any size; gatys: the raw sums of Gatys 2015; mean: raw
    means, as in most published code."""
    content_weight: Weight = 1.0
    """Weight of the source's content."""
    style_weight: Weight = 15.0
    """Weight of the style pictures' textures and colours."""
    tv_weight: Weight = 6.0
    """Weight of smoothness (mean squared difference of neighbouring pixels)."""
    temporal_weight: Weight = 60.0
    """Weight of a warm-started frame's initial picture, where it is valid."""
    edges_weight: Weight = 0.0
    """Weight of the source's edges (Li, Xu, Nie & Liu 2017); 0 leaves edges to the content layers."""
    edges_cells: dict[Annotated[int, Field(ge=1, le=256)], Weight] = {4: 1.0}
    """Sides in pixels of the pooling cells before edge detection, with their shares: larger cells, larger contours."""
    content_layers: dict[str, Weight] = {"relu4_2": 1.0}
    """VGG19 layers of the content loss, with their shares."""
    style_layers: dict[str, Weight] = dict.fromkeys(STYLE_LAYERS, 1.0)
    """VGG19 layers of the style loss, with their shares."""
    style_kinds: dict[StyleKind, Weight] = {"gram": 1.0}
    """Texture statistics of the style loss, with their shares."""

    @field_validator("style_kinds", "edges_cells")
    @classmethod
    def _any(cls, shares: dict[Any, float]) -> dict[Any, float]:
        if sum(shares.values()) <= 0:
            raise ValueError("needs at least one entry with a weight above 0")
        return shares

    @field_validator("content_layers", "style_layers")
    @classmethod
    def _known_layers(cls, layers: dict[str, float]) -> dict[str, float]:
        for name in layers:
            if name not in VGG19_LAYERS:
                raise ValueError(f"unknown layer {name!r}; VGG19 has {VGG19_LAYERS[0]} to {VGG19_LAYERS[-1]}")
        if not layers or sum(layers.values()) <= 0:
            raise ValueError("needs at least one layer with a weight above 0")
        return layers


class OptimizeConfig(Section):
    """The optimisation of the pixels."""

    optimizer: Literal["adam", "lbfgs"] = "adam"
    iterations: int = Field(150, ge=0, le=100_000)
    """Loss evaluations of a cold frame, over all scales. 0: frames pass through unchanged."""
    learning_rate: Positive = 0.03
    """First step of Adam, in units of a channel's full range; L-BFGS: its longest step, as a root mean square."""
    final_rate: float = Field(0.2, gt=0, le=1)
    """Share of `learning_rate` that is left at the last iteration (cosine decay)."""
    steady: float = Field(0.75, ge=0, le=0.95)
    """Share of a cold frame's evaluations at each scale that take full steps, before the decay to `final_rate`."""
    history: int = Field(10, ge=1, le=100)
    """Past steps that L-BFGS keeps: 24 bytes each per pixel."""
    tolerance: float = Field(1e-4, ge=0, lt=1)
    """Stop when the loss has fallen by less than this share over `patience` evaluations; 0 never stops early."""
    patience: int = Field(25, ge=2)
    """Evaluations over which `tolerance` is measured."""
    stop_at_loss: Positive | None = None
    """Stop, at each scale, once the weighted sum of losses falls below this; None: never."""
    init: Literal["content", "noise", "blend", "style"] = "content"
    """Initial picture of a cold frame; blend: content mixed with noise; style: the style picture, cropped to fit."""
    match_init: bool = False
    """Give the initial picture the style's colours first, by matching the histogram of each channel."""
    noise: float = Field(0.4, ge=0, le=1)
    """Share of noise in `init: blend`."""
    scales: int = Field(2, ge=1, le=4)
    """Sizes of the pyramid of a cold frame, each twice the previous one; the last is the frame's own."""
    seed: int = Field(0, ge=0, lt=2**32)
