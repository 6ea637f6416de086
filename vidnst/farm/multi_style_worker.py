"""Workers around others: of several looks, where each job says what makes the worker that can do it; and those that
can skip a job. Knows neither Ray nor torch."""

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import Any

from vidnst.errors import FarmError, ScarceMemoryError, VidnstError
from vidnst.farm.jobs import Refused, Shared, SkipJob, Worker, WorkerFactory

_WARM = 8
"""Looks that a worker keeps ready: more than are usually in work at once, and small beside the optimiser's memory."""


class MultiStyleWorker:
    """Does jobs of any look, each with a worker made when the look's first job comes; those used last stay.

    Args:
        warm: how many stay.
    """

    def __init__(self, warm: int = _WARM) -> None:
        self._warm = warm
        self._workers: OrderedDict[str, Worker] = OrderedDict()
        self._running = Lock()
        """Several threads may come: two looks at once would want more memory than there is."""

    def run(self, job: Any) -> Any:
        """Run a job; None for one that is to be skipped, `Refused` for one whose look is wrong."""
        if isinstance(job, SkipJob):
            return None
        with self._running:
            return self._run(job)

    def _run(self, job: Any) -> Any:
        try:
            worker = self._worker(job.look)
        except FarmError:  # the machine's, not the look's
            raise
        except VidnstError as error:
            return Refused(error)
        try:
            return worker.run(job)
        except ScarceMemoryError:
            if len(self._workers) == 1:
                raise
        self._workers = OrderedDict({job.look.key: worker})  # the others can be made again
        return worker.run(job)

    def _worker(self, look: Shared) -> Worker:
        if look.key not in self._workers:
            while len(self._workers) >= self._warm:  # before the next one needs the room
                self._workers.popitem(last=False)
            self._workers[look.key] = look.get()()
        self._workers.move_to_end(look.key)
        return self._workers[look.key]


@dataclass(frozen=True, slots=True)
class MultiStyleWorkerFactory:
    """Makes a worker of several looks where it is to live."""

    warm: int = _WARM

    def __call__(self) -> MultiStyleWorker:
        return MultiStyleWorker(self.warm)


class SkippingWorker:
    """Does a worker's jobs but for those that are to be skipped: their answer is None."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def run(self, job: Any) -> Any:
        """Run a job."""
        return None if isinstance(job, SkipJob) else self._worker.run(job)


@dataclass(frozen=True, slots=True)
class SkippingWorkerFactory:
    """Makes a worker that may be told to skip a job, where it is to live."""

    factory: WorkerFactory

    def __call__(self) -> SkippingWorker:
        return SkippingWorker(self.factory())
