"""Renders all jobs of a file on one pool: clips are prepared ahead and packed behind, so that no worker waits."""

import shlex
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidnst.config import FarmConfig
from vidnst.errors import CancelledError, ConfigError, VidnstError
from vidnst.events import Cancelled, OnEvent, Warned, ignore
from vidnst.farm.component_window import default_window
from vidnst.farm.interfaces import NodeEvent as NodeEvent
from vidnst.farm.jobs import SharingPool
from vidnst.farm.plan import Lane
from vidnst.farm.provisioning import WorkerCounts, start_workers
from vidnst.farm.scheduler import run_plan
from vidnst.parallel import local_cores
from vidnst.rendering.batch.clip import Clip
from vidnst.rendering.batch.encode_threads import pack_all
from vidnst.rendering.batch.job_file import read_jobs
from vidnst.rendering.batch.job_state import JobStates
from vidnst.rendering.batch.prepare_threads import Preparer
from vidnst.rendering.batch.shared_state import BatchState
from vidnst.rendering.batch.shared_weights import StyleCache
from vidnst.rendering.batch.shot_queue import ShotQueue

_LOOK_SECONDS = 0.5
"""Between two looks at wishes and at the file of jobs."""
_MOST_AHEAD = 32
"""Clips prepared ahead: short ones begin and end in waves, and then each worker may want another."""
_PREPARERS = 2
_WIDTH = 1 << 20
"""Nodes that can run at once: there is always another clip."""


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
    board = JobStates(jobs, on_event)
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
        board: JobStates,
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
        self._floor = BatchState(board, on_event)
        self._feed: ShotQueue | None = None
        """None until there are workers."""
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
        pool: SharingPool | None = None
        while not self._board.over:
            if self._tick():
                raise CancelledError("stopped")
            if not self._has_work():
                time.sleep(0.05)
                continue
            if pool is None or self._feed is None:
                pool, staff = stack.enter_context(self._hire())
                self._feed = self._begin_feeding(pool, staff)
            run_plan(
                self._feed,
                pool,
                window=self._farm.window or default_window(len(self._feed.workers)),
                attempts=self._farm.attempts,
                listener=self._report,
                cancelled=self._tick,
                eager=self._feed.is_eager,
            )
            self._leave_stuck()

    def _begin_feeding(self, pool: SharingPool, staff: WorkerCounts) -> ShotQueue:
        workers = pool.workers(Lane.STYLE)
        self._floor.ahead = min(_MOST_AHEAD, 2 + len(workers))
        self._board.threads = staff.threads
        self._board.write(now=True)
        return ShotQueue(self._floor, StyleCache(pool, staff.threads), workers)

    def _hire(self) -> Any:
        tickets = self._board.tickets.values()
        raft = any(ticket.spec.request.config.motion.method == "raft" for ticket in tickets)
        return start_workers(self._farm, width=_WIDTH, threads=self._board.threads, raft=raft)

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
        if self._feed is not None:
            self._feed.look_ahead()
        if time.monotonic() - self._looked >= _LOOK_SECONDS:
            self._looked = time.monotonic()
            self._board.obey()
            self._read_again()
            self._board.write()
        return self._cancelled()

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


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
