"""A pool of threads in this process: for debugging, for tests, and for machines without Ray."""

import queue
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from vidnst.errors import FarmError
from vidnst.farm.jobs import DeviceLostError, Outcome, Shared, Worker, WorkerDiedError, WorkerGroup
from vidnst.farm.plan import Lane
from vidnst.farm.switch_interval import restore_switch_interval, shorten_switch_interval


class InlinePool:
    """Workers in daemon threads. Each is made in its thread when its first job comes.

    A worker that raises `WorkerDiedError` counts as dead: it is dropped, and a new one is made for the next job. A lost
    GPU ends the run, since it is lost to the whole process. An error while a worker is made is the outcome of the job
    that it is made for.

    Args:
        groups: the workers of each lane. Their shares of cores and GPUs are ignored.
    """

    def __init__(self, groups: Mapping[Lane, WorkerGroup]) -> None:
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._names = {lane: [f"{lane}-{number}" for number in range(group.count)] for lane, group in groups.items()}
        self._workers = {
            name: _ThreadedWorker(name, groups[lane], self._outcomes)
            for lane, names in self._names.items()
            for name in names
        }
        self._closed = False
        shorten_switch_interval()  # workers compute next to threads that decode, write and encode

    def workers(self, lane: Lane) -> Sequence[str]:
        """Names of the workers of a lane, in a fixed order."""
        return tuple(self._names.get(lane, ()))

    def submit(self, worker: str, job: Any) -> None:
        """Add a job to a worker's queue; it is run even if the worker dies in a job before it."""
        if self._closed:
            raise RuntimeError("the pool is closed")
        self._workers[worker].submit(job)

    def share(self, key: str, value: Any) -> Shared:
        """Make a value available to all workers."""
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
        """Stop all workers without waiting for them: a thread ends after the job that it runs. May be called twice."""
        if self._closed:
            return
        self._closed = True
        restore_switch_interval()
        for worker in self._workers.values():
            worker.close()


_STOP = object()


def _ended_process(error: DeviceLostError) -> FarmError:
    """The end of a run whose process has lost its GPU."""
    return FarmError(
        f"{error}, and this process cannot use it any more",
        "give the same command again: what is finished is kept; with --executor ray such a worker is replaced",
    )


class _ThreadedWorker:
    """One worker, its queue of jobs, and the threads that run them; outcomes leave in the order of jobs."""

    def __init__(self, name: str, group: WorkerGroup, outcomes: "queue.SimpleQueue[Outcome]") -> None:
        self._name = name
        self._factory = group.factory
        self._outcomes = outcomes
        self._jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._threads = [threading.Thread(name=name, target=self._run, daemon=True) for _ in range(group.concurrency)]
        self._take_lock = threading.Lock()
        self._make_lock = threading.Lock()
        self._turn = threading.Condition()
        self._taken = self._finished = 0
        self._closed = False
        self._worker: Worker | None = None

    def submit(self, job: Any) -> None:
        """Add a job."""
        self._jobs.put(job)
        for thread in self._threads:
            if thread.ident is None:
                thread.start()

    def close(self) -> None:
        """Let the threads end after the jobs that they run."""
        self._closed = True
        for _ in self._threads:
            self._jobs.put(_STOP)

    def _run(self) -> None:
        while True:
            with self._take_lock:
                if (job := self._jobs.get()) is _STOP or self._closed:
                    return
                number, self._taken = self._taken, self._taken + 1
            outcome = self._outcome(job)
            del job  # or it would stay in memory until the next one comes
            with self._turn:
                self._turn.wait_for(partial(self._is_next, number))
                self._outcomes.put(outcome)
                self._finished += 1
                self._turn.notify_all()
            del outcome

    def _is_next(self, number: int) -> bool:
        return self._finished == number

    def _outcome(self, job: Any) -> Outcome:
        try:
            with self._make_lock:
                worker = self._worker = self._worker or self._factory()
            return Outcome(self._name, value=worker.run(job))
        except DeviceLostError as error:  # another thread of this process can do nothing there either
            return Outcome(self._name, error=_ended_process(error))
        except WorkerDiedError as error:
            self._worker = None
            return Outcome(self._name, error=error, died=True)
        except BaseException as error:  # the scheduler handles whatever a worker raises
            return Outcome(self._name, error=error)
