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
class Warned:
    """Something that the user should know, though the render goes on."""

    name: ClassVar[str] = "warned"
    message: str

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The output is in place and checked."""

    name: ClassVar[str] = "run_finished"
    output: str
    frames: int
    seconds: float


Event: TypeAlias = Stage | RunStarted | NodeStarted | FrameDone | NodeFailed | WorkerDied | Warned | RunFinished

OnEvent: TypeAlias = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Listen to nothing."""
