"""Passes the scheduler's events on to a run's log and to the caller."""

from vidnst.events import (
    FrameDone,
    NodeFailed,
    NodeGivenUp,
    NodeStarted,
    OnEvent,
    Stage,
    Suspected,
    Warned,
    WorkerDied,
    WorkerQuarantined,
    WorkerReinstated,
)
from vidnst.farm.interfaces import NodeEvent, NodeEventKind
from vidnst.farm.jobs import Stylized
from vidnst.farm.plan import NetworkId
from vidnst.motion.flow import NotedFlowPair
from vidnst.runs import RunStore


class Reporter:
    """Passes the scheduler's events on to the run's log and to the caller."""

    def __init__(self, store: RunStore, on_event: OnEvent, *, frames_done: int, stages: int) -> None:
        self._store = store
        self._stages = stages
        self._on_event = on_event
        self.frames_done = frames_done
        self._noted: set[str] = set()

    def __call__(self, event: NodeEvent) -> None:
        """Handle an event of the scheduler."""
        node = str(event.node.id)
        match event.kind:
            case NodeEventKind.STARTED:
                self._on_event(NodeStarted(node, event.node.role, event.worker, event.attempt))
            case NodeEventKind.DONE if isinstance(event.node.id, NetworkId):
                self._on_event(Stage("training", event.node.id.stage, self._stages))
            case NodeEventKind.DONE if isinstance(event.result, Stylized):
                self._report_suspect(node, event.result)
                if event.node.final:
                    self._frame_done(event)
            case NodeEventKind.DONE if isinstance(event.result, NotedFlowPair):
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

    def _report_suspect(self, node: str, result: Stylized) -> None:
        if wrong := result.suspect or result.repaired:
            self._on_event(Suspected(node, wrong, repaired=not result.suspect))

    def _frame_done(self, event: NodeEvent) -> None:
        self.frames_done += 1
        result: Stylized = event.result
        losses = dict(result.losses)
        frame = event.node.id.frame
        self._on_event(FrameDone(frame, event.worker, losses, result.evaluations, result.seconds, self.frames_done))
