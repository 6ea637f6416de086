"""The configuration: what can be decided about a render, with its defaults, limits and units.

Sections `input` to `filters` decide the picture and go into the look's fingerprint; `farm` and `output` decide where it
is computed and how it is packed, and may change between a run and its resumption.
"""

from fractions import Fraction
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    field_validator,
    model_validator,
)

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
VGG19_LAYERS = tuple(
    f"relu{block}_{conv}" for block, convs in enumerate((2, 2, 4, 4, 4), start=1) for conv in range(1, convs + 1)
)

LOOK_SECTIONS = (
    *("input", "regions", "model", "styles", "losses", "optimize", "schedule", "motion"),
    *("colour", "photo", "filters"),
)
"""Sections that decide the bytes of a frame."""

_LATER_SECTIONS = ("styles", "colour", "photo", "filters")
_SINCE = {
    "model": ("padding", "unit"),
    "losses": ("style_kinds", "edges_weight", "edges_cells"),
    "optimize": ("match_init", "stop_at_loss"),
}
"""Sections and settings that runs of earlier versions do not know; a look names them where they ask for something."""

Rate = Annotated[Fraction, PlainSerializer(str, return_type=str)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]

_LARGEST_STYLE = 4

StyleKind = Literal["gram", "moments", "mmd_linear", "mmd_polynomial", "mmd_gaussian", "wasserstein", "sliced"]


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, values are fixed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class InputConfig(Section):
    """What is read from the source."""

    size: int | None = Field(None, ge=16, le=16384)
    """Longest side in pixels of the frames that are rendered; none keeps the source's. Never enlarges."""
    start: str | None = None
    """First frame: a frame number (`20`), seconds (`1.5s`) or a timecode (`00:00:01.5`)."""
    end: str | None = None
    """End of the range, written like `start`; that frame itself is not rendered."""
    fps: Rate = Field(Fraction(25), gt=0, le=1000)
    """Frames per second of pictures (a video brings its own)."""
    on_bad_frame: Literal["error", "repeat"] = "error"
    """A frame that does not decode: stop, or repeat the one before and record it."""
    shots: Literal["auto", "none", "content", "adaptive"] | tuple[int, ...] = "auto"
    """How cuts are found; a list gives the first frame of each new shot. auto: adaptive in video, none in pictures."""
    deflicker: int | None = Field(None, ge=3, le=10_000)
    """Frames over which brightness is evened out, inside each shot; none leaves it as it is."""
    registration: Literal["none", "ecc", "homography"] = "none"
    """How frames from the hand are brought onto the middle one of their shot: by brightness (ecc) or by features."""
    registration_edges: Literal["crop", "fill"] = "crop"
    """What becomes of the edges that registered frames do not share; crop makes the picture smaller."""

    @field_validator("start", "end", mode="before")
    @classmethod
    def _plain_number(cls, value: object) -> object:
        """YAML reads `start: 20` as a number; it is the frame of that number."""
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @property
    def adjusts(self) -> bool:
        """Whether frames are changed before they are rendered."""
        return self.deflicker is not None or self.registration != "none"

    @property
    def crops(self) -> bool:
        """Whether what registered frames have in common decides the size."""
        return self.registration != "none" and self.registration_edges == "crop"


RegionName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$", max_length=64)]


class RegionsConfig(Section):
    """Parts of the frame with styles of their own, or none."""

    masks: dict[RegionName, str] = {}
    """For each region its mask, white inside: a picture, or a sequence or video with a picture for each frame."""
    feather: float = Field(0.02, ge=0, le=0.5)
    """Width of the transition at a region's edge, as a share of the frame's longest side."""
    follow: bool = True
    """Whether a mask of one picture, which shows the first frame, follows what moves; else it stays where it is."""

    @field_validator("masks")
    @classmethod
    def _not_the_rest(cls, masks: dict[str, str]) -> dict[str, str]:
        if "rest" in masks:
            raise ValueError("rest is what no mask covers, and has no mask of its own")
        return masks


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


