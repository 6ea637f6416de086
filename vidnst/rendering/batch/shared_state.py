"""The clips that a batch has in work, and what its threads share about them."""

import queue
import threading

from vidnst.errors import VidnstError
from vidnst.events import (
    Cancelled,
    Event,
    FrameDone,
    NodeFailed,
    OnEvent,
    Suspected,
    Warned,
    WorkerDied,
    WorkerSetAside,
    WorkerTakenBack,
)
from vidnst.rendering.batch.clip import Clip
from vidnst.rendering.batch.job_state import JobStates, JobStatus, Ticket


class BatchState:
    """Where clips lie between those who prepare, render and pack them.

    Args:
        board: of the batch's jobs; its lock guards what lies here.
        on_event: hears of jobs, and of what a clip has to warn of; one call at a time.
    """

    def __init__(self, board: JobStates, on_event: OnEvent) -> None:
        self.board = board
        self.ready: list[Clip] = []
        """Prepared, with shots that the scheduler has not got."""
        self.open: list[Clip] = []
        """Rendering."""
        self.rendered: queue.SimpleQueue[Clip | None] = queue.SimpleQueue()
        """To be packed; None ends a packer."""
        self.closing = threading.Event()
        self.fatal: VidnstError | None = None
        """What ends the whole batch."""
        self.ahead = 2
        """Clips that are prepared before they are asked for."""
        self._on_event = on_event

    def end(self, clip: Clip, error: BaseException | None) -> None:
        """Let go of a clip that comes no further."""
        with self.board.lock:
            if clip in self.ready:
                self.ready.remove(clip)
            if clip in self.open:
                self.open.remove(clip)
            failure = str(error) if error is not None else clip.problem
            clip.close(failure or "stopped", failed=failure is not None)
            self.come_to_rest(clip.ticket, failure)

    def come_to_rest(self, ticket: Ticket, failure: str | None) -> None:
        """Say what has become of a job that nobody works at any more."""
        state: JobStatus = "cancelled" if ticket.cancelled else "queued" if failure is None else "failed"
        self.board.change(ticket, state, failure or "")

    def stopper(self, ticket: Ticket) -> Cancelled:
        """Says whether work at a job is to stop."""
        return lambda: self.closing.is_set() or ticket.cancelled

    def listener(self, ticket: Ticket) -> OnEvent:
        """Takes in what is told about a job's clip."""

        def hear(event: Event) -> None:
            match event:
                case FrameDone():
                    self.board.count_frame(ticket)
                case NodeFailed() | WorkerDied() | WorkerSetAside() | WorkerTakenBack() | Suspected() | Warned():
                    self.tell(Warned(f"{ticket.spec.name}: {event}"))
                case _:
                    pass

        return hear

    def tell(self, event: Event) -> None:
        """Tell the world, one event at a time."""
        with self.board.lock:
            self._on_event(event)
