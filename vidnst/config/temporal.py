"""How frames follow one another: the schedule, and motion."""

from typing import Literal, Self

from pydantic import Field, model_validator

from vidnst.config.base import Positive, Section, Weight


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

    share: float = Field(0.5, ge=0, le=1)


class BetweenConfig(WarmConfig):
    """How a frame between two keys is rendered."""

    share: float = Field(0.02, ge=0, le=1)
    hold: Weight = 0.3
    rate: float = Field(0.5, gt=0, le=1)


class RelaxConfig(WarmConfig):
    """How a frame is rendered in the first pass."""

    share: float = Field(0.08, ge=0, le=1)
    hold: Weight = 1.5
    rate: float = Field(0.35, gt=0, le=1)


class SettleConfig(WarmConfig):
    """How a frame is rendered in the passes after the first."""

    share: float = Field(0.03, ge=0, le=1)
    hold: Weight = 33.0
    """Of the last pass."""
    rate: float = Field(0.1, gt=0, le=1)
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
