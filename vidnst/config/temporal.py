"""Sections that relate frames to each other: the schedule, and optical flow."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from vidnst.config.base import PathText, Positive, Section, Weight

_NETWORK_PASSES = 4
_NETWORK_SHARES = {"relax": 0.04, "settle": 0.0134}
"""Shares of the first pass and of the later ones over frames that a network painted: 6 and 2 evaluations of 150."""


class Role(StrEnum):
    """The kind of work that a node of the plan does."""

    GIVEN = "given"
    """Takes a key frame that a person has painted."""
    COLD = "cold"
    """Stylizes a frame from its content."""
    WARM = "warm"
    """Stylizes a frame from the warped state of the previous frame."""
    KEY = "key"
    """Stylizes a key frame from the warped state of the previous key frame."""
    BETWEEN = "between"
    """Stylizes a frame from the warped and blended states of the key frames around it."""
    RELAX = "relax"
    """Continues a frame from its own state and its neighbours' states, all of the previous pass."""
    TRAIN = "train"
    """Trains the clip's transform network for some steps."""
    PAINT = "paint"
    """Paints a frame with the clip's trained transform network."""
    SOUND = "sound"
    """Restyles a chunk of the soundtrack."""
    FLOW = "flow"
    """Computes the optical flow between two source frames in both directions."""


class WarmConfig(Section):
    """Work for one kind of warm-started frame."""

    share: float = Field(0.5, ge=0, le=1)
    """Loss evaluations, as a share of `optimize.iterations` (at least one)."""
    hold: Weight = 1.0
    """Factor on `losses.temporal_weight`."""
    rate: float = Field(0.4, gt=0, le=1)
    """Step size as a share of `optimize.learning_rate` where the frame has something to start from, which full steps
    would destroy. Disoccluded areas get full steps."""


class BetweenConfig(WarmConfig):
    """Work for a frame between two keys."""

    share: float = Field(0.02, ge=0, le=1)
    hold: Weight = 0.3
    rate: float = Field(0.5, gt=0, le=1)


class RelaxConfig(WarmConfig):
    """Work for a frame in the first pass."""

    share: float = Field(0.08, ge=0, le=1)
    hold: Weight = 1.5
    rate: float = Field(0.35, gt=0, le=1)


class SettleConfig(WarmConfig):
    """Work for a frame in the last pass."""

    share: float = Field(0.03, ge=0, le=1)
    hold: Weight = 33.0
    rate: float = Field(0.1, gt=0, le=1)


