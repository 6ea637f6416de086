"""How one picture is painted: the network, the styles, the losses, the optimisation."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from vidnst.config.base import Positive, Section, Weight

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
VGG19_LAYERS = tuple(
    f"relu{block}_{conv}" for block, convs in enumerate((2, 2, 4, 4, 4), start=1) for conv in range(1, convs + 1)
)

_LARGEST_STYLE = 4

StyleKind = Literal["gram", "moments", "mmd_linear", "mmd_polynomial", "mmd_gaussian", "wasserstein", "sliced"]


class ModelConfig(Section):
    """The network that looks at the pictures."""

    backbone: Literal["vgg19", "slim"] = "vgg19"
    """vgg19: the network of the papers; slim: a quarter of its widths, taught by it, which comes with the package."""
    weights: str | None = None
    """A file of the backbone, or `random` for seeded, calibrated random filters; none looks in the usual places."""
    pooling: Literal["max", "average"] = "max"
    """How VGG19 halves its maps."""
    padding: Literal["zeros", "replicate", "reflect"] = "zeros"
    """What VGG19 sees beyond the border: nothing, as it was trained, or the border's own pixels."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the network's maps; pixels, statistics and losses are float32 in any case. auto: bfloat16 where the device
    multiplies it faster, or memory has to be saved, else float32."""
    unit: bool = False
    """Whether filters are scaled so that every layer is 1 in the mean over the style pictures (Gatys 2015); changes
    raw losses alone."""


class StylesConfig(Section):
    """How style pictures are looked at before their textures are taken."""

    scale: float = Field(1.0, gt=0, le=4)
    """Size of a style picture over the one of a frame, by area: larger ones give larger strokes."""
    scales: tuple[Annotated[float, Field(gt=0, le=4)], ...] = (1.0,)
    """Factors on `scale`: the textures at several sizes, in equal parts."""
    turns: tuple[Literal[0, 90, 180, 270], ...] = (0,)
    """Degrees, counterclockwise: the textures of a style picture turned in these ways, in equal parts."""
    mirror: bool = False
    """Whether the textures of the mirrored picture count as much as its own."""

    @field_validator("scales", "turns")
    @classmethod
    def _some_and_each_once(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if not values or len(set(values)) < len(values):
            raise ValueError("needs one value or several different ones")
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
    """What the picture is pulled toward, and how hard."""

    scale: Literal["relative", "gatys", "mean"] = "relative"
    """relative: each term over its target's energy, the same at any size; gatys: the raw sums of Gatys 2015; mean: raw
    means, as most published code has them."""
    content_weight: Weight = 1.0
    """Pull toward the source's content."""
    style_weight: Weight = 15.0
    """Pull toward the style pictures' texture and colours."""
    tv_weight: Weight = 2.0
    """Pull toward smoothness (mean squared difference of neighbouring pixels)."""
    temporal_weight: Weight = 60.0
    """Pull of a warm-started frame toward what it starts from, where that is valid."""
    edges_weight: Weight = 0.0
    """Pull toward the source's edges (Li, Xu, Nie & Liu 2017); 0 leaves edges to the content layers."""
    edges_cells: dict[Annotated[int, Field(ge=1, le=256)], Weight] = {4: 1.0}
    """Sides in pixels of the cells whose means show the edges, each with its share: larger ones, larger contours."""
    content_layers: dict[str, Weight] = {"relu4_2": 1.0}
    """VGG19 layers that say what content is, each with its share."""
    style_layers: dict[str, Weight] = dict.fromkeys(STYLE_LAYERS, 1.0)
    """VGG19 layers whose textures say what style is, each with its share."""
    style_kinds: dict[StyleKind, Weight] = {"gram": 1.0}
    """How textures are described and compared, each way with its share."""

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
    """How the pixels are moved."""

    optimizer: Literal["adam", "lbfgs"] = "adam"
    iterations: int = Field(150, ge=0, le=100_000)
    """Loss evaluations for a frame that starts cold, over all its scales. 0: frames pass through unchanged."""
    learning_rate: Positive = 0.03
    """First step of Adam, in units of the full range of a channel; L-BFGS: its longest, as a root mean square."""
    final_rate: float = Field(0.2, gt=0, le=1)
    """Share of `learning_rate` that is left at the last iteration (cosine decay)."""
    steady: float = Field(0.75, ge=0, le=0.95)
    """Share of the evaluations of a cold start, at each scale, with full steps; only then they fall to `final_rate`."""
    history: int = Field(10, ge=1, le=100)
    """Past steps that L-BFGS remembers: 24 bytes each per pixel."""
    tolerance: float = Field(1e-4, ge=0, lt=1)
    """Stop when the loss has fallen by less than this share over `patience` evaluations; 0 never stops early."""
    patience: int = Field(25, ge=2)
    """Evaluations over which `tolerance` is judged."""
    stop_at_loss: Positive | None = None
    """Stop, at each scale, once the weighted sum of losses is below this; none goes on."""
    init: Literal["content", "noise", "blend", "style"] = "content"
    """What a cold frame starts from; blend: noise mixed into the content; style: the style picture, cut to shape."""
    match_init: bool = False
    """Whether that start first gets the style's colours, by matching the histogram of each channel."""
    noise: float = Field(0.4, ge=0, le=1)
    """Share of noise in `init: blend`."""
    scales: int = Field(2, ge=1, le=4)
    """Sizes that a cold frame goes through, each twice the one before, the last being its own."""
    seed: int = Field(0, ge=0, lt=2**32)
