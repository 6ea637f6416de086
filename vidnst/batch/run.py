"""Renders all jobs of a file on one pool: clips are prepared ahead and packed behind, so that no worker waits."""

import shlex
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidnst.batch.board import Board, Ticket
from vidnst.batch.clip import Clip
from vidnst.batch.ending import is_near
from vidnst.batch.floor import Floor
from vidnst.batch.jobfile import read_jobs
from vidnst.batch.looks import Looks
from vidnst.batch.packing import pack_all
from vidnst.batch.preparing import Preparer
from vidnst.config import FarmConfig
from vidnst.errors import CancelledError, ConfigError, VidnstError
from vidnst.events import Cancelled, OnEvent, Warned, ignore
from vidnst.farm.front import default_window
from vidnst.farm.host import Component
from vidnst.farm.host import Event as NodeEvent
from vidnst.farm.jobs import SharingPool
from vidnst.farm.looks import LooksWorkerFactory
from vidnst.farm.scheduler import run_plan
from vidnst.farm.staff import Staff, hire_crews, local_cores
from vidnst.opening import record_threads, recorded_threads
from vidnst.plan import Lane
from vidnst.source import CACHE_BYTES

_LOOK_SECONDS = 0.5
"""Between two looks at wishes and at the file of jobs."""
_MOST_AHEAD = 32
"""Clips prepared ahead: short ones begin and end in waves, and then each worker may want another."""
_PREPARERS = 2
_WIDTH = 1 << 20
"""Nodes that can run at once: there is always another clip."""
_MOST_SHOTS_AT_END = 3
"""For each worker: shots that are open at once when all are to be begun."""
_MOST_SHOTS_URGENT = 4
"""For each worker: shots that are open at once when urgent ones come; that leaves each worker one of those."""
_PLACES = 1 << 20
"""More than there are places in a file: a priority weighs more than any place."""


@dataclass(frozen=True, slots=True)
class Summary:
    """How a batch ended, counted in jobs."""

    done: int
    failed: int
    cancelled: int


def run_batch(
    jobs: Path,
    *,
    farm: Mapping[str, Any] | None = None,
    on_event: OnEvent = ignore,
    cancelled: Cancelled | None = None,
) -> Summary:
    """Render the jobs of a file; what an earlier call has finished is not rendered again.

    Args:
        jobs: see `read_jobs`. It is read again when it changes.
        farm: settings of the `farm` section that win over the file's.
        on_event: hears of every job's changes, one call at a time, from several threads.
        cancelled: asked several times a second whether to stop.

    Raises:
        ConfigError: the file is wrong, with the place.
        RunError: another process renders this batch.
        FarmError: the workers cannot be had, or are all lost.
        DiskFullError: no space left.
        CancelledError: `cancelled` said so; what is finished is kept, and the same call goes on.
    """
    asked = read_jobs(jobs, farm=farm)
    board = Board(jobs, on_event)
    try:
        board.update(asked.clips)
        return _Batch(jobs, board, asked.farm, farm, on_event, cancelled or (lambda: False)).run()
    except CancelledError as error:
        raise CancelledError(error.what, f"go on with: vidnst batch {shlex.quote(str(jobs))}") from error
    finally:
        board.close()


