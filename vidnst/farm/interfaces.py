"""What the scheduler asks of the program around it, and what it tells about its progress."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, TypeAlias

from vidnst.farm.plan import Node, NodeId


class Host(Protocol):
    """Makes jobs out of nodes and keeps their results. Called in the scheduler's thread only."""

    def is_done(self, node: Node) -> bool:
        """Whether an earlier session finished the node, so that it need not run. Asked once per node, in plan order.

        Consistent answers come from `vidnst.farm.plan.settled`: a node that is not done reads only results that are
        made in this session or that `recall` can give.
        """

    def recall(self, node: NodeId) -> Any:
        """The value of a node that is done, for a dependant that runs now."""

    def job(self, node: Node, inputs: Mapping[NodeId, Any], *, attempt: int, last_error: BaseException | None) -> Any:
        """The job that a worker is to run, with the source frames it reads.

        Args:
            node: what is to be done.
            inputs: the value of each of `node.needs`.
            attempt: 1 for the first.
            last_error: what the attempt before ended with.
        """

    def keep(self, node: Node, result: Any, *, worker: str, attempt: int) -> Any:
        """Begin to make the worker's result last, and return the value that dependants (and `recall`) get."""

    def lasts(self, node: Node, *, timeout_seconds: float = 0.0) -> bool:
        """Whether what was given to `keep` lasts by now, so that the node counts as done; waits so long for it.

        Asked of every node that was kept until it says so, in the order in which they were kept. What has gone wrong
        is raised, as by `keep`.
        """

    def give_up(self, node: Node, error: str, because: NodeId | None) -> None:
        """Note that a node will not be made in this session; whatever reads it follows.

        Args:
            node: of the states, every one that is given up; of the flows, those that failed themselves.
            error: one line about what went wrong at first.
            because: the node that failed for good, where it is another; None where it is this one.
        """

    def release(self, node: NodeId) -> None:
        """Forget a node's value: all that need it are done or given up. Called once for every node that is admitted."""


@dataclass(frozen=True, slots=True)
class Component:
    """A part of the work that shares no node with any other part: one shot of one clip."""

    nodes: Iterable[Node]
    """Its plan: each node after all it needs, so generated that frames near in time come near each other."""
    host: Host
    order: int | Callable[[], int] = 0
    """Ready nodes of a lower order go first, whatever their place in time. One that may change is asked again and
    again."""
    held: Callable[[], bool] | None = None
    """Asked again and again; while it says so, no node of the component is handed out, and others go on."""


class NodeEventKind(StrEnum):
    """What can happen to a node."""

    SKIPPED = "skipped"
    """An earlier session finished it."""
    STARTED = "started"
    DONE = "done"
    """It is finished, and lasts."""
    FAILED = "failed"
    """An attempt ended with an error."""
    DIED = "died"
    """An attempt ended with its worker's process."""
    GIVEN_UP = "given_up"
    """It is not tried again, or what it reads is given up."""
    SET_ASIDE = "set_aside"
    """Its worker gets no more jobs: it failed at this node, and at others in a row before."""
    TAKEN_BACK = "taken_back"
    """Its worker, which had been set aside, gets jobs again: the node fails on others as well."""


@dataclass(frozen=True, slots=True)
class NodeEvent:
    """Something that happened to a node."""

    kind: NodeEventKind
    node: Node
    host: Host
    """The host of the node's component."""
    worker: str = ""
    attempt: int = 0
    """From 1; 0 where there was none."""
    seconds: float = 0.0
    """From the job's hand-over to its outcome, transport included; 0 for what has not run."""
    error: str = ""
    """One line about what went wrong."""
    because: NodeId | None = None
    """With GIVEN_UP: the node that failed for good, where it is another."""
    result: Any = None
    """With DONE: what the worker gave back."""


Listener: TypeAlias = Callable[[NodeEvent], None]
