"""What happens during a render, as it is told to whoever wants to know. Plain data; the core never prints."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeAlias


@dataclass(frozen=True, slots=True)
class Stage:
    """Something other than rendering goes on: indexing the source, finding shots, encoding."""

    name: ClassVar[str] = "stage"
    stage: str
    done: int = 0
    total: int | None = None


@dataclass(frozen=True, slots=True)
class RunStarted:
    """Rendering begins, or goes on."""

    name: ClassVar[str] = "run_started"
    folder: str
    output: str
    frames: int
    frames_done: int
    """Finished by earlier runs."""
    shots: int
    workers: tuple[str, ...]
    seconds_per_frame: float | None = None
    """Pace of an earlier session of the run."""


@dataclass(frozen=True, slots=True)
class NodeStarted:
    """A worker was given a node."""

    name: ClassVar[str] = "node_started"
    node: str
    role: str
    worker: str
    attempt: int


@dataclass(frozen=True, slots=True)
class FrameDone:
    """A frame is finished and stored."""

    name: ClassVar[str] = "frame_done"
    frame: int
    worker: str
    losses: dict[str, float]
    evaluations: int
    seconds: float
    frames_done: int


@dataclass(frozen=True, slots=True)
class NodeFailed:
    """An attempt at a node failed; it is tried again as often as is allowed."""

    name: ClassVar[str] = "node_failed"
    node: str
    worker: str
    attempt: int
    error: str

    def __str__(self) -> str:
        return f"attempt {self.attempt} at node {self.node} failed on {self.worker}: {self.error}"


@dataclass(frozen=True, slots=True)
class WorkerDied:
    """A worker's process ended unasked; another takes its place."""

    name: ClassVar[str] = "worker_died"
    worker: str
    node: str

    def __str__(self) -> str:
        return f"{self.worker} died with node {self.node}; another takes its place"


@dataclass(frozen=True, slots=True)
class NodeGivenUp:
    """A node will not be made in this session: it failed for good, or reads one that did. The rest goes on."""

    name: ClassVar[str] = "node_given_up"
    node: str
    error: str
    """What went wrong at first."""
    because: str | None = None
    """The node that failed, where it is another."""

    def __str__(self) -> str:
        return f"node {self.node} is given up, with all that depends on it: {self.error}"


@dataclass(frozen=True, slots=True)
class WorkerSetAside:
    """A worker gets no more jobs, since one after the other failed there."""

    name: ClassVar[str] = "worker_set_aside"
    worker: str
    error: str
    """Of the last one."""

    def __str__(self) -> str:
        return f"{self.worker} is set aside, since one piece of work after the other fails there: {self.error}"


@dataclass(frozen=True, slots=True)
class WorkerTakenBack:
    """A worker that was set aside gets jobs again: what failed there fails elsewhere, too."""

    name: ClassVar[str] = "worker_taken_back"
    worker: str

    def __str__(self) -> str:
        return f"{self.worker} is taken back: what failed there fails on others as well"


@dataclass(frozen=True, slots=True)
class Suspected:
    """A frame looked wrong and was rendered again with another seed."""

    name: ClassVar[str] = "suspected"
    node: str
    why: str
    mended: bool
    """Whether it looks right now; else it is kept as it is, and listed."""

    def __str__(self) -> str:
        now = "rendered again, it looks right" if self.mended else "rendered again, it still does; it is kept"
        return f"node {self.node} looks wrong ({self.why}): {now}"


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that the user should know, though the render goes on."""

    name: ClassVar[str] = "warned"
    message: str

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True)
class Measured:
    """How steady the finished frames are: the main numbers; all of them are in the file. None where not measurable."""

    name: ClassVar[str] = "measured"
    file: str
    frames: int
    error: float | None
    """Warping error of neighbours, Lai 2018: squared, of channels in [0, 1]."""
    source_error: float | None
    """The source's own."""
    error_ratio: float | None
    """Output over source."""
    far_errors: dict[str, float | None]
    """The error between frames further apart, by the gap in frames."""
    static_share: float | None
    """Share of pixels at which the source stands still, 0 to 1."""
    flicker_levels: float | None
    """Mean change of these from frame to frame, levels of 255."""
    source_flicker_levels: float | None
    drift_levels: float | None
    """Slope of output minus source in mean luma, levels of 255 per 100 frames."""
    sharpness_ratio: float | None
    """Variance of the Laplacian, output over source."""
    key_ratio: float | None
    """Error at key frames over error elsewhere."""
    losses: dict[str, float]
    """Mean content and style loss."""

    def __str__(self) -> str:
        parts = []
        if self.error is not None:
            ratio = "" if self.error_ratio is None else f" ({self.error_ratio:.3g} times the source's)"
            parts.append(f"warping error {self.error:.3g}{ratio}")
        if self.flicker_levels is not None:
            own = "" if self.source_flicker_levels is None else f" (source {self.source_flicker_levels:.2g})"
            parts.append(f"still pixels flicker by {self.flicker_levels:.2g} levels{own}")
        if self.key_ratio is not None:
            parts.append(f"key frames {self.key_ratio:.3g} times the error elsewhere")
        parts += [f"{name} {value:.3g}" for name, value in self.losses.items()]
        return f"measured: {', '.join([*parts, f'all in {self.file}'])}"


@dataclass(frozen=True, slots=True)
class LessonDone:
    """A network that is being taught has done another step."""

    name: ClassVar[str] = "lesson_done"
    step: int
    steps: int
    loss: float
    errors: dict[str, float]
    """Relative error of each layer: 1 for a guess of its mean."""
    seconds: float
    """Since this process began to teach."""
    steps_before: int
    """Done by earlier processes."""

    def __str__(self) -> str:
        pace = self.seconds / max(1, self.step - self.steps_before)
        errors = " ".join(f"{layer.removeprefix('relu')} {error:.3f}" for layer, error in self.errors.items())
        return f"step {self.step} of {self.steps}, {pace:.3g} s each, loss {self.loss:.4g}, errors {errors}"


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The output is in place and checked."""

    name: ClassVar[str] = "run_finished"
    output: str
    frames: int
    seconds: float


@dataclass(frozen=True, slots=True)
class JobChanged:
    """A job of a batch has come further."""

    name: ClassVar[str] = "job_changed"
    job: str
    state: str
    """queued, preparing, rendering, encoding, done, failed, cancelled or paused."""
    message: str
    frames: int
    """0 while it is not known."""
    frames_done: int

    def __str__(self) -> str:
        return f"{self.job}: {self.state}" + (f": {self.message}" if self.message else "")


Event: TypeAlias = (
    Stage
    | RunStarted
    | NodeStarted
    | FrameDone
    | NodeFailed
    | WorkerDied
    | NodeGivenUp
    | WorkerSetAside
    | WorkerTakenBack
    | Suspected
    | Warned
    | Measured
    | LessonDone
    | RunFinished
    | JobChanged
)

OnEvent: TypeAlias = Callable[[Event], None]
Cancelled: TypeAlias = Callable[[], bool]
"""Asked again and again whether to stop."""


def ignore(event: Event) -> None:
    """Listen to nothing."""
