"""The scheduler's interface to the program around it: hosts, components of a plan, and events."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, TypeAlias

from vidnst.farm.plan import Node, NodeId


class Host(Protocol):
    """Turns nodes into jobs and stores their results. Called in the scheduler's thread only."""

    def is_done(self, node: Node) -> bool:
        """True if an earlier session finished the node, so that it need not run. Asked once per node, in plan order.

        `vidnst.farm.plan.finished_nodes` gives consistent answers: a node that is not done reads only results that
        are computed in this session or that `load` can return.
        """

    def load(self, node: NodeId) -> Any:
        """Return the value of a node that is done, for a dependant that is about to run."""

    def job(self, node: Node, inputs: Mapping[NodeId, Any], *, attempt: int, last_error: BaseException | None) -> Any:
        """Make the job that a worker runs, with the source frames that it reads.

        Args:
            node: the node to run.
            inputs: the value of each of `node.needs`.
            attempt: 1 for the first.
            last_error: the error of the attempt before.
        """

    def store(self, node: Node, result: Any, *, worker: str, attempt: int) -> Any:
        """Begin to write a worker's result durably, and return the value that dependants (and `load`) get."""

    def is_durable(self, node: Node, *, timeout_seconds: float = 0.0) -> bool:
        """True if the result given to `store` is written durably, so that the node counts as done; waits up to the
        timeout.

        Asked of every stored node until it is true, in the order of `store`. Raises what went wrong, as `store` does.
        """

    def give_up(self, node: Node, error: str, because: NodeId | None) -> None:
        """Note that a node will not be computed in this session; nodes that read it follow.

        Args:
            node: any state that is given up, or a flow that failed itself.
            error: one line about the first failure.
            because: the node that failed for good; None if it is this one.
        """

    def release(self, node: NodeId) -> None:
        """Free a node's value: all its dependants are done or given up. Called once for every admitted node."""


@dataclass(frozen=True, slots=True)
class Component:
    """A part of the work that shares no node with any other part: one shot of one clip."""

    nodes: Iterable[Node]
    """Its plan: each node after all it needs, and frames near in time near each other."""
    host: Host
    order: int | Callable[[], int] = 0
    """Ready nodes of a lower order go first, whatever their place in time. A callable is polled for changes."""
    paused: Callable[[], bool] | None = None
    """Polled; while it is true, none of the component's nodes is handed out."""


class NodeEventKind(StrEnum):
    """The events of a node."""

    SKIPPED = "skipped"
    """An earlier session finished it."""
    STARTED = "started"
    DONE = "done"
    """It is finished, and its result is durable."""
    FAILED = "failed"
    """An attempt ended with an error."""
    DIED = "died"
    """An attempt ended with its worker's process."""
    GIVEN_UP = "given_up"
    """It is not tried again, or a node that it reads is given up."""
    QUARANTINED = "quarantined"
    """Its worker gets no more jobs: this node failed there, as several others in a row before."""
    REINSTATED = "reinstated"
    """Its worker leaves quarantine: the node fails on other workers as well."""


@dataclass(frozen=True, slots=True)
class NodeEvent:
    """Something that happened to a node."""

    kind: NodeEventKind
    node: Node
    host: Host
    """The host of the node's component."""
    worker: str = ""
    attempt: int = 0
    """The number of the attempt, from 1; 0 if there was none."""
    seconds: float = 0.0
    """The time from the job's hand-over to its outcome, transport included; 0 if it has not run."""
    error: str = ""
    """One line about what went wrong."""
    because: NodeId | None = None
    """With GIVEN_UP: the node that failed for good, if it is another."""
    result: Any = None
    """With DONE: the worker's result."""


Listener: TypeAlias = Callable[[NodeEvent], None]
