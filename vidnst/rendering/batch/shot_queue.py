"""Which clip's shot the workers of a batch get next: by priority, then by place, and in the end all that are left."""

from collections.abc import Callable, Iterator, Sequence

from vidnst.errors import VidnstError
from vidnst.events import Warned
from vidnst.farm.interfaces import Component
from vidnst.rendering.batch.clip import Clip
from vidnst.rendering.batch.job_state import Ticket
from vidnst.rendering.batch.shared_state import BatchState
from vidnst.rendering.batch.shared_weights import StyleCache
from vidnst.rendering.batch.tail_balancing import is_near
from vidnst.rendering.run_setup import record_threads, recorded_threads
from vidnst.rendering.source_frames import CACHE_BYTES

_MOST_SHOTS_AT_END = 3
"""For each worker: shots that are open at once when all are to be begun."""
_MOST_SHOTS_URGENT = 4
"""For each worker: shots that are open at once when urgent ones come; that leaves each worker one of those."""
_PLACES = 1 << 20
"""More than there are places in a file: a priority weighs more than any place."""


class ShotQueue:
    """What the scheduler takes shots from: ends for now where no clip is ready, and may go on later.

    Args:
        floor: where clips lie that are ready; those that begin to render are put there, too.
        looks: of the workers.
        workers: names of the stylizing ones.
    """

    def __init__(self, floor: BatchState, looks: StyleCache, workers: Sequence[str]) -> None:
        self.workers = tuple(workers)
        self._floor = floor
        self._looks = looks
        self._near_end = False
        """Whether all shots are to be begun, and none goes before another of its priority."""

    def __iter__(self) -> Iterator[Component]:
        return self

    def __next__(self) -> Component:
        """The next shot of the most urgent clip that is ready.

        Raises:
            StopIteration: none is, for now.
        """
        while (clip := self._first_ready()) is not None:
            try:
                if clip.host is None:
                    self._begin_rendering(clip)
                component = clip.next_component(self._order_of(clip.ticket))
            except VidnstError as error:
                self._floor.end(clip, error)
                continue
            if clip.given_out:
                with self._floor.board.lock:
                    self._floor.ready.remove(clip)
            return component
        raise StopIteration

    def is_eager(self, shots: int) -> bool:
        """Whether the next shot is to begin though workers have work: the end is near, or theirs is less urgent.

        Args:
            shots: that are rendering. There is a limit, since each of them takes memory.
        """
        if shots >= _MOST_SHOTS_URGENT * len(self.workers) or (clip := self._first_ready()) is None:
            return False
        if self._near_end and shots < _MOST_SHOTS_AT_END * len(self.workers):
            return True
        priority = clip.ticket.spec.priority
        return any(other.ticket.spec.priority < priority for other in self._floor.open if not other.settled)

    def look_ahead(self) -> None:
        """See whether the end is near; where all is begun it stays as it was."""
        with self._floor.board.lock:
            ready = [clip for clip in self._floor.ready if not clip.ticket.paused]
            known = {*ready, *(clip for clip in self._floor.open if not clip.ticket.paused)}
            tickets = [ticket for ticket in self._floor.board.tickets.values() if not ticket.paused]
            coming = sum(ticket.state in ("queued", "preparing") for ticket in tickets)
        if ready:
            self._near_end = is_near(
                left=sum(clip.work_left for clip in known),
                unknown=max(0, coming - sum(clip.host is None for clip in ready)),
                clips=len(known),
                longest_path=max(clip.longest_path for clip in ready),
                workers=len(self.workers),
            )

    def _first_ready(self) -> Clip | None:
        with self._floor.board.lock:
            for clip in [clip for clip in self._floor.ready if clip.ticket.cancelled and clip.host is None]:
                self._floor.end(clip, None)
            able = [clip for clip in self._floor.ready if not clip.ticket.paused]
            return min(able, key=lambda clip: clip.ticket.urgency, default=None)

    def _begin_rendering(self, clip: Clip) -> None:
        sharing = max(1, min(len(self.workers), len(self._floor.board.tickets)), len(self._floor.open) + 1)
        clip.open(self._looks, room_bytes=CACHE_BYTES // sharing, workers=self.workers)
        store = clip.begun.store
        before, now = recorded_threads(store), self._floor.board.threads
        if before is not None and before != now:
            note = f"its first frames were made with {before} threads and the others are with {now}: bytes may differ"
            clip.begun.recorder(Warned(note))
        record_threads(store, now)
        self._floor.open.append(clip)
        self._floor.board.change(clip.ticket, "rendering")

    def _order_of(self, ticket: Ticket) -> Callable[[], int]:
        """By priority, then by place; in the end by priority alone, which leaves it to how far the frames are."""
        return lambda: (0 if self._near_end else ticket.order) - ticket.spec.priority * _PLACES
