"""One component on its way through the scheduler: which of its nodes are admitted, ready, and still needed."""

import heapq
from collections.abc import Callable
from typing import Any

from vidnst.config import Role
from vidnst.farm.interfaces import Component
from vidnst.farm.plan import Node, NodeId
from vidnst.farm.ready_queue import Queues, ReadyNode, Status, Urgency


def default_window(workers: int, *, groups: int = 1) -> int:
    """Frames that may be in flight in one component: enough for each worker to find work in any schedule.

    Args:
        workers: how many stylize.
        groups: frames that the plan handles together; a few groups must fit.
    """
    return max(32, 4 * workers, 4 * groups)


class ComponentWindow:
    """The admitted nodes of a component, a window that moves over its plan.

    A node is admitted while its frame is less than `window` frames after the oldest unfinished one. So memory is
    bounded by the window and by what the plan itself needs for long, not by the plan's length. A plan whose order
    does not suit the window runs all the same, with less in parallel: where nothing admitted is unfinished, the
    next node comes in.
    """

    def __init__(
        self,
        component: Component,
        queues: Queues,
        *,
        window: int,
        skipped: Callable[[ReadyNode], None],
        given_up: Callable[[ReadyNode], None],
    ) -> None:
        self.host = component.host
        self._order = component.order
        self.order = 0
        """Of its nodes among those of others."""
        self.reorder()
        self.held = component.held
        self.parked = 0
        """Stylizing nodes of it that wait for flows only."""
        self.unfinished = 0
        """Admitted stylizing nodes that are neither finished nor given up."""
        self.pace: dict[Role, float] = {}
        """Seconds that the last node of each kind took."""
        self.closed = False
        """Whether the scheduler has counted it as done."""
        self._nodes = iter(component.nodes)
        self._next = next(self._nodes, None)
        self._queues = queues
        self._window = window
        self._skipped = skipped
        self._given_up = given_up
        self._flows_running = 0
        self._broken: tuple[NodeId, str] | None = None
        """What ended the component, so that nothing more of it is tried."""
        self._entries: dict[NodeId, ReadyNode] = {}
        self._frames: list[tuple[int, int, ReadyNode]] = []
        self._admitted = 0

    @property
    def exhausted(self) -> bool:
        """Whether all of the component is done or given up."""
        return self._next is None and self.unfinished == 0 and self._flows_running == 0

    @property
    def watched(self) -> bool:
        """Whether it may be held, or change its order."""
        return self.held is not None or callable(self._order)

    def reorder(self) -> bool:
        """Ask for the order; whether it has changed."""
        before = self.order
        self.order = self._order() if callable(self._order) else self._order
        return self.order != before

    def fill(self) -> None:
        """Admit what fits into the window."""
        while (node := self._next) is not None and self._fits(node):
            self._next = next(self._nodes, None)
            self._admit(node)
        if self.exhausted:
            for entry in self._entries.values():  # only where a plan promises more uses than it has
                self._stale(entry)
                entry.status = Status.FINISHED  # a flow may still be in line for another attempt
                self.host.release(entry.id)
            self._entries.clear()
            self._frames.clear()  # what is out of date in the queues may hold this front for a while

    def start(self, entry: ReadyNode) -> dict[NodeId, Any]:
        """Note that a worker is about to run the node, and return the values it reads."""
        inputs = {}
        for need in entry.node.needs:
            source = self._entries[need]
            self._stale(source)
            if source.recalled:
                source.value, source.recalled = self.host.recall(need), False
            inputs[need] = source.value
        entry.status = Status.RUNNING
        if entry.on_demand:
            entry.fresh = True
            self._flows_running += 1
            self._queues.fresh_flows += 1
        if not entry.started:
            entry.started = True
            self._announce(entry)
        return inputs

    def retry(self, entry: ReadyNode) -> None:
        """Put a node whose attempt failed back among the ready, if it is still wanted."""
        self._stale(entry)
        self._flows_running -= entry.on_demand
        if self._broken or (entry.on_demand and entry.uses_left == 0):
            self._end(entry, self._broken)
            return
        entry.status = Status.READY
        self._queues.push(entry)

    def give_up(self, entry: ReadyNode, error: str) -> None:
        """Note that a running node has failed for good: it is given up, with all that reads it, now or later."""
        self._stale(entry)
        self._flows_running -= entry.on_demand
        self._end(entry, (entry.id, error))

    def break_off(self, entry: ReadyNode, error: str) -> None:
        """Note that a running node has met with what no other will overcome: see `abandon`."""
        self.give_up(entry, error)
        self.abandon(entry, error)

    def abandon(self, entry: ReadyNode, error: str) -> None:
        """Give up all of the component for what a node has met with; what runs is waited for, and kept."""
        self._broken = (entry.id, error)
        for other in list(self._entries.values()):
            if other.status in (Status.WAITING, Status.READY):
                self._end(other, self._broken)

    def finish(self, entry: ReadyNode, value: Any) -> None:
        """Note that the node's result is kept: dependants may become ready, needs may become free."""
        entry.status = Status.FINISHED
        entry.value = value
        if entry.on_demand:
            self._flows_running -= 1
        else:
            self.unfinished -= 1
        for dependant in entry.dependants:
            dependant.waiting -= 1
            dependant.waiting_states -= entry.is_state
            self._advance(dependant)
        entry.dependants = []
        self._let_go(entry)

    def _fits(self, node: Node) -> bool:
        if self.unfinished == 0:
            return True
        while self._frames[0][2].status is Status.FINISHED:
            heapq.heappop(self._frames)
        return node.id.frame < self._frames[0][0] + self._window

    def _admit(self, node: Node) -> None:
        entry = ReadyNode(node, self)
        if node.id in self._entries:
            raise ValueError(f"the plan has node {node.id} twice")
        for need in node.needs:
            if need not in self._entries:
                raise ValueError(f"node {node.id} needs {need}, which the plan does not have before it, or no more")
        self._entries[node.id] = entry
        if self.host.is_done(node):
            entry.status, entry.recalled = Status.FINISHED, True
            self._skipped(entry)
            self._let_go(entry)
            return
        self.unfinished += not entry.on_demand
        if blame := self._broken or self._blame(node):
            self._end(entry, blame)
            return
        if not entry.on_demand:
            self._admitted += 1
            heapq.heappush(self._frames, (node.id.frame, self._admitted, entry))
        for need in node.needs:
            self._wait_for(entry, self._entries[need])
        self._advance(entry)

    def _blame(self, node: Node) -> tuple[NodeId, str] | None:
        """Why the node cannot be made, where one of its needs is given up."""
        return next((blame for need in node.needs if (blame := self._entries[need].blame)), None)

    def _end(self, entry: ReadyNode, blame: tuple[NodeId, str] | None) -> None:
        """Give a node up, and all admitted ones that read it. No blame: nobody will miss it."""
        ending = [entry]
        while ending:
            gone = ending.pop()
            if gone.status is Status.FINISHED:
                continue
            if gone.status is Status.READY:
                self._queues.drop(gone)
            self._queues.parked -= gone.parked
            self.parked -= gone.parked
            gone.parked = False
            if not gone.on_demand:
                self.unfinished -= 1
            gone.status, gone.blame, gone.value = Status.FINISHED, blame, None
            if blame and (not gone.on_demand or gone.id == blame[0]):
                self._given_up(gone)
            ending += gone.dependants
            gone.dependants = []
            self._let_go(gone)

    def _wait_for(self, entry: ReadyNode, source: ReadyNode) -> None:
        if source.status is Status.FINISHED:
            return
        entry.waiting += 1
        entry.waiting_states += source.is_state
        entry.unstarted_states += source.is_state and not source.started
        source.dependants.append(entry)
        if entry.wanted:
            self._want(source)

    def _want(self, source: ReadyNode) -> None:
        """Let a flow run that has found a reader, with the flows that it reads itself."""
        if source.wanted:
            return
        source.wanted = True
        for need in source.node.needs:
            self._want(self._entries[need])
        self._advance(source)

    def _announce(self, entry: ReadyNode) -> None:
        if entry.is_state:
            for dependant in entry.dependants:
                dependant.unstarted_states -= 1
                self._hasten(dependant)

    def _advance(self, entry: ReadyNode) -> None:
        """See whether the node can run now, or waits for flows only."""
        if entry.status is not Status.WAITING or not entry.wanted:
            return
        if entry.waiting == 0:
            entry.status = Status.READY
            self._queues.parked -= entry.parked
            self.parked -= entry.parked
            entry.parked = False
            self._queues.push(entry)
            return
        if entry.waiting_states == 0 and not entry.on_demand and not entry.parked:
            entry.parked = True
            self._queues.parked += 1
            self.parked += 1
        self._hasten(entry)

    def _hasten(self, entry: ReadyNode) -> None:
        """Give the flows that a node waits for the urgency that its states have earned."""
        if not entry.wanted or entry.status is not Status.WAITING:
            return
        if entry.on_demand:
            urgency = entry.urgency
        elif entry.waiting_states == 0:
            urgency = Urgency.NOW
        elif entry.unstarted_states == 0:
            urgency = Urgency.SOON
        else:
            return
        for need in entry.node.needs:
            source = self._entries[need]
            if source.on_demand and source.status < Status.RUNNING and urgency < source.urgency:
                source.urgency = urgency
                if source.status is Status.READY:
                    self._queues.push(source)
                else:
                    self._hasten(source)

    def _stale(self, source: ReadyNode) -> None:
        if source.fresh:
            source.fresh = False
            self._queues.fresh_flows -= 1

    def _let_go(self, entry: ReadyNode) -> None:
        """Count a finished node's reading of its needs, and retire what nobody will read any more."""
        for need in entry.node.needs:
            source = self._entries[need]
            source.uses_left -= 1
            if source.uses_left == 0 and (
                source.status is Status.FINISHED or (source.on_demand and source.status is not Status.RUNNING)
            ):
                self._retire(source)  # a state that is not finished may still be wanted for its frame
        if entry.uses_left == 0:
            self._retire(entry)

    def _retire(self, entry: ReadyNode) -> None:
        del self._entries[entry.id]
        self._stale(entry)
        never_ran = entry.status is not Status.FINISHED
        entry.status, entry.value, entry.last_error = Status.FINISHED, None, None
        self.host.release(entry.id)
        if never_ran:  # a flow that no unfinished node reads
            entry.uses_left = -1
            self._let_go(entry)
