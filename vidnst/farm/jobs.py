"""Jobs, results, workers and pools: what travels between the scheduler and the workers. Imports no Ray or torch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vidnst.errors import VidnstError
from vidnst.farm.plan import FlowId, Lane, NetworkId, NodeId, SoundId, StateId
from vidnst.frames import Pixels, State
from vidnst.motion.blend import WarmSource
from vidnst.motion.flow import FlowPair
from vidnst.style.guidance import Guidance
from vidnst.style.memory.modes import NO_SAVINGS, MemoryMode


@dataclass(frozen=True, slots=True)
class Shared:
    """A value that many jobs read and workers fetch once, made by `SharingPool.share`."""

    key: str
    """Equal for equal values."""
    payload: Any
    """The value, or the pool's reference to it."""

    def get(self) -> Any:
        """Return the value, in a worker's process."""
        return self.payload


@dataclass(frozen=True, slots=True)
class GivenPart:
    """The part of a frame that a person has painted."""

    state: State
    opaque: NDArray[np.bool_] | None = None
    """`(H, W)`, where it is given; None for everywhere."""
    weight: float = 1.0
    """1 gives it exactly; below 1 the optimisation moves it by the rest of its steps."""

    def over(self, state: State) -> State:
        """Return a state with what is given exactly put over it."""
        if self.weight < 1:
            return state
        return self.state if self.opaque is None else np.where(self.opaque[..., None], self.state, state)

    def mixed_over(self, state: State) -> State:
        """Return a state over which what is given is put with its weight."""
        if self.weight == 1:
            return self.over(state)
        mixed = np.rint(state + np.float32(self.weight) * (self.state.astype(np.float32) - state)).astype(np.uint16)
        return mixed if self.opaque is None else np.where(self.opaque[..., None], mixed, state)


@dataclass(frozen=True, slots=True)
class StylizeJob:
    """Stylize one frame."""

    node: StateId
    content: Pixels
    starts: tuple[WarmSource, ...]
    """Empty for a cold start."""
    iterations: int
    """Loss evaluations; 0 passes the content through."""
    seed: int
    hold: float = 1.0
    """Factor on the temporal loss, which pulls the frame toward its starts."""
    rate: float = 1.0
    """Factor on the step size where pixels come from the starts."""
    step_scale: float = 1.0
    """Factor on the step size: below 1 when an attempt with the full step gave NaN."""
    renew_at: float | None = None
    """Staleness from which a place is freed of its start; None holds it however stale it is."""
    content_share: float = 0.0
    """Share of the content in the initial image of a warm start, above 0 if styles have changed since."""
    guidance: Guidance | None = None
    """The weights of styles by region; None applies all styles everywhere."""
    source_thumbnails: tuple[NDArray[np.float32] | None, ...] | None = None
    """`thumbnail_luma` of each start's source frame, None for the frame itself; without them the result is not
    checked."""
    state_thumbnails: tuple[NDArray[np.float32] | None, ...] = ()
    """`thumbnail_luma` of each start's state; None if it is to be computed."""
    given: GivenPart | None = None
    """The part of the frame that a person has painted."""
    style_set: Shared | None = None
    """Factory of the worker that can run the job, for a `MultiStyleWorker`; None for a worker of one style set."""
    memory_mode: MemoryMode = NO_SAVINGS
    """The first memory mode to try."""


@dataclass(frozen=True, slots=True)
class FlowJob:
    """Estimate the flows between two frames, both ways."""

    node: FlowId
    frame: Pixels
    reference: Pixels
    through: tuple[FlowPair, FlowPair] | None = None
    """The flows from `frame` to a frame between and from there to `reference`, to be refined; None starts from
    zero."""
    is_sketched: bool = False
    """True if a small copy of the flows is wanted, too."""
    style_set: Shared | None = None
    """See `StylizeJob.style_set`."""


@dataclass(frozen=True, slots=True)
class TrainingPair:
    """Two frames of a stage, by their places among its frames, and the flows between them, both ways."""

    later: int
    earlier: int
    flows: FlowPair


@dataclass(frozen=True, slots=True)
class TrainJob:
    """Do a stage of the training of a clip's transform network."""

    node: NetworkId
    state: NDArray[np.float32] | None
    """`Training.state` after the stage before; None for the first."""
    frames: tuple[Pixels, ...]
    guidances: tuple[Guidance | None, ...]
    """The guidance of each frame; see `StylizeJob.guidance`."""
    pairs: tuple[TrainingPair, ...]
    """Empty in a shot of one frame."""
    seed: int
    given: tuple[GivenPart | None, ...] = ()
    """What a person has painted of each frame; empty if nothing is."""
    threads: int = 1
    """Threads on a CPU. Stages follow each other, so a training uses the cores of workers that wait for it."""
    style_set: Shared | None = None
    """See `StylizeJob.style_set`."""
    memory_mode: MemoryMode = NO_SAVINGS


@dataclass(frozen=True, slots=True)
class PaintJob:
    """Paint one frame with a transform network."""

    node: StateId
    content: Pixels
    network: Shared
    """`TransformNetwork.to_vector`."""
    guidance: Guidance | None = None
    given: GivenPart | None = None
    """What a person has painted of the frame."""
    style_set: Shared | None = None
    """See `StylizeJob.style_set`."""
    memory_mode: MemoryMode = NO_SAVINGS


