"""The nodes that could run now, and those that soon could: what the scheduler chooses from."""

import heapq
from enum import IntEnum
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias

from vidnst.farm.plan import Lane, Node, NodeId, StateId

if TYPE_CHECKING:
    from vidnst.farm.component_window import ComponentWindow


class Status(IntEnum):
    """How far a node has come."""

    WAITING = 0
    READY = 1
    RUNNING = 2
    FINISHED = 3
    """Or given up: nothing more will become of it."""


class Urgency(IntEnum):
    """How soon a flow's result is read."""

    NOW = 0
    """A frame waits for nothing but flows."""
    SOON = 1
    """All states that the frame waits for are being made."""
    LATER = 2


class ReadyNode:
    """A node that has been admitted and may still be read."""

    __slots__ = (
        "blame",
        "dependants",
        "failures",
        "fresh",
        "front",
        "last_error",
        "node",
        "parked",
        "recalled",
        "refused",
        "started",
        "status",
        "tried",
        "unstarted_states",
        "urgency",
        "uses_left",
        "value",
        "waiting",
        "waiting_states",
        "wanted",
    )

    def __init__(self, node: Node, front: "ComponentWindow") -> None:
        self.node = node
        self.front = front
        self.status = Status.WAITING
        self.uses_left = node.uses
        self.dependants: list[ReadyNode] = []
        """Admitted nodes that read this one and are not done."""
        self.waiting = 0
        """Needs that are not finished."""
        self.waiting_states = 0
        """Needs that are states and not finished."""
        self.unstarted_states = 0
        """Needs that are states and not even started."""
        self.parked = False
        """Counted in `Queues.parked`."""
        self.wanted = not self.on_demand
        self.urgency = Urgency.LATER
        self.fresh = False
        """A flow that was made, or is being made, and no reader of it has started."""
        self.started = False
        self.recalled = False
        """Finished in an earlier session, its value not yet fetched."""
        self.value: Any = None
        self.failures = 0
        self.tried: set[str] = set()
        """Workers on which it failed."""
        self.refused: set[str] = set()
        """Those of them that did not die of it, and would do the same again."""
        self.last_error: BaseException | None = None
        self.blame: tuple[NodeId, str] | None = None
        """Of what is given up: the node that failed, and how."""

    @property
    def on_demand(self) -> bool:
        """Whether it runs only when an unfinished node reads it."""
        return self.node.lane is Lane.FLOW

    @property
    def is_state(self) -> bool:
        """Whether its result is a state."""
        return isinstance(self.node.id, StateId)

    @property
    def id(self) -> NodeId:
        """The node's name within its component."""
        return self.node.id


_Item: TypeAlias = tuple[tuple[int, ...], int, ReadyNode]
"""Order, number that keeps equal ones in line, node."""


def _key(entry: ReadyNode) -> tuple[int, ...]:
    return (int(entry.urgency), entry.front.order, *entry.node.rank)


def _is_current(item: _Item) -> bool:
    return item[2].status is Status.READY and item[0][0] == item[2].urgency


class Queues:
    """Ready nodes of both lanes in the order in which they should run. Each operation costs O(log n).

    A flow may stand in its heap several times, once for each urgency it has had; what is out of date is dropped when
    it comes to the top, or when it makes up half of the heap.
    """

    def __init__(self, *, flows_ahead: int) -> None:
        self._style: list[_Item] = []
        self._flow: list[_Item] = []
        self._number = count()
        self._dropped = 0
        """Stylizing nodes in the heap that are given up."""
        self._flows_kept = 0
        """Flows in the heap after what was out of date had last been removed."""
        self.flows_ahead = flows_ahead
        """Flows that may lie there, unread, before more are made ahead of need."""
        self.fresh_flows = 0
        """Flows that are made or being made, and not yet read by a running node."""
        self.parked = 0
        """Stylizing nodes that wait for flows only."""
        self._held: dict[ComponentWindow, dict[ReadyNode, None]] = {}
        """Of fronts that are held, what could run."""

    def __len__(self) -> int:
        """How many stylizing nodes are ready."""
        return len(self._style) - self._dropped

    def push(self, entry: ReadyNode) -> None:
        """Add a node that has just become ready, failed, or gained urgency."""
        if (kept := self._held.get(entry.front)) is not None:
            kept[entry] = None
            return
        heap = self._flow if entry.on_demand else self._style
        heapq.heappush(heap, (_key(entry), next(self._number), entry))
        if len(self._flow) > 2 * self._flows_kept + 64:
            self._flow = [item for item in self._flow if _is_current(item)]
            heapq.heapify(self._flow)
            self._flows_kept = len(self._flow)

    def resort(self) -> None:
        """Put the line into order again, since fronts have changed theirs."""
        self._style, self._flow = (
            [(_key(item[2]), item[1], item[2]) for item in heap if _is_current(item)]
            for heap in (self._style, self._flow)
        )
        self._dropped, self._flows_kept = 0, len(self._flow)
        heapq.heapify(self._style)
        heapq.heapify(self._flow)

    @property
    def held(self) -> int:
        """How many fronts are held."""
        return len(self._held)

    @property
    def soon(self) -> int:
        """How many stylizing nodes are ready, or wait for flows only."""
        return len(self) + self.parked - sum(front.parked for front in self._held)

    def hold(self, front: "ComponentWindow", held: bool) -> None:
        """Take what could run of a front out of the line, or put it back; nothing where it is so already."""
        if held and front not in self._held:
            listed = [item for item in self._style + self._flow if item[2].front is front]
            self._held[front] = {item[2]: None for item in listed if item[2].status is Status.READY}
            self._dropped -= sum(item[2].status is not Status.READY for item in self._style if item[2].front is front)
            self._style = [item for item in self._style if item[2].front is not front]
            self._flow = [item for item in self._flow if item[2].front is not front]
            heapq.heapify(self._style)
            heapq.heapify(self._flow)
        elif not held and front in self._held:
            for entry in self._held.pop(front):
                if entry.status is Status.READY:
                    self.push(entry)

    def pop_style(self) -> ReadyNode | None:
        """Take the first ready stylizing node."""
        while self._style:
            entry = heapq.heappop(self._style)[2]
            if entry.status is Status.READY:
                return entry
            self._dropped -= 1
        return None

    def drop(self, entry: ReadyNode) -> None:
        """Note that a ready node is given up; it is taken out when it comes to the top."""
        if (kept := self._held.get(entry.front)) is not None:
            kept.pop(entry, None)
        else:
            self._dropped += not entry.on_demand

    def pop_flow(self, *, hungry: bool) -> ReadyNode | None:
        """Take the flow to make next, or None where enough of them lie ready.

        Args:
            hungry: whether stylizing workers are idle, so that what they wait for is made beyond the limit.
        """
        while self._flow:
            entry = self._flow[0][2]
            if not _is_current(self._flow[0]):
                heapq.heappop(self._flow)
                continue
            limit = self.flows_ahead * (2 if entry.urgency is Urgency.SOON else 1)
            if self.fresh_flows >= limit and not (hungry and entry.urgency is Urgency.NOW):
                return None
            return heapq.heappop(self._flow)[2]
        return None