class WarmConfig(Section):
    """How a kind of warm-started frame is rendered."""

    share: float = Field(0.5, ge=0, le=1)
    """Its evaluations, as a share of `optimize.iterations` (at least one)."""
    hold: Weight = 1.0
    """Factor on `losses.temporal_weight`."""
    rate: float = Field(0.4, gt=0, le=1)
    """Share of `optimize.learning_rate` for what it starts from: full steps would throw it away. What has just come
    into view gets full steps."""


class KeyConfig(WarmConfig):
    """How a key after the first is rendered."""

    share: float = Field(0.6, ge=0, le=1)


class BetweenConfig(WarmConfig):
    """How a frame between two keys is rendered."""

    share: float = Field(0.035, ge=0, le=1)
    hold: Weight = 0.3
    rate: float = Field(0.5, gt=0, le=1)


class RelaxConfig(WarmConfig):
    """How a frame is rendered in the first pass."""

    share: float = Field(0.195, ge=0, le=1)
    hold: Weight = 1.5
    rate: float = Field(0.35, gt=0, le=1)


class SettleConfig(WarmConfig):
    """How a frame is rendered in the passes after the first."""

    share: float = Field(0.03, ge=0, le=1)
    hold: Weight = 33.0
    """Of the last pass."""
    rate: float = Field(0.03, gt=0, le=1)
    """Of the last pass."""


class ScheduleConfig(Section):
    """In which order frames are rendered, and from what they start."""

    kind: Literal["keys", "chain", "independent"] = "keys"
    """keys: every few frames a key, the rest from the keys around them, then passes over all, each frame together with
    its neighbours; chain: each frame from the one before, warped; independent: each from its own content."""
    spacing: int = Field(8, ge=1, le=256)
    """keys: the most frames from one key to the next."""
    passes: int = Field(7, ge=0, le=32)
    """keys: how often all frames are gone over."""
    loop: bool = False
    """keys: the first frame follows the last."""
    key: KeyConfig = KeyConfig()
    """keys: a key after the first."""
    between: BetweenConfig = BetweenConfig()
    """keys: a frame between two keys."""
    relax: RelaxConfig = RelaxConfig()
    """keys: a frame in the first pass."""
    settle: SettleConfig = SettleConfig()
    """keys: a frame in the later passes. From the first pass to the last `hold` and `rate` go in equal ratios."""
    warm: WarmConfig = WarmConfig()
    """chain: a frame after the first."""

    def work(self, role: str, pass_index: int = 0) -> WarmConfig:
        """How a node of a role is rendered; a cold one at full steps, with all evaluations."""
        if role == "relax" and pass_index > 1:
            way = (pass_index - 1) / (self.passes - 1)
            hold, rate = (
                getattr(self.relax, name) ** (1 - way) * getattr(self.settle, name) ** way for name in ("hold", "rate")
            )
            return WarmConfig(share=self.settle.share, hold=hold, rate=rate)
        kinds: dict[str, WarmConfig] = {
            "key": self.key,
            "between": self.between,
            "relax": self.relax,
            "warm": self.warm,
        }
        return kinds.get(role, WarmConfig(share=1, rate=1))

    @model_validator(mode="after")
    def _loop_needs_keys(self) -> Self:
        if self.loop and self.kind != "keys":
            raise ValueError(f"loop needs kind keys; {self.kind} cannot make the last frame lead to the first")
        return self


class MotionConfig(Section):
    """Optical flow and where it is trusted."""

    method: Literal["dis", "raft"] = "dis"
    """dis: OpenCV's, on CPUs; raft: a network (Teed and Deng 2020), meant for GPUs."""
    raft_weights: str | None = None
    """A file of torchvision's raft_large or raft_small; none looks in the usual places."""
    preset: Literal["ultrafast", "fast", "medium"] = "medium"
    """Effort of the DIS flow."""
    size: int = Field(640, ge=64)
    """Longest side at which flow is computed; larger frames use an enlarged flow."""
    consistency: Positive = 0.01
    """Forward-backward check: squared mismatch allowed, as a share of the squared flow (Sundaram 2010)."""
    slack_px: Positive = 0.5
    """Forward-backward check: squared mismatch allowed at rest, in pixels squared at the flow's own size."""
    follow_light: bool = False
    """Whether strokes stay where they are while the light on them changes, instead of being held at their old
    brightness."""
    static_lock: float = Field(0.0, ge=0, le=64)
    """Largest difference of two source frames, in levels of 255, up to which a place stands still: the picture then
    stands still there, too. 0 locks nothing."""

    @property
    def reads_sources(self) -> bool:
        """Whether a warm start looks at the source frames of what it starts from."""
        return self.follow_light or self.static_lock > 0