@dataclass(frozen=True, slots=True)
class SoundJob:
    """Restyle a chunk of a soundtrack."""

    node: SoundId
    samples: NDArray[np.float32]
    """`(channels, samples)`, at the level of the style."""
    strength: float
    iterations: int
    held: bool = True
    """False for a soundtrack of the style alone, whose samples are noise that holds nothing."""
    style_set: Shared | None = None
    """Factory of the worker that can run it, as a `StylizeJob`'s."""


@dataclass(frozen=True, slots=True)
class SkipJob:
    """Do nothing, since the node's result is not needed any more. The result is None."""

    node: NodeId


@dataclass(frozen=True, slots=True)
class Refused:
    """The result of a job whose style set is faulty: its worker cannot be made anywhere, those of other sets can."""

    error: VidnstError


Job: TypeAlias = StylizeJob | FlowJob | TrainJob | PaintJob | SoundJob | SkipJob


@dataclass(frozen=True, slots=True)
class Stylized:
    """The result of a `StylizeJob`."""

    state: State
    losses: Mapping[str, float]
    """Final value of each term: total, content, style, tv, temporal."""
    evaluations: int
    seconds: float
    """Seconds of computing, without transport."""
    shown: State | None = None
    """The frame that the viewer sees, if it is not the state: regions without style blended with the source."""
    staleness: float | None = None
    """Mean staleness of a frame that was freed of its start where that was stale; None for others."""
    suspect: str = ""
    """The quality problem of the result; empty if it has none."""
    repaired: str = ""
    """The quality problem of the first attempt, if the second has none."""
    memory_mode: MemoryMode = NO_SAVINGS
    shortage: str = ""
    """The reason why the memory mode is not the job's; empty if it is."""
    thumbnail_luma: NDArray[np.float32] | None = None
    """The state's, if the job has thumbnails to compare it with."""
    device_seconds: float | None = None
    """Seconds for which the job kept others from its worker's device; None if that is not known."""


@dataclass(frozen=True, slots=True)
class Trained:
    """The result of a `TrainJob`."""

    state: NDArray[np.float32]
    """`Training.state`, or after the last stage `TransformNetwork.to_vector`."""
    losses: Mapping[str, float]
    """Mean of each term over the stage."""
    evaluations: int
    seconds: float


@dataclass(frozen=True, slots=True)
class RestyledSound:
    """The result of a `SoundJob`."""

    state: NDArray[np.float32]
    """The samples, channel after channel."""
    losses: Mapping[str, float]
    """Final value of each term: total, style, content, envelope."""
    evaluations: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended: exactly one of `value` and `error` is set. With `back` it belongs to no job, and neither is."""

    worker: str
    value: Any = None
    error: BaseException | None = None
    died: bool = False
    """The worker's process ended; the pool replaces it under the same name."""
    away: bool = False
    """With `died`: the replacement has not started yet. The worker takes no jobs until an outcome says that it is
    `back`, and its prefetched jobs are dropped without outcomes."""
    back: bool = False
    device_seconds: float | None = None
    """Seconds for which the job kept the worker's other jobs waiting; None: all the time since the one before."""
    lost: bool = False
    """With `died`: the worker is not replaced and takes no more jobs, and its prefetched jobs are dropped. Also
    reported of a worker that was `away`."""


def success(worker: str, value: Any) -> Outcome:
    """The outcome of a job that gave a result."""
    return Outcome(worker, value, device_seconds=getattr(value, "device_seconds", None))


class WorkerDiedError(Exception):
    """A worker's process ended in the middle of a job; a worker may raise it to count as dead."""


class DeviceLostError(WorkerDiedError):
    """A worker's process can compute nothing more on its GPU, so it ends; the job is not to blame."""


class Worker(Protocol):
    """A plain object that runs jobs, in an actor's process or in this one."""

    def run(self, job: Any) -> Any:
        """Run `job` and return its result."""


WorkerFactory: TypeAlias = Callable[[], Worker]
"""Makes a worker, in the process where it runs. Must be picklable for Ray."""


@dataclass(frozen=True, slots=True)
class WorkerGroup:
    """The equal workers of one lane, and the resources of each."""

    factory: WorkerFactory
    count: int
    cpus: float = 1.0
    """CPU slots of each; Ray also sets the number of OpenMP threads to it. 0 does not reserve any."""
    gpus: float = 0.0
    """GPUs of each, or a share of one."""
    concurrency: int = 1
    """Jobs that each has in work at once. It optimises one after the other, but meanwhile others are uploaded, checked
    or returned."""
    preload: str = ""
    """A module that its process imports when it starts, since its jobs need it."""


class Pool(Protocol):
    """Named workers, each with a queue of jobs."""

    def workers(self, lane: Lane) -> Sequence[str]:
        """Names of the workers of a lane, in a fixed order."""

    def submit(self, worker: str, job: Any) -> None:
        """Add a job to a worker's queue; outcomes come in the order of jobs."""

    def wait(self, timeout_seconds: float) -> list[Outcome]:
        """Block until a worker has an outcome, or the time is up (then an empty list)."""

    def close(self) -> None:
        """Stop all workers, without waiting for what they are doing."""


class SharingPool(Pool, Protocol):
    """A pool that shares values with its workers."""

    def share(self, key: str, value: Any) -> Shared:
        """Make a value available to all workers, as long as the result is referenced."""

    def hold(self, *values: Any) -> tuple[Any, ...]:
        """Return what stands for values in jobs: themselves where workers share this process's memory, else a
        `Deferred` for each, which travels once to each machine."""

    @property
    def is_remote(self) -> bool:
        """True if `hold` copies values."""

    def settle(self) -> None:
        """Drop all jobs, and wait until each worker that is away is back or lost."""
