"""Workers that start in a thread while a render is still being prepared, since Ray takes seconds to start."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeAlias

from vidnst.config import FarmConfig
from vidnst.errors import CancelledError
from vidnst.events import Cancelled, stop_if_asked
from vidnst.farm.jobs import SharingPool
from vidnst.farm.provisioning import WorkerCounts, start_workers
from vidnst.processes.abandoned_work import abandon, wait_for_abandoned
from vidnst.processes.uninterrupted import uninterrupted
from vidnst.runs import holds_run
from vidnst.runs.request import Request

_log = logging.getLogger(__name__)

Workers: TypeAlias = tuple[SharingPool, WorkerCounts]
StartWorkers: TypeAlias = Callable[..., AbstractContextManager[Workers]]

_POLL_SECONDS = 0.1


def needs_workers(request: Request) -> bool:
    """True if a request that passes all checks has frames to paint: no earlier session can have finished them."""
    return request.config.stylizes and not holds_run(request.folder)


@dataclass(frozen=True, slots=True)
class WorkersAsked:
    """What `start_workers` is asked for."""

    farm: FarmConfig
    width: int
    """Number of nodes that can run at once."""
    threads: int | None = None
    """Threads of each worker in earlier sessions."""
    raft: bool = False
    """True if flow workers need a share of the GPU."""
    inline: bool = False
    """True if threads of this process suffice."""

    @property
    def starts_at_once(self) -> bool:
        """True if no process must start."""
        return self.inline or self.farm.executor == "inline"


class _Start:
    """The start of workers in a thread, which ends them, too: Linux ends Ray's processes with the thread that started
    them. The interpreter waits for it at its end.

    Args:
        enter: starts the workers.
    """

    def __init__(self, enter: Callable[[], AbstractContextManager[Workers]]) -> None:
        self.ready = threading.Event()
        """Set once the workers have started, or failed to."""
        self.error: BaseException | None = None
        self.workers: Workers | None = None
        self._over = threading.Event()
        self._enter = enter
        self._thread = threading.Thread(target=self._run, name="start-workers")
        self._thread.start()

    def _run(self) -> None:
        try:
            wait_for_abandoned()
            if self._over.is_set():
                return
            with self._enter() as self.workers:
                self.ready.set()
                self._over.wait()
        except BaseException as error:  # it is raised where the workers are wanted
            self.error = error
            _log.info("workers that were started early: %s", error)
        finally:
            self.ready.set()

    def end(self, is_stopping: Cancelled | None, *, hastily: bool = False) -> None:
        """End the workers as soon as they have started, and wait for that.

        A command that is stopping does not wait for the start; nor for the end, `hastily` or if that is interrupted.
        """
        self._over.set()
        if is_stopping is None:
            with uninterrupted():
                self._thread.join()
            return
        try:
            while self._thread.is_alive():
                if is_stopping() and (hastily or not self.ready.is_set()):
                    abandon(self._thread)
                    return
                self._thread.join(_POLL_SECONDS)
        except KeyboardInterrupt:
            abandon(self._thread)
            raise


class EarlyWorkers:
    """Starts the workers of a new render in a thread, for whatever enters `started` later.

    Leaving the block ends them. Where nothing can ask for a stop, no signal interrupts their start or their end.

    Args:
        start: starts workers, with the signature of `start_workers`.
        cancelled: asked several times a second while the workers start or end; True, and their start is left to itself.
    """

    def __init__(self, start: StartWorkers = start_workers, cancelled: Cancelled | None = None) -> None:
        self._start_workers = start
        self._cancelled = cancelled
        self._asked: WorkersAsked | None = None
        self._start: _Start | None = None

    def begin(self, request: Request, frames: int) -> None:
        """Begin to start the workers of a request, if it needs some in any case, and how many does not depend on shots.

        What an earlier session left may need none, or may be refused.
        """
        stop_if_asked(self._cancelled)
        config = request.config
        if needs_workers(request) and config.farm.executor == "ray" and config.schedule.kind != "chain":
            raft = config.motion.method == "raft" and config.schedule.kind != "independent"
            self.ask(WorkersAsked(config.farm, frames, raft=raft))

    def ask(self, asked: WorkersAsked) -> None:
        """Begin to start workers, after the end of those that were begun before."""
        self._end()
        self._asked = asked
        self._start = _Start(lambda: self._enter(asked))

    @property
    def are_ready(self) -> bool:
        """True once the workers that were begun have started, or failed to."""
        return self._start is not None and self._start.ready.is_set()

    @contextmanager
    def started(self, asked: WorkersAsked) -> Iterator[Workers]:
        """Wait for the workers, or start them now if none, or others, were begun; they stop when the block is left.

        Raises:
            FarmError: they cannot be started.
            CancelledError: `cancelled` said so while they were starting.
        """
        if asked != self._asked:
            self._end()
            if asked.starts_at_once:
                with self._enter(asked) as workers:
                    yield workers
                return
            self.ask(asked)
        assert self._start is not None
        try:
            yield self._wait(self._start)
        except KeyboardInterrupt:
            self._end(hastily=True)
            raise
        finally:
            self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _wait(self, start: _Start) -> Workers:
        if self._cancelled is None:
            with uninterrupted():
                start.ready.wait()
        else:
            while not start.ready.wait(_POLL_SECONDS):
                if self._cancelled():
                    raise CancelledError("stopped while the workers were starting")
        if start.error is not None:
            raise start.error
        assert start.workers is not None
        return start.workers

    def _enter(self, asked: WorkersAsked) -> AbstractContextManager[Workers]:
        return self._start_workers(
            asked.farm, width=asked.width, threads=asked.threads, raft=asked.raft, inline=asked.inline
        )

    def _end(self, *, hastily: bool = False) -> None:
        """End the workers that were begun, as soon as they have started."""
        if self._start is not None:
            start, self._start, self._asked = self._start, None, None
            start.end(self._cancelled, hastily=hastily)
