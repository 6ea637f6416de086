"""The threads that prepare clips before workers ask for them."""

from vidnst.errors import CancelledError, DiskFullError, VidnstError
from vidnst.rendering.batch.clip import Clip
from vidnst.rendering.batch.job_state import Ticket
from vidnst.rendering.batch.shared_state import BatchState
from vidnst.rendering.batch.shared_weights import WeightCache
from vidnst.rendering.batch.skip_finished import finished_frames
from vidnst.rendering.pipeline import begin

_IDLE_SECONDS = 0.05


class Preparer:
    """Prepares one clip after the other, the most urgent first; for several threads."""

    def __init__(self, floor: BatchState) -> None:
        self._floor = floor
        self._alike = WeightCache()

    def run(self) -> None:
        """Until the batch closes."""
        floor = self._floor
        while not floor.closing.is_set():
            ticket = self._next()
            if ticket is None:
                floor.closing.wait(_IDLE_SECONDS)
                continue
            try:
                self._prepare(ticket)
            except CancelledError:
                floor.come_to_rest(ticket, None)
            except DiskFullError as error:
                floor.fatal = error
                floor.come_to_rest(ticket, str(error))
            except VidnstError as error:
                floor.come_to_rest(ticket, str(error))
            except Exception as error:  # one clip must not take the others with it
                floor.come_to_rest(ticket, f"{type(error).__name__}: {error}")

    def _next(self) -> Ticket | None:
        """The most urgent job that nobody has begun, if there is room: those of lower priority take none away."""
        board = self._floor.board
        with board.lock:
            tickets = board.tickets.values()
            queued = [ticket for ticket in tickets if ticket.state == "queued" and not ticket.paused]
            ticket = min(queued, key=lambda ticket: ticket.urgency, default=None)
            if ticket is None:
                return None
            priority = ticket.spec.priority
            ahead = sum(other.state == "preparing" and other.spec.priority >= priority for other in tickets)
            if ahead >= self._floor.ahead:
                return None
            board.change(ticket, "preparing")
            return ticket

    def _prepare(self, ticket: Ticket) -> None:
        floor, request = self._floor, ticket.spec.request
        if (frames := finished_frames(ticket.spec)) is not None:
            ticket.frames = ticket.frames_done = frames
            floor.board.change(ticket, "done", "finished before")
            return
        request.output.parent.mkdir(parents=True, exist_ok=True)
        begun = begin(request, on_event=floor.listener(ticket), cancelled=floor.stopper(ticket))
        try:
            clip = Clip(ticket, self._alike.share(begun))
        except BaseException:
            begun.store.close()
            raise
        with floor.board.lock:
            ticket.frames, ticket.frames_done = clip.frames, clip.frames_done
            if clip.rendered:
                floor.board.change(ticket, "encoding")
                floor.rendered.put(clip)
            else:
                floor.ready.append(clip)
