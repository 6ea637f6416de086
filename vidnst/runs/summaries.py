"""What the run log adds up: notes, and the work of each worker and on each frame."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Note:
    """A failure or a warning."""

    time: float
    """Seconds since 1970."""
    text: str
    node: str = ""
    worker: str = ""


@dataclass(slots=True)
class WorkerSummary:
    """The work of one worker in one session."""

    nodes: int = 0
    frames: int = 0
    """Finished ones."""
    seconds: float = 0.0
    """Spent on nodes that were done."""
    failures: int = 0
    last_seen: float = 0.0
    """Time of its last event, seconds since 1970."""

    @property
    def nodes_per_second(self) -> float | None:
        """Nodes for each second of computing; None before the first."""
        return self.nodes / self.seconds if self.seconds > 0 else None


@dataclass(slots=True)
class FrameSummary:
    """The work on one frame, over all its passes and repetitions."""

    losses: dict[str, float] = field(default_factory=dict)
    """Final value of each term in the last pass; empty before it."""
    seconds: float = 0.0
    evaluations: int = 0
    """Evaluations of the loss."""
    staleness: float | None = None
    """How many times farther the frame is from its source than a fresh painting of it; None where unknown."""
