"""A pool of threads in this process: for debugging, for tests, and for hosts without Ray."""

import queue
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from vidnst.farm.jobs import Outcome, Shared, Worker, WorkerDiedError, WorkerGroup
from vidnst.farm.plan import Lane


class InlinePool:
    """Workers that live in daemon threads, one for each hand, and are made there, each when its first job comes.

    A worker that raises `WorkerDiedError` counts as dead: it is dropped, and a fresh one is made for the next job.
    An error while a worker is made is the outcome of the job that it was made for.

    Args:
        teams: the workers of each lane. What they hold of cores and GPUs does not matter here.
    """

    def __init__(self, teams: Mapping[Lane, WorkerGroup]) -> None:
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._names = {lane: [f"{lane}-{number}" for number in range(team.count)] for lane, team in teams.items()}
        self._desks = {
            name: _Desk(name, teams[lane], self._outcomes) for lane, names in self._names.items() for name in names
        }
        self._closed = False

    def workers(self, lane: Lane) -> Sequence[str]:
        """Names of the workers of a lane, in a fixed order."""
        return tuple(self._names.get(lane, ()))

    def submit(self, worker: str, job: Any) -> None:
        """Give a job to a worker, which runs it after those that it has, even if it dies in one of them."""
        if self._closed:
            raise RuntimeError("the pool is closed")
        self._desks[worker].lay(job)

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
        for desk in self._desks.values():
            desk.close()


_STOP = object()


class _Desk:
    """One worker, its jobs, and the threads that take them up; outcomes leave in the order in which jobs came."""

    def __init__(self, name: str, team: WorkerGroup, outcomes: "queue.SimpleQueue[Outcome]") -> None:
        self._name = name
        self._factory = team.factory
        self._outcomes = outcomes
        self._jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._threads = [threading.Thread(name=name, target=self._run, daemon=True) for _ in range(team.concurrency)]
        self._taking = threading.Lock()
        self._making = threading.Lock()
        self._told = threading.Condition()
        self._taken = self._left = 0
        self._closed = False
        self._worker: Worker | None = None

    def lay(self, job: Any) -> None:
        """Add a job."""
        self._jobs.put(job)
        for thread in self._threads:
            if thread.ident is None:
                thread.start()

    def close(self) -> None:
        """Have the threads end after what they are at."""
        self._closed = True
        for _ in self._threads:
            self._jobs.put(_STOP)

    def _run(self) -> None:
        while True:
            with self._taking:
                if (job := self._jobs.get()) is _STOP or self._closed:
                    return
                number, self._taken = self._taken, self._taken + 1
            outcome = self._outcome(job)
            del job  # or it would stay in memory until the next one comes
            with self._told:
                self._told.wait_for(partial(self._is_next, number))
                self._outcomes.put(outcome)
                self._left += 1
                self._told.notify_all()
            del outcome

    def _is_next(self, number: int) -> bool:
        return self._left == number

    def _outcome(self, job: Any) -> Outcome:
        try:
            with self._making:
                worker = self._worker = self._worker or self._factory()
            return Outcome(self._name, value=worker.run(job))
        except WorkerDiedError as error:
            self._worker = None
            return Outcome(self._name, error=error, died=True)
        except BaseException as error:  # whatever a worker raises belongs to the scheduler
            return Outcome(self._name, error=error)
