"""A pool of threads in this process: for debugging, for tests, and for machines without Ray."""

import ctypes
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from vidnst.errors import FarmError
from vidnst.farm.jobs import DeviceLostError, Outcome, Shared, Worker, WorkerDiedError, WorkerGroup, success
from vidnst.farm.plan import Lane
from vidnst.farm.switch_interval import restore_switch_interval, shorten_switch_interval

_JOIN_SECONDS = 2.0
"""Time that all threads together get to leave what they are doing."""


class _DismissedError(BaseException):
    """Raised in a thread whose pool is closed."""


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
        self._given = 0
        """Jobs whose outcomes have not been returned."""
        shorten_switch_interval()  # workers compute next to threads that decode, write and encode

    def workers(self, lane: Lane) -> Sequence[str]:
        """Names of the workers of a lane, in a fixed order."""
        return tuple(self._names.get(lane, ()))

    def submit(self, worker: str, job: Any) -> None:
        """Add a job to a worker's queue; it is run even if the worker dies in a job before it."""
        if self._closed:
            raise RuntimeError("the pool is closed")
        self._workers[worker].submit(job)
        self._given += 1

    def share(self, key: str, value: Any) -> Shared:
        """Make a value available to all workers."""
        return Shared(key, value)

    def hold(self, *values: Any) -> tuple[Any, ...]:
        """Return the values, which workers can read as they are."""
        return values

    @property
    def is_remote(self) -> bool:
        """False: workers are threads."""
        return False

    def settle(self) -> None:
        """Wait for all jobs, and drop their outcomes."""
        while self._given:
            self._outcomes.get()
            self._given -= 1

    def wait(self, timeout_seconds: float) -> list[Outcome]:
        """Block until a worker has an outcome, or the time is up (then an empty list)."""
        try:
            outcomes = [self._outcomes.get(timeout=timeout_seconds)]
        except queue.Empty:
            return []
        while not self._outcomes.empty():  # the only reader is this thread
            outcomes.append(self._outcomes.get())
        self._given -= len(outcomes)
        return outcomes

    def close(self) -> None:
        """Stop all workers: a thread drops its job as soon as it comes back from C code, which is waited for shortly.

        A thread that stayed in torch or OpenCV while the interpreter ends would abort the process.
        """
        if self._closed:
            return
        self._closed = True
        restore_switch_interval()
        for worker in self._workers.values():
            worker.close()
        deadline = time.monotonic() + _JOIN_SECONDS
        for worker in self._workers.values():
            worker.join(deadline)


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
        self._busy: set[int] = set()
        """Idents of threads that run a job."""
        self._busy_lock = threading.Lock()
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
        """Let the threads end."""
        self._closed = True
        with self._busy_lock:
            for ident in self._busy:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(_DismissedError))
        for _ in self._threads:
            self._jobs.put(_STOP)

    def join(self, deadline: float) -> None:
        """Wait for the threads until a moment of `time.monotonic`."""
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        with suppress(_DismissedError):
            self._take_jobs()

    def _take_jobs(self) -> None:
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
        ident = threading.get_ident()
        with self._busy_lock:
            if not self._closed:
                self._busy.add(ident)
        try:
            return self._result(job)
        finally:
            with self._busy_lock:
                self._busy.discard(ident)

    def _result(self, job: Any) -> Outcome:
        try:
            with self._make_lock:
                worker = self._worker = self._worker or self._factory()
            return success(self._name, worker.run(job))
        except _DismissedError:
            raise
        except DeviceLostError as error:  # another thread of this process can do nothing there either
            return Outcome(self._name, error=_ended_process(error))
        except WorkerDiedError as error:
            self._worker = None
            return Outcome(self._name, error=error, died=True)
        except BaseException as error:  # the scheduler handles whatever a worker raises
            return Outcome(self._name, error=error)
