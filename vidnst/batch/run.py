"""Renders all jobs of a file on one pool: clips are prepared ahead and packed behind, so that no worker waits."""

import os
import queue
import shlex
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vidnst.batch.board import OVER, Board, State, Ticket
from vidnst.batch.clip import Alike, Clip, Looks
from vidnst.batch.jobfile import ClipSpec, read_jobs
from vidnst.config import FarmConfig
from vidnst.entries import StyleText, parse_style
from vidnst.errors import CancelledError, ConfigError, DiskFullError, VidnstError
from vidnst.events import (
    Event,
    FrameDone,
    NodeFailed,
    OnEvent,
    Suspected,
    Warned,
    WorkerDied,
    WorkerSetAside,
    WorkerTakenBack,
    ignore,
)
from vidnst.farm.host import Component
from vidnst.farm.host import Event as NodeEvent
from vidnst.farm.jobs import SharingPool
from vidnst.farm.looks import LooksWorkerFactory
from vidnst.farm.scheduler import default_window, run_plan
from vidnst.farm.staff import Staff, hire_crews, local_cores
from vidnst.opening import record_threads, recorded_threads
from vidnst.pipeline import Cancelled, begin, finish
from vidnst.prepare import Request
from vidnst.presets import build_config
from vidnst.source import CACHE_BYTES
from vidnst.store import Manifest, holds_run, read_events, read_plan

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
        self._on_event = on_event
        self._cancelled = cancelled
        self._ready: list[Clip] = []
        """Prepared, with shots that the scheduler has not got."""
        self._open: list[Clip] = []
        """Rendering."""
        self._rendered: queue.SimpleQueue[Clip | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._fatal: VidnstError | None = None
        self._ahead = 2
        self._looks: Looks | None = None
        self._alike = Alike()
        self._workers = 1
        self._looked = time.monotonic()
        self._stamp = _stamp(path)

    def run(self) -> Summary:
        """Until every job is over."""
        self._board.obey()  # what was wished before: it may be that only this leaves anything to do
        self._board.write(now=True)
        threads = [
            threading.Thread(target=self._prepare_all, name=f"prepare-{number}", daemon=True)
            for number in range(_PREPARERS)
        ]
        packers = max(1, min(4, local_cores() // 2))
        threads += [
            threading.Thread(target=self._pack_all, name=f"pack-{number}", daemon=True) for number in range(packers)
        ]
        for thread in threads:
            thread.start()
        try:
            with ExitStack() as stack:
                self._drive(stack)
        finally:
            self._closing.set()
            for _ in range(packers):
                self._rendered.put(None)
            for thread in threads:
                thread.join()
            self._put_back()
        states = [ticket.state for ticket in self._board.tickets.values()]
        return Summary(states.count("done"), states.count("failed"), states.count("cancelled"))

    def _drive(self, stack: ExitStack) -> None:
        crew: tuple[SharingPool, Staff] | None = None
        while not self._over():
            if self._tick():
                raise CancelledError("stopped")
            if not self._has_work():
                time.sleep(0.05)
                continue
            if crew is None:
                crew = stack.enter_context(self._hire())
                self._looks = Looks(crew[0], crew[1].threads)
                self._workers = crew[1].style
                self._ahead = min(_MOST_AHEAD, 2 + self._workers)
                self._board.threads = crew[1].threads
                self._board.write(now=True)
            run_plan(
                _Feed(self),
                crew[0],
                window=self._farm.window or default_window(crew[1].style),
                attempts=self._farm.attempts,
                listener=self._report,
                cancelled=self._tick,
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
            ticket = clip.ticket
            try:
                if clip.host is None:
                    self._begin_rendering(clip)
                component = clip.next_component(ticket.order - ticket.spec.priority * (1 << 20))
            except VidnstError as error:
                self._end(clip, error)
                continue
            if clip.given_out:
                with self._board.lock:
                    self._ready.remove(clip)
            return component
        return None

    def _first_ready(self) -> Clip | None:
        with self._board.lock:
            for clip in [clip for clip in self._ready if clip.ticket.cancelled and clip.host is None]:
                self._end(clip, None)
            able = [clip for clip in self._ready if not clip.ticket.paused]
            return min(able, key=lambda clip: clip.ticket.urgency, default=None)

    def _begin_rendering(self, clip: Clip) -> None:
        assert self._looks is not None
        waiting = len(self._board.tickets)
        clip.open(self._looks, room_bytes=CACHE_BYTES // max(1, min(self._workers, waiting)))
        store = clip.begun.store
        before, now = recorded_threads(store), self._board.threads
        if before is not None and before != now:
            note = f"its first frames were made with {before} threads and the others are with {now}: bytes may differ"
            self._tell(Warned(f"{clip.ticket.spec.name}: {note}"))
        record_threads(store, now)
        self._open.append(clip)
        self._board.change(clip.ticket, "rendering")

    def _report(self, event: NodeEvent) -> None:
        for clip in self._open:
            if clip.host is event.host:
                clip.report(event)

    def _has_work(self) -> bool:
        with self._board.lock:
            return any(not clip.ticket.paused for clip in self._ready)

    def _over(self) -> bool:
        with self._board.lock:
            return all(ticket.state in OVER for ticket in self._board.tickets.values())

    def _tick(self) -> bool:
        """What is to be done now and then in the caller's thread; whether to stop."""
        if self._fatal is not None:
            raise self._fatal
        for clip in [clip for clip in self._open if clip.host is not None]:
            assert clip.host is not None
            clip.host.dropped |= clip.ticket.cancelled
            if clip.settled and clip.given_out:
                self._leave(clip)
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
                    self._ready.append(clip)
                return
        self._open.remove(clip)
        clip.close_frames()
        if clip.ticket.cancelled or clip.problem is not None:
            self._end(clip, None)
        else:
            self._board.change(clip.ticket, "encoding")
            self._rendered.put(clip)

    def _leave_stuck(self) -> None:
        """Nothing runs any more: what is not settled then never will be."""
        for clip in [clip for clip in self._open if clip.given_out]:
            assert clip.host is not None
            if not clip.settled and clip.problem is None:
                clip.host.failure = "some frames could not be rendered"
            self._leave(clip)

    def _end(self, clip: Clip, error: BaseException | None) -> None:
        """A clip that comes no further."""
        with self._board.lock:
            if clip in self._ready:
                self._ready.remove(clip)
            if clip in self._open:
                self._open.remove(clip)
            failure = str(error) if error is not None else clip.problem
            clip.close()
            self._come_to_rest(clip.ticket, failure)

    def _come_to_rest(self, ticket: Ticket, failure: str | None) -> None:
        state: State = "cancelled" if ticket.cancelled else "queued" if failure is None else "failed"
        self._board.change(ticket, state, failure or "")

    def _read_again(self) -> None:
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._board.update(read_jobs(self._path, farm=self._farm_over).clips)
        except ConfigError as error:
            self._tell(Warned(f"{self._path} has changed and cannot be used, so the jobs stay as they were: {error}"))

    def _prepare_all(self) -> None:
        """A thread: prepares clips, some ahead of the workers."""
        while not self._closing.is_set():
            ticket = self._first_queued()
            if ticket is None:
                self._closing.wait(0.05)
                continue
            try:
                self._prepare(ticket)
            except CancelledError:
                self._come_to_rest(ticket, None)
            except DiskFullError as error:
                self._fatal = error
                self._come_to_rest(ticket, str(error))
            except VidnstError as error:
                self._come_to_rest(ticket, str(error))
            except Exception as error:  # one clip must not take the others with it
                self._come_to_rest(ticket, f"{type(error).__name__}: {error}")

    def _first_queued(self) -> Ticket | None:
        with self._board.lock:
            tickets = self._board.tickets.values()
            if sum(ticket.state == "preparing" for ticket in tickets) >= self._ahead:
                return None
            queued = [ticket for ticket in tickets if ticket.state == "queued" and not ticket.paused]
            ticket = min(queued, key=lambda ticket: ticket.urgency, default=None)
            if ticket is not None:
                self._board.change(ticket, "preparing")
            return ticket

    def _prepare(self, ticket: Ticket) -> None:
        request = ticket.spec.request
        if (frames := finished_frames(ticket.spec)) is not None:
            ticket.frames = ticket.frames_done = frames
            self._board.change(ticket, "done", "finished before")
            return
        request.output.parent.mkdir(parents=True, exist_ok=True)
        begun = begin(request, on_event=self._listener(ticket), cancelled=self._stopper(ticket))
        try:
            clip = Clip(ticket, self._alike.share(begun), self._listener(ticket))
        except BaseException:
            begun.store.close()
            raise
        with self._board.lock:
            ticket.frames, ticket.frames_done = clip.frames, clip.frames_done
            if clip.rendered:
                self._board.change(ticket, "encoding")
                self._rendered.put(clip)
            else:
                self._ready.append(clip)

    def _pack_all(self) -> None:
        """A thread: packs and measures clips whose frames are all there."""
        while (clip := self._rendered.get()) is not None:
            ticket = clip.ticket
            try:
                finish(clip.begun, self._listener(ticket), self._stopper(ticket))
            except CancelledError:
                self._end(clip, None)
            except Exception as error:
                if isinstance(error, DiskFullError):
                    self._fatal = error
                self._end(clip, error)
            else:
                clip.close()
                self._board.change(ticket, "done")

    def _put_back(self) -> None:
        """Close what was in work; it is queued again for the next call."""
        while not self._rendered.empty():
            if (clip := self._rendered.get()) is not None:
                self._end(clip, None)
        for clip in {*self._open, *self._ready}:
            with suppress(VidnstError):  # it must not hide why all ends
                self._end(clip, None)

    def _stopper(self, ticket: Ticket) -> Cancelled:
        return lambda: self._closing.is_set() or ticket.cancelled

    def _listener(self, ticket: Ticket) -> OnEvent:
        def hear(event: Event) -> None:
            match event:
                case FrameDone():
                    self._board.count_frame(ticket)
                case NodeFailed() | WorkerDied() | WorkerSetAside() | WorkerTakenBack() | Suspected() | Warned():
                    self._tell(Warned(f"{ticket.spec.name}: {event}"))
                case _:
                    pass

        return hear

    def _tell(self, event: Event) -> None:
        with self._board.lock:
            self._on_event(event)


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


def finished_frames(spec: ClipSpec) -> int | None:
    """How many frames a job has whose output an earlier run has finished, just as the file asks for it; else None.

    The source's bytes are not compared: a source that was replaced under its name needs a new output.
    """
    request = spec.request
    folder, output = request.folder, request.output
    filled = output.is_file() or (output.is_dir() and any(output.iterdir()))
    if not filled or not holds_run(folder) or not (folder / "events.jsonl").is_file():
        return None
    finished = False
    for event in read_events(folder / "events.jsonl"):
        if event.get("kind") in ("done", "finished"):
            finished = event["kind"] == "finished"
    if not finished or not _same(Manifest.read(folder / "run.json"), request):
        return None
    start, end = (read_plan(folder) or {}).get("range", (0, 0))
    return int(end) - int(start)


def _same(manifest: Manifest, request: Request) -> bool:
    """Whether a run is of this request, as far as can be told without looking into its files."""
    was = [(mark.path, mark.weight, mark.at, mark.shots, mark.region) for mark in manifest.look.styles]
    now = [(text.path, text.weight, text.at, text.shots, text.region) for text in map(_parsed, request.styles)]
    return (
        was == now
        and manifest.sources == (os.path.abspath(str(request.source)),)
        and build_config(manifest.config).look() == request.config.look()
    )


def _parsed(text: str) -> StyleText:
    """The parts of a style's text, with its absolute path."""
    parsed = parse_style(text)
    return replace(parsed, path=os.path.abspath(parsed.path))


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