class ColourConfig(Section):
    """Whose colours the result has."""

    keep: Literal["none", "luminance", "matched"] = "none"
    """luminance: the rendered frame's luma with the source's chroma; matched: also the style pictures are grey, with
    the source's mean and spread of luma (Gatys 2017)."""
    transfer: Literal["none", "histogram", "moments", "optimal"] = "none"
    """The style pictures get the source's colours first: each channel's histogram; mean and covariance of the three
    together (linear, Pitie 2007); or the whole distribution (iterative, Pitie 2005)."""

    @model_validator(mode="after")
    def _grey_has_no_colours(self) -> Self:
        if self.keep == "matched" and self.transfer != "none":
            raise ValueError(f"transfer {self.transfer} has no use with keep matched, which makes style pictures grey")
        return self


class PhotoConfig(Section):
    """The look of another photograph on the source's own edges: locally affine maps of colour."""

    enabled: bool = False
    cells: int = Field(16, ge=1, le=128)
    """Cells along the picture's longer side, each with maps of its own."""
    luma_bins: int = Field(8, ge=1, le=32)
    """Cells from dark to bright."""
    smoothness: float = Field(1.0, ge=0, le=8)
    """How far cells share what they see: standard deviation in cells."""
    steadiness: float = Field(0.8, ge=0, lt=1)
    """Share of a frame's maps that comes from the frame before, where the flow says what was there."""


class PaletteConfig(Section):
    """Few colours, the same throughout a shot."""

    kind: Literal["palette"] = "palette"
    colours: int = Field(12, ge=2, le=256)


class SuperpixelsConfig(Section):
    """Cells of average colour, which move with what they show."""

    kind: Literal["superpixels"] = "superpixels"
    cells: int = Field(400, ge=4, le=20_000)
    """How many fill the picture, more or less."""
    compactness: float = Field(10.0, gt=0, le=1000, allow_inf_nan=False)
    """Regular shapes against faithful edges: distance of colour, in CIELAB, that a cell's width is worth."""


_FIRST_NUMBER = {"palette": "colours", "superpixels": "cells"}


def _filter_of(value: Any) -> Any:
    """A text like `palette:12` as the mapping that it is short for."""
    if not isinstance(value, str):
        return value
    kind, colon, number = value.partition(":")
    if kind not in _FIRST_NUMBER:
        raise ValueError(f"no filter {kind!r}; there are {' and '.join(_FIRST_NUMBER)}")
    if colon and not number.isdecimal():
        raise ValueError(f"{value!r} is not {kind}:{_FIRST_NUMBER[kind].upper()}, a whole number")
    return {"kind": kind} | ({_FIRST_NUMBER[kind]: int(number)} if colon else {})


FilterConfig = Annotated[
    Annotated[PaletteConfig | SuperpixelsConfig, Field(discriminator="kind")], BeforeValidator(_filter_of)
]
"""One classical look; also written as a text, like `palette:12` or `superpixels:400`."""


class FiltersConfig(Section):
    """Classical looks, without a network; each list is applied in its order."""

    before: tuple[FilterConfig, ...] = ()
    """On the source frames, before they are rendered."""
    after: tuple[FilterConfig, ...] = ()
    """On the finished frames."""


