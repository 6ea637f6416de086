"""Events that the library reports while it works. Plain data: the library never prints."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from vidnst.errors import CancelledError
from vidnst.formatting import counted, time_left_in_words
from vidnst.steadiness import finished_in_words, measured_in_words


@dataclass(frozen=True, slots=True)
class Stage:
    """Progress of work other than rendering: starting, probing the source, finding shots, encoding."""

    name: ClassVar[str] = "stage"
    stage: str
    done: int = 0
    total: int | None = None


@dataclass(frozen=True, slots=True)
class RunStarted:
    """Rendering starts, or resumes."""

    name: ClassVar[str] = "run_started"
    folder: str
    output: str
    frames: int
    frames_done: int
    """Frames that earlier sessions finished."""
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
    work: str = ""
    """The work in words: painting frame 12, pass 3."""


@dataclass(frozen=True, slots=True)
class Paced:
    """The rendering has come so far, counted in time of work rather than in finished frames. At most one a second."""

    name: ClassVar[str] = "paced"
    share: float
    """Share of the work that is done, that of earlier sessions included, 0 to 1."""
    seconds_left: float | None
    """Time until all frames are rendered, without encoding; None if it is not known yet."""
    is_forecast: bool = False
    """True before the first piece of work is done: the time was estimated from a few small evaluations."""


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
    """An attempt at a node failed; it is retried as often as the settings allow."""

    name: ClassVar[str] = "node_failed"
    node: str
    worker: str
    attempt: int
    error: str

    def __str__(self) -> str:
        return f"attempt {self.attempt} at node {self.node} failed on {self.worker}: {self.error}"


@dataclass(frozen=True, slots=True)
class WorkerDied:
    """A worker's process died; another takes its place."""

    name: ClassVar[str] = "worker_died"
    worker: str
    node: str

    def __str__(self) -> str:
        return f"{self.worker} died with node {self.node}; another takes its place"


@dataclass(frozen=True, slots=True)
class NodeGivenUp:
    """A node is given up in this session: it failed for good, or reads one that did. The rest continues."""

    name: ClassVar[str] = "node_given_up"
    node: str
    error: str
    """The error of the node that failed."""
    because: str | None = None
    """The node that failed, if it is another."""

    def __str__(self) -> str:
        return f"node {self.node} is given up, with all that depends on it: {self.error}"


@dataclass(frozen=True, slots=True)
class WorkerQuarantined:
    """A worker gets no more jobs, since several nodes in a row failed there."""

    name: ClassVar[str] = "worker_quarantined"
    worker: str
    error: str
    """The error of the last of these nodes."""

    def __str__(self) -> str:
        return f"{self.worker} is quarantined, since node after node fails there: {self.error}"


@dataclass(frozen=True, slots=True)
class WorkerReinstated:
    """A quarantined worker gets jobs again, since the same nodes fail on other workers too."""

    name: ClassVar[str] = "worker_reinstated"
    worker: str

    def __str__(self) -> str:
        return f"{self.worker} is reinstated: the same nodes fail on other workers too"


@dataclass(frozen=True, slots=True)
class Suspected:
    """A frame looked wrong and was rendered again with another seed."""

    name: ClassVar[str] = "suspected"
    node: str
    why: str
    repaired: bool
    """True if it looks right now; else it is kept as it is, and listed."""

    def __str__(self) -> str:
        now = "rendered again, it looks right" if self.repaired else "rendered again, it still does; it is kept"
        return f"node {self.node} looks wrong ({self.why}): {now}"


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that the user should know; the render continues."""

    name: ClassVar[str] = "warned"
    message: str

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True)
class Measured:
    """The main numbers of a finished measurement; the file has all of them. None if one cannot be measured."""

    name: ClassVar[str] = "measured"
    file: str
    frames: int
    error: float | None
    """Warping error between neighbours (Lai 2018): squared, of channels in [0, 1]."""
    source_error: float | None
    """Warping error of the source itself."""
    error_ratio: float | None
    """Output over source."""
    far_errors: dict[str, float | None]
    """Warping error between frames further apart, by the gap in frames."""
    static_share: float | None
    """Share of pixels at which the source stands still, 0 to 1."""
    flicker_levels: float | None
    """Mean change of these pixels from frame to frame, in levels of 255."""
    source_flicker_levels: float | None
    drift_levels: float | None
    """Slope of the difference in mean luma to the source, in levels of 255 per 100 frames."""
    sharpness_ratio: float | None
    """Variance of the Laplacian, output over source."""
    key_ratio: float | None
    """Error at key frames over error elsewhere."""
    losses: dict[str, float]
    """Mean content and style loss."""
    file_error: float | None = None
    """Warping error between neighbours of the encoded file; None where it holds the frames exactly."""
    file_error_ratio: float | None = None
    """The file's over the source's."""
    file_flicker_levels: float | None = None

    @property
    def shown_error_ratio(self) -> float | None:
        """Error of what a viewer sees, over the source's."""
        return self.error_ratio if self.file_error is None else self.file_error_ratio

    def __str__(self) -> str:
        return measured_in_words(self)


