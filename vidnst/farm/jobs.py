"""What travels between the scheduler and the workers. Knows neither Ray nor torch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vidnst.errors import VidnstError
from vidnst.farm.plan import FlowId, Lane, NodeId, StateId
from vidnst.frames import Pixels, State
from vidnst.motion.blend import WarmSource
from vidnst.motion.flow import FlowPair
from vidnst.style.guidance import Guidance
from vidnst.style.memory.modes import NO_SAVINGS, MemoryMode


@dataclass(frozen=True, slots=True)
class Shared:
    """A value that many jobs read, handed to workers once: by `SharingPool.share`."""

    key: str
    """Equal for equal values."""
    held: Any

    def get(self) -> Any:
        """The value, where a worker is."""
        return self.held


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
    """Factor on the pull toward the starts."""
    rate: float = 1.0
    """Share of full steps for what comes from the starts."""
    step_scale: float = 1.0
    """Factor on the step size: below 1 when an attempt with the full step gave NaN."""
    renew: float = 0.0
    """Share of the content in what a warm start begins at: styles have changed since."""
    guidance: Guidance | None = None
    """Which styles pull where; None lets all pull everywhere."""
    source_thumbnails: tuple[NDArray[np.float32] | None, ...] | None = None
    """Of the source of each start, see `thumbnail_luma`; None for the frame itself. No glimpses: the result is taken
    unseen."""
    painted: tuple[NDArray[np.float32] | None, ...] = ()
    """Glimpses of the states of the starts, where they are known; what is missing is looked at again."""
    style_set: Shared | None = None
    """Factory of the worker that can run the job, for a `MultiStyleWorker`; None for a worker of one style set."""
    memory_mode: MemoryMode = NO_SAVINGS
    """The least that is to be done to save memory."""


@dataclass(frozen=True, slots=True)
class FlowJob:
    """Find the flows between two frames, both ways."""

    node: FlowId
    frame: Pixels
    reference: Pixels
    through: tuple[FlowPair, FlowPair] | None = None
    """From `frame` to a frame between and from there to `reference`: what to refine; None starts from nothing."""
    style_set: Shared | None = None
    """As a `StylizeJob`'s."""


@dataclass(frozen=True, slots=True)
class SkipJob:
    """Do nothing: what this node gives is of no use any more. The answer is None."""

    node: NodeId


@dataclass(frozen=True, slots=True)
class Refused:
    """The result of a job whose style set is faulty: its worker cannot be made anywhere, those of other sets can."""

    error: VidnstError


Job: TypeAlias = StylizeJob | FlowJob | SkipJob


@dataclass(frozen=True, slots=True)
class Stylized:
    """What a stylizing job gives back."""

    state: State
    losses: Mapping[str, float]
    """Final value of each term: total, content, style, tv, temporal."""
    evaluations: int
    seconds: float
    """Seconds of computing, without transport."""
    shown: State | None = None
    """What the viewer is to see, where that is not the state: the source shows through in parts."""
    suspect: str = ""
    """Why the result looks wrong; empty where it does not."""
    mended: str = ""
    """Why the result looked wrong before it was made again."""
    memory_mode: MemoryMode = NO_SAVINGS
    """What was done to save memory."""
    shortage: str = ""
    """Why that was more than the job asked for; empty where it was not."""
    thumbnail_luma: NDArray[np.float32] | None = None
    """Of the state, where the job has glimpses to compare it with."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job: exactly one of `value` and `error` is set. With `back` it is of no job, and neither is."""

    worker: str
    value: Any = None
    error: BaseException | None = None
    died: bool = False
    """The worker's process is gone; the pool has started, or will start, another under the same name."""
    away: bool = False
    """With `died`: the other is not there yet. The worker takes no jobs until an outcome says that it is `back`, and
    what lay ready behind this one is gone with no outcome of its own."""
    back: bool = False
    lost: bool = False
    """With `died`: nothing replaces the worker, it takes no more jobs, and what lay ready is gone. Also told of one
    that was `away`."""


class WorkerDiedError(Exception):
    """A worker's process ended in the middle of a job; also what a worker raises to be treated as dead."""


class Worker(Protocol):
    """A plain object that runs jobs, one at a time, in an actor's process or in this one."""

    def run(self, job: Any) -> Any:
        """Run `job` and return its result; errors are raised."""


WorkerFactory: TypeAlias = Callable[[], Worker]
"""Makes a worker where it is to live. Must be picklable for Ray."""


@dataclass(frozen=True, slots=True)
class WorkerGroup:
    """The workers of one lane, all alike, and what each of them holds."""

    factory: WorkerFactory
    count: int
    cpus: float = 1.0
    """CPU slots of each; Ray also gives its OpenMP that many threads. 0 competes with nobody."""
    gpus: float = 0.0
    """GPUs of each, or a share of one."""
    concurrency: int = 1
    """Jobs that each takes up at once. It paints one after the other, but while it paints one, another arrives, is
    looked at, or goes back."""


class Pool(Protocol):
    """Workers with names, each at one job at a time; what it gets beside that lies ready behind it."""

    def workers(self, lane: Lane) -> Sequence[str]:
        """Names of the workers of a lane, in a fixed order."""

    def submit(self, worker: str, job: Any) -> None:
        """Give a job to a worker, which runs it after those that it has; outcomes come in the order of jobs."""

    def wait(self, timeout_seconds: float) -> list[Outcome]:
        """Block until a worker has an outcome, or the time is up (then an empty list)."""

    def close(self) -> None:
        """Stop all workers, without waiting for what they are doing."""


class SharingPool(Pool, Protocol):
    """A pool whose workers can be handed values that many jobs read."""

    def share(self, key: str, value: Any) -> Shared:
        """Lay a value where every worker can take it; it goes when nobody holds what is given back."""
