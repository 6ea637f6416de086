"""A pool of threads in this process: for debugging, for tests, and for hosts without Ray."""

import queue
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from vidnst.farm.jobs import Outcome, Shared, Worker, WorkerDiedError, WorkerFactory
from vidnst.plan import Lane


class InlinePool:
    """Workers that live in daemon threads and are made there, each when its first job comes.

    A worker that raises `WorkerDiedError` counts as dead: it is dropped, and a fresh one is made for the next job.
    An error while a worker is made is the outcome of the job that it was made for.

    Args:
        crews: for each lane, what makes a worker and how many there are.
    """

    def __init__(self, crews: Mapping[Lane, tuple[WorkerFactory, int]]) -> None:
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._names = {lane: [f"{lane}-{number}" for number in range(count)] for lane, (_, count) in crews.items()}
        self._threads = {
            name: _WorkerThread(name, crews[lane][0], self._outcomes)
            for lane, names in self._names.items()
            for name in names
        }
        self._closed = False

    def workers(self, lane: Lane) -> Sequence[str]:
        """Names of the workers of a lane, in a fixed order."""
        return tuple(self._names.get(lane, ()))

    def submit(self, worker: str, job: Any) -> None:
        """Give a job to an idle worker."""
        if self._closed:
            raise RuntimeError("the pool is closed")
        thread = self._threads[worker]
        if not thread.is_alive():
            thread.start()
        thread.jobs.put(job)

    def share(self, key: str, value: Any) -> Shared:
        """A value for workers: in this process, the value itself."""
        return Shared(key, value)

    def wait(self, timeout_seconds: float) -> list[Outcome]:
        """Block until a worker has an outcome, or the time is up (then an empty list)."""
        try:
            outcomes = [self._outcomes.get(timeout=timeout_seconds)]
        except queue.Empty:
            return []
        while not self._outcomes.empty():  # the only reader is this thread
            outcomes.append(self._outcomes.get())
        return outcomes

    def close(self) -> None:
        """Stop all workers, without waiting for what they are doing: a thread in a job ends after it."""
        self._closed = True
        for thread in self._threads.values():
            thread.jobs.put(_STOP)


_STOP = object()


class _WorkerThread(threading.Thread):
    """One worker and its thread."""

    def __init__(self, name: str, factory: WorkerFactory, outcomes: "queue.SimpleQueue[Outcome]") -> None:
        super().__init__(name=name, daemon=True)
        self.jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._factory = factory
        self._outcomes = outcomes
        self._worker: Worker | None = None

    def run(self) -> None:
        """Run jobs until told to stop."""
        while (job := self.jobs.get()) is not _STOP:
            self._outcomes.put(self._outcome(job))
            del job  # or it would stay in memory until the next one comes

    def _outcome(self, job: Any) -> Outcome:
        try:
            if self._worker is None:
                self._worker = self._factory()
            return Outcome(self.name, value=self._worker.run(job))
        except WorkerDiedError as error:
            self._worker = None
            return Outcome(self.name, error=error, died=True)
        except BaseException as error:  # whatever a worker raises belongs to the scheduler
            return Outcome(self.name, error=error)
