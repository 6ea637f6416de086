"""A sliding window over the plan of one component: the nodes that are admitted, ready, running, or still read."""

import heapq
from collections.abc import Callable
from typing import Any

from vidnst.config import Role
from vidnst.farm.interfaces import Component
from vidnst.farm.plan import Node, NodeId
from vidnst.farm.ready_queue import AdmittedNode, ReadyQueue, Status, Urgency


def default_window(workers: int, *, groups: int = 1, prefetch: int = 1) -> int:
    """Number of frames that may be in flight in one component, so that every worker finds work with any schedule.

    Args:
        workers: number of stylizing workers.
        groups: number of frames that the plan handles together; a few groups must fit.
        prefetch: number of nodes that each worker is given ahead of the one that it runs.
    """
    return max(32, 4 * workers * prefetch, 4 * groups)


class ComponentWindow:
    """The admitted nodes of a component.

    A node is admitted while its frame is less than `window` frames after the oldest unfinished one. So memory is
    bounded by the window and by what the plan itself keeps for long, not by the plan's length. A plan whose order does
    not suit the window runs as well, with less parallelism: if no admitted node is unfinished, the next is admitted.

    Args:
        component: its plan and host.
        queue: gets the nodes that become ready.
        window: number of frames.
        on_skipped, on_given_up: called with each node that an earlier session finished, or that is given up.
    """

    def __init__(
        self,
        component: Component,
        queue: ReadyQueue,
        *,
        window: int,
        on_skipped: Callable[[AdmittedNode], None],
        on_given_up: Callable[[AdmittedNode], None],
    ) -> None:
        self.host = component.host
        self.paused = component.paused
        self._order = component.order
        self.order = 0
        self.reorder()
        self.awaiting_flows = 0
        """Its stylizing nodes that wait for flows only."""
        self.unfinished = 0
        """Admitted stylizing nodes that are neither finished nor given up."""
        self.last_seconds: dict[Role, float] = {}
        """Duration of the last node of each role."""
        self.closed = False
        """True once the scheduler has counted it as done."""
        self._nodes = iter(component.nodes)
        self._next = next(self._nodes, None)
        self._queue = queue
        self._window = window
        self._on_skipped = on_skipped
        self._on_given_up = on_given_up
        self._flows_running = 0
        self._abandoned: tuple[NodeId, str] | None = None
        """The node for which the whole component is given up, and its error."""
        self._entries: dict[NodeId, AdmittedNode] = {}
        self._frames: list[tuple[int, int, AdmittedNode]] = []
        """Heap of admitted stylizing nodes by frame; the first unfinished one is where the window begins."""
        self._admitted = 0

    @property
    def exhausted(self) -> bool:
        """True if all of the component is done or given up."""
        return self._next is None and self.unfinished == 0 and self._flows_running == 0

    @property
    def is_polled(self) -> bool:
        """True if it may be paused, or change its order."""
        return self.paused is not None or callable(self._order)

    def reorder(self) -> bool:
        """Update the order; returns whether it has changed."""
        before = self.order
        self.order = self._order() if callable(self._order) else self._order
        return self.order != before

    def fill(self) -> None:
        """Admit the nodes that fit into the window."""
        while (node := self._next) is not None and self._fits(node):
            self._next = next(self._nodes, None)
            self._admit(node)
        if self.exhausted:
            for entry in self._entries.values():  # only if a plan promises more uses than it has
                self._mark_read(entry)
                entry.status = Status.FINISHED  # a flow may still be queued for another attempt
                self.host.release(entry.id)
            self._entries.clear()
            self._frames.clear()  # outdated items of the queue may keep this object alive for a while

    def start(self, entry: AdmittedNode) -> dict[NodeId, Any]:
        """Note that a worker is about to run the node, and return the values it reads."""
        inputs = {}
        for need in entry.node.needs:
            source = self._entries[need]
            self._mark_read(source)
            if source.stored:
                source.value, source.stored = self.host.load(need), False
            inputs[need] = source.value
        entry.status = Status.RUNNING
        if entry.on_demand:
            entry.unread = True
            self._flows_running += 1
            self._queue.unread_flows += 1
        if not entry.started:
            entry.started = True
            if entry.is_state:
                for dependant in entry.dependants:
                    dependant.unstarted_states -= 1
                    self._raise_urgency(dependant)
        return inputs

    def retry(self, entry: AdmittedNode) -> None:
        """Make a running node ready again, if it is still needed."""
        self._mark_read(entry)
        self._flows_running -= entry.on_demand
        if self._abandoned or (entry.on_demand and entry.uses_left == 0):
            self._end(entry, self._abandoned)
            return
        entry.status = Status.READY
        self._queue.push(entry)

    def give_up(self, entry: AdmittedNode, error: str) -> None:
        """Give up a running node that failed for good, and all nodes that read it, now or later."""
        self._mark_read(entry)
        self._flows_running -= entry.on_demand
        self._end(entry, (entry.id, error))

    def give_up_all(self, entry: AdmittedNode, error: str) -> None:
        """Give up a running node with an error that all others would meet, and abandon the component."""
        self.give_up(entry, error)
        self.abandon(entry, error)

    def abandon(self, entry: AdmittedNode, error: str) -> None:
        """Give up all of the component for a node's error; nodes that run are awaited, and their results stored."""
        self._abandoned = (entry.id, error)
        for other in list(self._entries.values()):
            if other.status in (Status.WAITING, Status.READY):
                self._end(other, self._abandoned)

    def finish(self, entry: AdmittedNode, value: Any) -> None:
        """Note that the node has a value: dependants may become ready, needs may be released."""
        entry.status = Status.FINISHED
        entry.value = value
        if entry.on_demand:
            self._flows_running -= 1
        else:
            self.unfinished -= 1
        for dependant in entry.dependants:
            dependant.pending_needs -= 1
            dependant.pending_states -= entry.is_state
            self._update(dependant)
        entry.dependants = []
        self._release_needs(entry)

    def _fits(self, node: Node) -> bool:
        if self.unfinished == 0:
            return True
        while self._frames[0][2].status is Status.FINISHED:
            heapq.heappop(self._frames)
        return node.window_frame is None or node.window_frame < self._frames[0][0] + self._window

    def _admit(self, node: Node) -> None:
        entry = AdmittedNode(node, self)
        if node.id in self._entries:
            raise ValueError(f"the plan has node {node.id} twice")
        for need in node.needs:
            if need not in self._entries:
                raise ValueError(f"node {node.id} needs {need}, which the plan does not have before it, or no more")
        self._entries[node.id] = entry
        if self.host.is_done(node):
            entry.status, entry.stored = Status.FINISHED, True
            self._on_skipped(entry)
            self._release_needs(entry)
            return
        self.unfinished += not entry.on_demand
        needs = [self._entries[need] for need in node.needs]
        if cause := self._abandoned or next((source.cause for source in needs if source.cause), None):
            self._end(entry, cause)
            return
        if not entry.on_demand:
            self._admitted += 1
            heapq.heappush(self._frames, (node.id.frame, self._admitted, entry))
        for source in needs:
            self._wait_for(entry, source)
        self._update(entry)

    def _wait_for(self, entry: AdmittedNode, source: AdmittedNode) -> None:
        if source.status is Status.FINISHED:
            return
        entry.pending_needs += 1
        entry.pending_states += source.is_state
        entry.unstarted_states += source.is_state and not source.started
        source.dependants.append(entry)
        if entry.needed:
            self._mark_needed(source)

    def _mark_needed(self, source: AdmittedNode) -> None:
        """Let a flow run that has a reader, with the flows that it reads itself."""
        if source.needed:
            return
        source.needed = True
        for need in source.node.needs:
            self._mark_needed(self._entries[need])
        self._update(source)

    def _update(self, entry: AdmittedNode) -> None:
        """Check whether a waiting node is ready, or waits for flows only."""
        if entry.status is not Status.WAITING or not entry.needed:
            return
        if entry.pending_needs == 0:
            entry.status = Status.READY
            self._set_awaits_flows(entry, False)
            self._queue.push(entry)
            return
        if entry.pending_states == 0 and not entry.on_demand:
            self._set_awaits_flows(entry, True)
        self._raise_urgency(entry)

    def _set_awaits_flows(self, entry: AdmittedNode, awaits: bool) -> None:
        change = awaits - entry.awaits_flows
        self._queue.awaiting_flows += change
        self.awaiting_flows += change
        entry.awaits_flows = awaits

    def _raise_urgency(self, entry: AdmittedNode) -> None:
        """Give the flows that a node waits for the urgency that follows from its states."""
        if not entry.needed or entry.status is not Status.WAITING:
            return
        if entry.on_demand:
            urgency = entry.urgency
        elif entry.pending_states == 0:
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
                    self._queue.push(source)
                else:
                    self._raise_urgency(source)

    def _mark_read(self, source: AdmittedNode) -> None:
        if source.unread:
            source.unread = False
            self._queue.unread_flows -= 1

    def _end(self, entry: AdmittedNode, cause: tuple[NodeId, str] | None) -> None:
        """Give up a node and all admitted ones that read it; without a cause, a flow that nothing needs any more."""
        ending = [entry]
        while ending:
            ended = ending.pop()
            if ended.status is Status.FINISHED:
                continue
            if ended.status is Status.READY:
                self._queue.drop(ended)
            self._set_awaits_flows(ended, False)
            if not ended.on_demand:
                self.unfinished -= 1
            ended.status, ended.cause, ended.value = Status.FINISHED, cause, None
            if cause and (not ended.on_demand or ended.id == cause[0]):
                self._on_given_up(ended)
            ending += ended.dependants
            ended.dependants = []
            self._release_needs(ended)

    def _release_needs(self, entry: AdmittedNode) -> None:
        """Count a finished node as a reader of its needs, and remove nodes that nothing reads any more."""
        for need in entry.node.needs:
            source = self._entries[need]
            source.uses_left -= 1
            if source.uses_left == 0 and (
                source.status is Status.FINISHED or (source.on_demand and source.status is not Status.RUNNING)
            ):
                self._remove(source)  # a state that is not finished may still be needed for its frame
        if entry.uses_left == 0:
            self._remove(entry)

    def _remove(self, entry: AdmittedNode) -> None:
        del self._entries[entry.id]
        self._mark_read(entry)
        never_ran = entry.status is not Status.FINISHED
        entry.status, entry.value, entry.last_error = Status.FINISHED, None, None
        self.host.release(entry.id)
        if never_ran:  # a flow that no unfinished node reads
            entry.uses_left = -1
            self._release_needs(entry)
