"""Admitted nodes, and the priority queues of those that are ready to run."""

import heapq
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias

from vidnst.farm.plan import FlowId, Lane, Node, NodeId

if TYPE_CHECKING:  # each knows the other
    from vidnst.farm.component_window import ComponentWindow


class Status(IntEnum):
    """The progress of a node."""

    WAITING = 0
    READY = 1
    RUNNING = 2
    FINISHED = 3
    """Or given up."""


class Urgency(IntEnum):
    """How soon a flow's result is read."""

    NOW = 0
    """A frame waits for nothing but flows."""
    SOON = 1
    """All states that a frame waits for are running."""
    LATER = 2


@dataclass(slots=True, eq=False)
class AdmittedNode:
    """A node in its component's window: admitted, and not yet read by all its dependants."""

    node: Node
    component: "ComponentWindow"
    uses_left: int = field(init=False)
    needed: bool = field(init=False)
    """True for a state, and for a flow that an unfinished node reads."""
    status: Status = Status.WAITING
    dependants: list["AdmittedNode"] = field(default_factory=list)
    """Admitted nodes that read this one and are not done."""
    pending_needs: int = 0
    """Needs that are not finished."""
    pending_states: int = 0
    """Needs that are states and not finished."""
    unstarted_states: int = 0
    """Needs that are states and not even started."""
    awaits_flows: bool = False
    """Counted in `ReadyQueue.awaiting_flows`."""
    urgency: Urgency = Urgency.LATER
    unread: bool = False
    """True for a flow that runs or is finished, and of which no reader has started."""
    started: bool = False
    stored: bool = False
    """True if an earlier session finished it and its value is not loaded yet."""
    value: Any = None
    failures: int = 0
    device_losses: int = 0
    """Attempts that ended with a worker's GPU, which are no failures of the node."""
    failed_on: set[str] = field(default_factory=set)
    """Workers on which it failed."""
    raised_on: set[str] = field(default_factory=set)
    """Workers on which it failed and whose process survived: they would fail again."""
    last_error: BaseException | None = None
    cause: tuple[NodeId, str] | None = None
    """If it is given up: the node that failed for good, and its error."""

    def __post_init__(self) -> None:
        self.uses_left = self.node.uses
        self.needed = not self.on_demand

    @property
    def on_demand(self) -> bool:
        """True for a flow, which runs only if an unfinished node reads it."""
        return self.node.lane is Lane.FLOW

    @property
    def is_state(self) -> bool:
        """True if its result is a state, or a network that frames wait for like a state."""
        return not isinstance(self.node.id, FlowId)

    @property
    def id(self) -> NodeId:
        """The node's name within its component."""
        return self.node.id


_Item: TypeAlias = tuple[tuple[int, ...], int, AdmittedNode]
"""Priority, a number that keeps equal ones in the order of arrival, and the node."""


def _priority(entry: AdmittedNode) -> tuple[int, ...]:
    return (int(entry.urgency), entry.component.order, *entry.node.rank)


def _is_current(item: _Item) -> bool:
    return item[2].status is Status.READY and item[0][0] == item[2].urgency


class ReadyQueue:
    """The ready nodes of both lanes in the order in which they should run. Each operation takes O(log n).

    A flow is pushed again when it gains urgency. Its older items are skipped when they come to the top, and removed
    when they make up half of the heap.

    Args:
        max_unread_flows: flows that may be computed ahead of need.
    """

    def __init__(self, *, max_unread_flows: int) -> None:
        self._style: list[_Item] = []
        self._flow: list[_Item] = []
        self._arrivals = count()
        self._dropped = 0
        """Stylizing nodes in the heap that are given up."""
        self._flows_compacted = 0
        """Size of the heap of flows when outdated items were last removed."""
        self.max_unread_flows = max_unread_flows
        self.unread_flows = 0
        """Flows that are computed or running, and not yet read by a running node."""
        self.awaiting_flows = 0
        """Stylizing nodes that wait for flows only."""
        self._paused: dict[ComponentWindow, dict[AdmittedNode, None]] = {}
        """The ready nodes of each paused component."""

    def __len__(self) -> int:
        """The number of ready stylizing nodes."""
        return len(self._style) - self._dropped

    @property
    def any_paused(self) -> bool:
        """True if a component is paused."""
        return bool(self._paused)

    @property
    def upcoming(self) -> int:
        """The number of stylizing nodes that are ready or wait for flows only."""
        return len(self) + self.awaiting_flows - sum(component.awaiting_flows for component in self._paused)

    def push(self, entry: AdmittedNode) -> None:
        """Add a node that has become ready, has failed, or has gained urgency."""
        if (waiting := self._paused.get(entry.component)) is not None:
            waiting[entry] = None
            return
        heap = self._flow if entry.on_demand else self._style
        heapq.heappush(heap, (_priority(entry), next(self._arrivals), entry))
        if len(self._flow) > 2 * self._flows_compacted + 64:
            self._flow = [item for item in self._flow if _is_current(item)]
            heapq.heapify(self._flow)
            self._flows_compacted = len(self._flow)

    def resort(self) -> None:
        """Sort again, after components have changed their order."""
        self._style, self._flow = (
            [(_priority(item[2]), item[1], item[2]) for item in heap if _is_current(item)]
            for heap in (self._style, self._flow)
        )
        self._dropped, self._flows_compacted = 0, len(self._flow)
        heapq.heapify(self._style)
        heapq.heapify(self._flow)

    def set_paused(self, component: "ComponentWindow", paused: bool) -> None:
        """Take a component's ready nodes out of the queue, or put them back; does nothing if they are there already."""
        if paused and component not in self._paused:
            own = [item[2] for item in self._style + self._flow if item[2].component is component]
            self._paused[component] = {entry: None for entry in own if entry.status is Status.READY}
            self._dropped -= sum(entry.status is not Status.READY for entry in own if not entry.on_demand)
            self._style = [item for item in self._style if item[2].component is not component]
            self._flow = [item for item in self._flow if item[2].component is not component]
            heapq.heapify(self._style)
            heapq.heapify(self._flow)
        elif not paused and component in self._paused:
            for entry in self._paused.pop(component):
                if entry.status is Status.READY:
                    self.push(entry)

    def drop(self, entry: AdmittedNode) -> None:
        """Note that a ready node is given up; it is taken out when it comes to the top."""
        if (waiting := self._paused.get(entry.component)) is not None:
            waiting.pop(entry, None)
        else:
            self._dropped += not entry.on_demand

    def pop_style(self) -> AdmittedNode | None:
        """Take the first stylizing node."""
        while self._style:
            entry = heapq.heappop(self._style)[2]
            if entry.status is Status.READY:
                return entry
            self._dropped -= 1
        return None

    def pop_flow(self, *, workers_idle: bool) -> AdmittedNode | None:
        """Take the flow to compute next; None if enough are computed ahead.

        Args:
            workers_idle: whether stylizing workers are idle, so that what they wait for is computed beyond the limit.
        """
        while self._flow:
            entry = self._flow[0][2]
            if not _is_current(self._flow[0]):
                heapq.heappop(self._flow)
                continue
            limit = self.max_unread_flows * (2 if entry.urgency is Urgency.SOON else 1)
            if self.unread_flows >= limit and not (workers_idle and entry.urgency is Urgency.NOW):
                return None
            return heapq.heappop(self._flow)[2]
        return None
