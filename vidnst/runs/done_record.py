"""What the log of a run says of a finished node."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vidnst.farm.plan import Node


@dataclass(frozen=True, slots=True)
class DoneRecord:
    """The facts of a finished node for the log."""

    node: Node
    worker: str
    """The worker that finished it."""
    attempt: int
    """In which attempt, from 1."""
    losses: Mapping[str, float]
    """Final value of each term."""
    evaluations: int
    """Evaluations of the loss."""
    seconds: float
    """Seconds of computing."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Anything else worth keeping, as JSON values."""

    def to_dict(self) -> dict[str, Any]:
        """JSON values, as in the log."""
        return {
            "node": str(self.node.id),
            "final": self.node.final,
            "attempt": self.attempt,
            "worker": self.worker,
            "losses": self.losses,
            "evaluations": self.evaluations,
            "seconds": round(self.seconds, 6),
            **self.facts,
        }
