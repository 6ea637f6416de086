"""Passes the scheduler's events on to a run's log and to the caller."""

import time
from collections.abc import Callable

from vidnst.config import Role
from vidnst.events import (
    FrameDone,
    NodeFailed,
    NodeGivenUp,
    NodeStarted,
    OnEvent,
    Paced,
    Stage,
    Suspected,
    Warned,
    WorkerDied,
    WorkerQuarantined,
    WorkerReinstated,
)
from vidnst.farm.interfaces import NodeEvent, NodeEventKind
from vidnst.farm.jobs import Stylized
from vidnst.farm.plan import FlowId, NetworkId, Node, SoundId
from vidnst.motion.flow import NotedFlowPair
from vidnst.rendering.pace import Pace
from vidnst.runs import RunStore

_PACE_SECONDS = 1.0
"""Least time between two reports of the pace."""


class Reporter:
    """Passes the scheduler's events on to the run's log and to the caller.

    Args:
        store: the run folder.
        on_event: the caller's listener.
        pace: counts the work.
        frames_done: frames that earlier sessions, or rounds, finished.
        stages: stages of the network's training.
        clock: a monotonic clock in seconds.
    """

    def __init__(
        self,
        store: RunStore,
        on_event: OnEvent,
        *,
        pace: Pace,
        frames_done: int,
        stages: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._stages = stages
        self._on_event = on_event
        self._pace = pace
        self._clock = clock
        self._paced: float | None = None
        self.frames_done = frames_done
        self._noted: set[str] = set()

    def __call__(self, event: NodeEvent) -> None:
        """Handle an event of the scheduler."""
        node = str(event.node.id)
        self._follow_pace(event)
        match event.kind:
            case NodeEventKind.STARTED:
                work = describe_work(event.node)
                self._on_event(NodeStarted(node, event.node.role, event.worker, event.attempt, work))
            case NodeEventKind.DONE if isinstance(event.node.id, NetworkId):
                self._on_event(Stage("training", event.node.id.stage, self._stages))
            case NodeEventKind.DONE if isinstance(event.result, Stylized):
                self._report_suspect(node, event.result)
                if event.node.final:
                    self._frame_done(event)
            case NodeEventKind.DONE if isinstance(event.result, NotedFlowPair) and event.result.note:
                self._note(event.result.note)
            case NodeEventKind.FAILED:
                self._store.record("failed", node=node, worker=event.worker, attempt=event.attempt, error=event.error)
                self._on_event(NodeFailed(node, event.worker, event.attempt, event.error))
            case NodeEventKind.DIED:
                self._store.record("died", node=node, worker=event.worker, attempt=event.attempt, error=event.error)
                self._on_event(WorkerDied(event.worker, node))
            case NodeEventKind.GIVEN_UP:  # the host has recorded it
                root = None if event.because is None else str(event.because)
                self._on_event(NodeGivenUp(node, event.error, root))
            case NodeEventKind.QUARANTINED:
                self._store.record("quarantined", worker=event.worker, node=node, error=event.error)
                self._on_event(WorkerQuarantined(event.worker, event.error))
            case NodeEventKind.REINSTATED:
                self._store.record("reinstated", worker=event.worker, node=node)
                self._on_event(WorkerReinstated(event.worker))
            case _:
                pass

    def _note(self, text: str) -> None:
        """Warn of something once, however many nodes it concerns."""
        if text not in self._noted:
            self._noted.add(text)
            self._on_event(Warned(text))

    def _follow_pace(self, event: NodeEvent) -> None:
        if event.kind is NodeEventKind.GIVEN_UP:
            self._pace.node_dropped(event.node)
        if event.kind is not NodeEventKind.DONE or isinstance(event.node.id, FlowId):
            return
        self._pace.node_done(event.node, *seconds_of(event))
        now = self._clock()
        if self._paced is None or now - self._paced >= _PACE_SECONDS:
            self._paced = now
            self._on_event(Paced(self._pace.share, self._pace.seconds_left))

    def _report_suspect(self, node: str, result: Stylized) -> None:
        if wrong := result.suspect or result.repaired:
            self._on_event(Suspected(node, wrong, repaired=not result.suspect))

    def _frame_done(self, event: NodeEvent) -> None:
        self.frames_done += 1
        result: Stylized = event.result
        losses = dict(result.losses)
        frame = event.node.id.frame
        self._on_event(FrameDone(frame, event.worker, losses, result.evaluations, result.seconds, self.frames_done))


def seconds_of(event: NodeEvent) -> tuple[float, float | None]:
    """The seconds that a node took one worker, and of them those of evaluations, if that is known."""
    seconds: float = getattr(event.result, "seconds", event.seconds)
    return seconds, getattr(event.result, "device_seconds", None)


def describe_work(node: Node) -> str:
    """Describe in words what a worker does for a node."""
    if isinstance(node.id, FlowId):
        return f"computing {node.id.describe()}"
    if isinstance(node.id, NetworkId):
        return f"training the network, stage {node.id.stage}"
    if isinstance(node.id, SoundId):
        return f"restyling {node.id.describe()}"
    what = "key frame" if node.role is Role.KEY else "frame"
    return f"painting {what} {node.id.frame}" + (f", pass {node.id.pass_index}" if node.id.pass_index else "")