class FarmConfig(Section):
    """Who computes."""

    executor: Literal["ray", "inline"] = "ray"
    """ray: actors, here or on a cluster; inline: threads of this process, for debugging and for hosts without Ray."""
    workers: int | None = Field(None, ge=1, le=4096)
    """Stylizing actors; none takes one for each GPU, or what suits the plan and the cores."""
    threads: int | None = Field(None, ge=1, le=1024)
    """Threads of each actor on a CPU; none shares the cores out."""
    gpus_per_worker: float = Field(1.0, gt=0, le=1)
    """Share of a GPU that an actor holds."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    address: str | None = None
    """Ray cluster to join; none takes RAY_ADDRESS or starts Ray here."""
    attempts: int = Field(3, ge=1, le=100)
    """Failures of one node that fail the run."""
    window: int | None = Field(None, ge=1)
    """Frames in flight ahead of the oldest unfinished one; none derives it from the workers."""


class OutputConfig(Section):
    """How the result is packed."""

    codec: Literal["auto", "h264", "h265", "av1", "vp9", "prores", "ffv1", "gif", "webp", "apng", "png"] = "auto"
    """auto: by the output's suffix (.mp4 h264, .webm vp9, .mov prores, .mkv ffv1, .gif, .webp, .apng, folder png)."""
    quality: int | None = Field(None, ge=0, le=63)
    """Constant rate factor (lower is better); none takes the codec's customary value."""
    speed: str | None = Field(None, pattern=r"^[a-z0-9]+$")
    """The encoder's preset, as ffmpeg names it."""
    hardware: Literal["none", "nvenc", "vaapi", "qsv", "amf", "videotoolbox"] = "none"
    """Hardware encoder to use, where ffmpeg and the machine have it."""
    chroma: Literal["420", "422", "444"] | None = None
    """Chroma sampling; none takes 4:2:0 (4:4:4 where a side is odd, 4:2:2 for ProRes, RGB for FFV1)."""
    bits: Literal[8, 16] = 8
    """Bits per channel of PNG frames."""
    audio: Literal["keep", "none"] = "keep"
    keep_frames: bool = False
    """Keep the run's state and frames after a verified encode."""
    measure: bool = True
    """Measure how steady the result is after the encode, into the run folder's `measure.json`."""


class RenderConfig(Section):
    """Everything that can be decided about a render besides source, styles and output path."""

    input: InputConfig = InputConfig()
    regions: RegionsConfig = RegionsConfig()
    model: ModelConfig = ModelConfig()
    styles: StylesConfig = StylesConfig()
    losses: LossConfig = LossConfig()
    optimize: OptimizeConfig = OptimizeConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    motion: MotionConfig = MotionConfig()
    colour: ColourConfig = ColourConfig()
    photo: PhotoConfig = PhotoConfig()
    filters: FiltersConfig = FiltersConfig()
    farm: FarmConfig = FarmConfig()
    output: OutputConfig = OutputConfig()

    def evaluations(self, role: str, pass_index: int = 0) -> int:
        """Evaluations of the loss that a node of a role gets at most."""
        iterations = self.optimize.iterations
        return max(1, round(iterations * self.schedule.work(role, pass_index).share)) if iterations else 0

    @property
    def finishes(self) -> bool:
        """Whether rendered frames are worked on before they are packed."""
        return self.colour.keep != "none" or self.photo.enabled or bool(self.filters.after)

    @property
    def reworks(self) -> bool:
        """Whether anything but the network and the input's adjustments changes a picture."""
        return self.finishes or bool(self.filters.before)

    @property
    def frame_bits(self) -> Literal[8, 16]:
        """Bits per channel of a rendered frame in the run folder: what is worked on further is not rounded twice."""
        return 16 if self.finishes else self.output.bits

    def look(self) -> dict[str, Any]:
        """The sections that decide the bytes of a frame, as plain JSON values.

        The backbone and the paths of weights and masks are left out: the run's record has a place of its own for them,
        with fingerprints of what the files hold. The usual method of flow is left out, too, and so is what is newer
        than some runs while at its default, so that a run from before there was a choice can go on. Of the output only
        the bits of a stored frame count.
        """
        values = self.model_dump(mode="json", include=set(LOOK_SECTIONS))
        for key in ("backbone", "weights"):
            values["model"].pop(key)
        values["motion"].pop("raft_weights")
        if self.motion.method == "dis":
            values["motion"].pop("method")
        usual = type(self)().model_dump(mode="json")
        for section, keys in _SINCE.items():
            for key in keys:
                if values[section][key] == usual[section][key]:
                    values[section].pop(key)
        if not values["regions"].pop("masks"):
            values.pop("regions")
        for section in _LATER_SECTIONS:
            if values[section] == usual[section]:
                values.pop(section)
        values["output"] = {"bits": self.output.bits}
        return values