@dataclass(frozen=True, slots=True)
class TrainingStepDone:
    """A network in training has done another step."""

    name: ClassVar[str] = "training_step_done"
    step: int
    steps: int
    loss: float
    errors: dict[str, float]
    """Relative error of each layer: 1 for a guess of its mean."""
    seconds: float
    """Time since this process started to train."""
    steps_before: int
    """Steps that earlier processes did."""

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
    error_ratio: float | None = None
    """Warping error of the output over that of its source; None where it was not measured."""
    report: str = ""
    """Path of the report; empty if there is none."""
    flicker_levels: float | None = None
    """Mean change of the output's pixels where the source is still, levels of 255; None where it was not measured."""
    source_flicker_levels: float | None = None

    def __str__(self) -> str:
        return finished_in_words(self)


@dataclass(frozen=True, slots=True)
class JobChanged:
    """The state of a job in a batch changed."""

    name: ClassVar[str] = "job_changed"
    job: str
    state: str
    """queued, preparing, rendering, encoding, done, failed, cancelled or paused."""
    message: str
    frames: int
    """0 if not known yet."""
    frames_done: int

    def __str__(self) -> str:
        return f"{self.job}: {self.state}" + (f": {self.message}" if self.message else "")


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """A batch has come so far, over all its clips. At most one a second."""

    name: ClassVar[str] = "batch_progress"
    clips: int
    clips_done: int
    clips_failed: int
    clips_unopened: int
    """Clips whose frames are not counted yet; their work is taken to be like that of the others."""
    frames: int
    """Frames of the clips that were opened."""
    frames_done: int
    """Frames that are finished, those of earlier sessions included."""
    frames_failed: int
    """Frames that were given up in this session."""
    share: float
    """Share of the work that is done, that of earlier sessions included, 0 to 1."""
    frames_per_second: float | None
    """Frames finished in a second of this session; None before the first."""
    seconds_left: float | None
    """Time until all frames are rendered, without encoding; None if it is not known yet. Paused clips do not count."""
    is_forecast: bool
    """True before the first piece of work is done: the time was estimated from a few small evaluations."""

    @property
    def clips_in_words(self) -> str:
        """How many clips are done, and what has failed."""
        failed = [f"{self.clips_failed} failed"] if self.clips_failed else []
        failed += [f"{counted(self.frames_failed, 'frame')} given up"] if self.frames_failed else []
        return ", ".join([f"{self.clips_done} of {counted(self.clips, 'clip')}", *failed])

    @property
    def pace_in_words(self) -> str:
        """How much of the work is done, and how long the rest takes."""
        parts = [f"{self.share:.0%} of the work"]
        parts += [f"{self.frames_per_second:.3g} frames/s"] if self.frames_per_second is not None else []
        return ", ".join([*parts, time_left_in_words(self.seconds_left, is_forecast=self.is_forecast)])

    @property
    def unopened_in_words(self) -> str:
        """How many clips have frames that are not counted yet; empty for none."""
        return f"{counted(self.clips_unopened, 'clip')} not counted yet" if self.clips_unopened else ""

    def __str__(self) -> str:
        frames = f"{self.frames_done} of {counted(self.frames, 'frame')}" if self.frames else ""
        return ", ".join(filter(None, (self.clips_in_words, frames, self.unopened_in_words, self.pace_in_words)))


Event: TypeAlias = (
    Stage
    | RunStarted
    | NodeStarted
    | Paced
    | FrameDone
    | NodeFailed
    | WorkerDied
    | NodeGivenUp
    | WorkerQuarantined
    | WorkerReinstated
    | Suspected
    | Warned
    | Measured
    | TrainingStepDone
    | RunFinished
    | JobChanged
    | BatchProgress
)

OnEvent: TypeAlias = Callable[[Event], None]
Cancelled: TypeAlias = Callable[[], bool]
"""A function that is asked several times a second; True stops the work."""


def ignore(event: Event) -> None:
    """Ignore an event."""


def stop_if_asked(cancelled: Cancelled | None) -> None:
    """Raise CancelledError if `cancelled` says so: for places between two steps that cannot be stopped."""
    if cancelled is not None and cancelled():
        raise CancelledError("stopped")