class TrainingConfig(Section):
    """The training of a clip's transform network."""

    start: Literal["noise", "pretrained"] = "noise"
    """What a training starts from: noise, or the network that ships and paints any style, for short trainings."""
    steps: int = Field(320, ge=0, le=100_000)
    """Steps of the training, each on one frame. 0 trains nothing: the pretrained network only measures the clip."""
    stage_steps: int = Field(16, ge=1, le=1000)
    """Steps from one checkpoint to the next, on the same few frames."""
    pairs: int = Field(2, ge=1, le=16)
    """Pairs of frames that a stage learns from."""
    apart: int = Field(5, ge=1, le=64)
    """Distance of every second pair, in frames; the others are neighbours."""
    crop: int = Field(448, ge=64)
    """Longest side in pixels of the crops that are learned from; smaller frames are used whole."""
    rate: Positive = 3e-3
    """Largest step of Adam."""
    alone: float = Field(0.3, ge=0, le=1)
    """Share of the steps before the temporal loss holds the two frames of a pair to each other."""
    hold: Weight = 3.0
    """Factor on losses.temporal_weight. Larger ones make frames without passes more stable, with fainter strokes."""
    own_statistics: float = Field(0.6, ge=0, le=1)
    """Share of the steps in which maps are normalised by each frame's own statistics; after that, and when frames are
    painted, by those of the whole training."""

    @model_validator(mode="after")
    def _noise_needs_steps(self) -> Self:
        if self.start == "noise" and not self.steps:
            raise ValueError("a network of noise cannot paint without training: give steps, or start pretrained")
        return self

    @property
    def stages(self) -> int:
        """Number of stages: one that measures the clip, and those with steps."""
        return 1 - (-self.steps // self.stage_steps)

    def steps_before(self, stage: int) -> int:
        """Return the number of steps done when a stage, from 1, begins."""
        return max(0, stage - 2) * self.stage_steps

    def steps_of(self, stage: int) -> int:
        """Return the steps of a stage, from 1; the first has none."""
        return 0 if stage == 1 else min(self.stage_steps, self.steps - self.steps_before(stage))


class ScheduleConfig(Section):
    """The order in which frames are rendered, and what each of them starts from."""

    kind: Literal["keys", "chain", "independent", "network"] = "keys"
    """keys: a key frame every few frames, the others from the keys around them, then passes over all frames, each
    together with its neighbours. chain: each frame from the previous one, warped. independent: each frame from its own
    content. network: a network that is trained on the clip paints every frame in one pass, then passes as in keys."""
    spacing: int = Field(8, ge=1, le=256)
    """keys: maximum distance in frames between two keys."""
    passes: int = Field(7, ge=0, le=32)
    """keys, network: number of passes over all frames. A network's frames need fewer and shorter ones: unless they are
    given, 4 passes, relax.share 0.04 and settle.share 0.0134."""
    loop: bool = False
    """keys, network: the first frame follows the last."""
    key: WarmConfig = WarmConfig()
    """keys: a key after the first."""
    between: BetweenConfig = BetweenConfig()
    """keys: a frame between two keys."""
    relax: RelaxConfig = RelaxConfig()
    """keys: a frame in the first pass."""
    settle: SettleConfig = SettleConfig()
    """keys: a frame in the last pass. From the first pass to the last, `hold` and `rate` change in equal ratios."""
    warm: WarmConfig = WarmConfig()
    """chain: a frame after the first."""
    training: TrainingConfig = TrainingConfig()
    """network: the training of the clip's network."""

    @property
    def is_instant(self) -> bool:
        """True if the pretrained network paints the frames, without training."""
        return self.kind == "network" and not self.training.steps

    def work(self, role: Role, pass_index: int = 0) -> WarmConfig:
        """Return the work for a node of a role; a cold node gets full steps and all evaluations."""
        if role is Role.RELAX and pass_index > 1:
            progress = (pass_index - 1) / (self.passes - 1)
            hold = self.relax.hold ** (1 - progress) * self.settle.hold**progress
            rate = self.relax.rate ** (1 - progress) * self.settle.rate**progress
            return WarmConfig(share=self.settle.share, hold=hold, rate=rate)
        by_role = {
            Role.KEY: self.key,
            Role.GIVEN: self.key,
            Role.BETWEEN: self.between,
            Role.RELAX: self.relax,
            Role.WARM: self.warm,
        }
        return by_role.get(role, WarmConfig(share=1, rate=1))

    @model_validator(mode="before")
    @classmethod
    def _network_needs_short_passes(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or values.get("kind") != "network":
            return values
        filled = {"passes": _NETWORK_PASSES, **values}
        for name, share in _NETWORK_SHARES.items():
            given = filled.get(name, {})
            filled[name] = {"share": share, **given} if isinstance(given, Mapping) else given
        return filled

    @model_validator(mode="after")
    def _loop_needs_keys(self) -> Self:
        if self.loop and self.kind not in ("keys", "network"):
            raise ValueError(f"loop needs keys or network; {self.kind} cannot connect the last frame to the first")
        return self


class MotionConfig(Section):
    """Optical flow, and where it is valid."""

    method: Literal["dis", "raft"] = "dis"
    """dis: OpenCV's, on CPUs; raft: a network (Teed and Deng 2020), meant for GPUs."""
    raft_weights: PathText | None = None
    """Weights file of torchvision's raft_large or raft_small; None searches the usual places."""
    preset: Literal["ultrafast", "fast", "medium", "fine"] = "medium"
    """Quality preset of the DIS flow. All but fine stop at half the size; fine goes on to the full size, and to twice
    the size of small frames."""
    size: int = Field(640, ge=64)
    """Longest side in pixels at which flow is computed; larger frames use an enlarged flow."""
    consistency: Positive = 0.01
    """Forward-backward check: tolerated squared mismatch, as a share of the squared flow (Sundaram 2010)."""
    slack_px: Positive = 0.5
    """Forward-backward check: tolerated squared mismatch at rest, in square pixels at the flow's own size."""
    follow_light: bool = False
    """Let strokes follow changes of light in place, instead of holding them at their old brightness."""
    light_share: float | None = Field(None, ge=0, le=1)
    """Share of the slow, large-scale change of the source's luma and colour that the result shows: frames are painted
    in the mean light of their shot, then lit. 0 leaves the light even; None paints each frame in its own light."""

    renew_at: float | None = Field(None, ge=1, le=100)
    """Staleness from which a place is painted again: how many times farther its strokes are from showing the frame
    than a fresh painting's, by content features. None never renews what stands still."""
    static_lock: float = Field(0.0, ge=0, le=64)
    """Largest difference between two source frames, in levels of 255, at which a pixel counts as static; static pixels
    stay static in the result, too. 0 locks nothing."""

    @property
    def reads_sources(self) -> bool:
        """True if a warm start reads the source frames of the states that it starts from."""
        return self.follow_light or self.static_lock > 0
