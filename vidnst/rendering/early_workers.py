"""Workers that start in a thread while a render is still being prepared, since Ray takes seconds to start."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeAlias

from vidnst.config import FarmConfig
from vidnst.farm.jobs import SharingPool
from vidnst.farm.provisioning import WorkerCounts, start_workers
from vidnst.processes.uninterrupted import uninterrupted
from vidnst.runs import holds_run
from vidnst.runs.request import Request

_log = logging.getLogger(__name__)

StartWorkers: TypeAlias = Callable[..., AbstractContextManager[tuple[SharingPool, WorkerCounts]]]


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


class EarlyWorkers:
    """Starts the workers of a new render in a thread, for whoever enters `started` later.

    Leaving the block ends them. No signal interrupts their start or their end, as elsewhere. The thread lives as long
    as they do: Linux ends Ray's processes together with the thread that has started them.

    Args:
        start: starts workers, with the signature of `start_workers`.
    """

    def __init__(self, start: StartWorkers = start_workers) -> None:
        self._start = start
        self._asked: WorkersAsked | None = None
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._over = threading.Event()
        self._workers: tuple[SharingPool, WorkerCounts] | None = None
        self._error: BaseException | None = None

    def begin(self, request: Request, frames: int) -> None:
        """Begin to start the workers of a request, if it needs some in any case, and how many does not depend on shots.

        What an earlier session left may need none, or may be refused.
        """
        config = request.config
        if needs_workers(request) and config.farm.executor == "ray" and config.schedule.kind != "chain":
            raft = config.motion.method == "raft" and config.schedule.kind != "independent"
            self.ask(WorkersAsked(config.farm, frames, raft=raft))

    def ask(self, asked: WorkersAsked) -> None:
        """Begin to start workers; once at most."""
        self._asked = asked
        self._thread = threading.Thread(target=self._run, args=[asked], name="start-workers", daemon=True)
        self._thread.start()

    @property
    def are_ready(self) -> bool:
        """True once the workers that were begun have started, or failed to."""
        return self._ready.is_set()

    @contextmanager
    def started(self, asked: WorkersAsked) -> Iterator[tuple[SharingPool, WorkerCounts]]:
        """Wait for the workers, or start them now if none, or others, were begun; they stop when the block is left.

        Raises:
            FarmError: they cannot be started.
        """
        if asked != self._asked:
            self._end()
            with self._enter(asked) as workers:
                yield workers
            return
        with uninterrupted():
            self._ready.wait()
        if self._error is not None:
            raise self._error
        assert self._workers is not None
        try:
            yield self._workers
        finally:
            self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _run(self, asked: WorkersAsked) -> None:
        try:
            with self._enter(asked) as self._workers:
                self._ready.set()
                self._over.wait()
        except BaseException as error:  # it is raised where the workers are wanted
            self._error = error
            _log.info("workers that were started early: %s", error)
        finally:
            self._ready.set()

    def _enter(self, asked: WorkersAsked) -> AbstractContextManager[tuple[SharingPool, WorkerCounts]]:
        return self._start(asked.farm, width=asked.width, threads=asked.threads, raft=asked.raft, inline=asked.inline)

    def _end(self) -> None:
        """End the workers that were begun, as soon as they have started."""
        self._over.set()
        if self._thread is not None:
            with uninterrupted():
                self._thread.join()
            self._asked = None