class _Batch:
    """One call of `run_batch`.

    Three kinds of threads work on a clip, one after the other: some prepare it, the caller's has it rendered, others
    pack and measure it.
    """

    def __init__(
        self,
        path: Path,
        board: Board,
        farm: FarmConfig,
        over: Mapping[str, Any] | None,
        on_event: OnEvent,
        cancelled: Cancelled,
    ) -> None:
        self._path = path
        self._board = board
        self._farm = farm
        self._farm_over = over
        self._cancelled = cancelled
        self._floor = Floor(board, on_event)
        self._looks: Looks | None = None
        self._workers: tuple[str, ...] = ()
        self._near_end = False
        """Whether all shots are to be begun, and none goes before another of its priority."""
        self._looked = time.monotonic()
        self._stamp = _stamp(path)

    def run(self) -> Summary:
        """Until every job is over."""
        self._board.obey()  # what was wished before: it may be that only this leaves anything to do
        self._board.write(now=True)
        preparer, packers = Preparer(self._floor), max(1, min(4, local_cores() // 2))
        threads = [
            *(threading.Thread(target=preparer.run, name=f"prepare-{n}", daemon=True) for n in range(_PREPARERS)),
            *(
                threading.Thread(target=pack_all, args=[self._floor], name=f"pack-{n}", daemon=True)
                for n in range(packers)
            ),
        ]
        for thread in threads:
            thread.start()
        waits = True
        try:
            with ExitStack() as stack:
                self._drive(stack)
        except (CancelledError, KeyboardInterrupt) as error:
            waits = not isinstance(error.__cause__ or error, KeyboardInterrupt)  # else it was asked to stop twice
            raise
        finally:
            self._floor.closing.set()
            self._dismiss(threads, waits=waits)
        states = [ticket.state for ticket in self._board.tickets.values()]
        return Summary(states.count("done"), states.count("failed"), states.count("cancelled"))

    def _drive(self, stack: ExitStack) -> None:
        crew: tuple[SharingPool, Staff] | None = None
        while not self._board.over:
            if self._tick():
                raise CancelledError("stopped")
            if not self._has_work():
                time.sleep(0.05)
                continue
            if crew is None:
                crew = stack.enter_context(self._hire())
                self._looks = Looks(crew[0], crew[1].threads)
                self._workers = tuple(crew[0].workers(Lane.STYLE))
                self._floor.ahead = min(_MOST_AHEAD, 2 + len(self._workers))
                self._board.threads = crew[1].threads
                self._board.write(now=True)
            run_plan(
                _Feed(self),
                crew[0],
                window=self._farm.window or default_window(len(self._workers)),
                attempts=self._farm.attempts,
                listener=self._report,
                cancelled=self._tick,
                eager=self._is_eager,
            )
            self._leave_stuck()

    def _hire(self) -> Any:
        def crews(staff: Staff) -> tuple[LooksWorkerFactory, LooksWorkerFactory]:
            return LooksWorkerFactory(), LooksWorkerFactory()

        tickets = self._board.tickets.values()
        raft = any(ticket.spec.request.config.motion.method == "raft" for ticket in tickets)
        return hire_crews(self._farm, crews, width=_WIDTH, threads=self._board.threads, raft=raft)

    def next_component(self) -> Component | None:
        """The next shot of the most urgent clip that is ready; None where none is, for now."""
        while (clip := self._first_ready()) is not None:
            try:
                if clip.host is None:
                    self._begin_rendering(clip)
                component = clip.next_component(self._order_of(clip.ticket))
            except VidnstError as error:
                self._floor.end(clip, error)
                continue
            if clip.given_out:
                with self._board.lock:
                    self._floor.ready.remove(clip)
            return component
        return None

    def _first_ready(self) -> Clip | None:
        with self._board.lock:
            for clip in [clip for clip in self._floor.ready if clip.ticket.cancelled and clip.host is None]:
                self._floor.end(clip, None)
            able = [clip for clip in self._floor.ready if not clip.ticket.paused]
            return min(able, key=lambda clip: clip.ticket.urgency, default=None)

    def _order_of(self, ticket: Ticket) -> Callable[[], int]:
        """By priority, then by place; in the end by priority alone, which leaves it to how far the frames are."""
        return lambda: (0 if self._near_end else ticket.order) - ticket.spec.priority * _PLACES

    def _is_eager(self, shots: int) -> bool:
        """Whether the next shot is to begin though workers have work: the end is near, or theirs is less urgent.

        Args:
            shots: that are rendering. There is a limit, since each of them takes memory.
        """
        if shots >= _MOST_SHOTS_URGENT * len(self._workers) or (clip := self._first_ready()) is None:
            return False
        if self._near_end and shots < _MOST_SHOTS_AT_END * len(self._workers):
            return True
        priority = clip.ticket.spec.priority
        return any(other.ticket.spec.priority < priority for other in self._floor.open if not other.settled)

    def _begin_rendering(self, clip: Clip) -> None:
        assert self._looks is not None
        sharing = max(1, min(len(self._workers), len(self._board.tickets)), len(self._floor.open) + 1)
        clip.open(self._looks, room_bytes=CACHE_BYTES // sharing, workers=self._workers)
        store = clip.begun.store
        before, now = recorded_threads(store), self._board.threads
        if before is not None and before != now:
            note = f"its first frames were made with {before} threads and the others are with {now}: bytes may differ"
            clip.begun.chronicle(Warned(note))
        record_threads(store, now)
        self._floor.open.append(clip)
        self._board.change(clip.ticket, "rendering")

    def _report(self, event: NodeEvent) -> None:
        for clip in self._floor.open:
            if clip.host is event.host:
                clip.report(event)

    def _has_work(self) -> bool:
        with self._board.lock:
            return any(not clip.ticket.paused for clip in self._floor.ready)

    def _tick(self) -> bool:
        """What is to be done now and then in the caller's thread; whether to stop."""
        if self._floor.fatal is not None:
            raise self._floor.fatal
        for clip in [clip for clip in self._floor.open if clip.host is not None]:
            assert clip.host is not None
            clip.host.dropped |= clip.ticket.cancelled
            if clip.settled and clip.given_out:
                self._leave(clip)
        self._look_ahead()
        if time.monotonic() - self._looked >= _LOOK_SECONDS:
            self._looked = time.monotonic()
            self._board.obey()
            self._read_again()
            self._board.write()
        return self._cancelled()

    def _look_ahead(self) -> None:
        """See whether the end is near; where all is begun it stays as it was."""
        with self._board.lock:
            ready = [clip for clip in self._floor.ready if not clip.ticket.paused]
            known = {*ready, *(clip for clip in self._floor.open if not clip.ticket.paused)}
            tickets = [ticket for ticket in self._board.tickets.values() if not ticket.paused]
            coming = sum(ticket.state in ("queued", "preparing") for ticket in tickets)
        if ready:
            self._near_end = is_near(
                left=sum(clip.work_left for clip in known),
                unknown=max(0, coming - sum(clip.host is None for clip in ready)),
                clips=len(known),
                longest_path=max(clip.longest_path for clip in ready),
                workers=len(self._workers),
            )

    def _leave(self, clip: Clip) -> None:
        """Take a clip whose frames are all made, or never will be, away from the scheduler.

        Unless some came out unlike the others: these are given to it once more.
        """
        assert clip.host is not None
        try:
            again = clip.settled and clip.begin_again()
        except VidnstError as error:
            clip.host.fail(error)
        else:
            if again:
                with self._board.lock:
                    clip.ticket.frames_done = clip.frames_done
                    self._floor.ready.append(clip)
                return
        self._floor.open.remove(clip)
        clip.close_frames()
        if clip.ticket.cancelled or clip.problem is not None:
            self._floor.end(clip, None)
        else:
            self._board.change(clip.ticket, "encoding")
            self._floor.rendered.put(clip)

    def _leave_stuck(self) -> None:
        """Nothing runs any more: what is not settled then never will be."""
        for clip in [clip for clip in self._floor.open if clip.given_out]:
            assert clip.host is not None
            if not clip.settled and clip.problem is None:
                clip.host.failure = "some frames could not be rendered"
            self._leave(clip)

    def _read_again(self) -> None:
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._board.update(read_jobs(self._path, farm=self._farm_over).clips)
        except ConfigError as error:
            self._floor.tell(
                Warned(f"{self._path} has changed and cannot be used, so the jobs stay as they were: {error}")
            )

    def _dismiss(self, threads: Sequence[threading.Thread], *, waits: bool) -> None:
        """Let the threads end, each with what it has in work; and put back what none has."""
        for _ in threads if waits else ():
            self._floor.rendered.put(None)
        for thread in threads if waits else ():
            thread.join()
        self._put_back()
        for _ in () if waits else threads:
            self._floor.rendered.put(None)

    def _put_back(self) -> None:
        """Close what was in work; it is queued again for the next call."""
        while not self._floor.rendered.empty():
            if (clip := self._floor.rendered.get()) is not None:
                self._floor.end(clip, None)
        for clip in {*self._floor.open, *self._floor.ready}:
            with suppress(VidnstError):  # it must not hide why all ends
                self._floor.end(clip, None)


class _Feed:
    """What the scheduler takes components from: ends for now where none is ready, and may go on later."""

    def __init__(self, batch: _Batch) -> None:
        self._batch = batch

    def __iter__(self) -> Iterator[Component]:
        return self

    def __next__(self) -> Component:
        component = self._batch.next_component()
        if component is None:
            raise StopIteration
        return component


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
