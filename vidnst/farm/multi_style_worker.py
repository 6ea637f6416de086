"""A worker for jobs of any style set: each job says what makes the worker that can run it. Imports no Ray or torch."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Lock
from typing import Any

from vidnst.errors import FarmError, ScarceMemoryError, VidnstError
from vidnst.farm.device_errors import device_loss
from vidnst.farm.jobs import Refused, Shared, SkipJob, Worker, WorkerFactory
from vidnst.lru_cache import LruCache

_WARM = 8
"""Style sets that a worker keeps ready: more than are usually rendered at once, and small next to the optimiser's
memory."""

logger = logging.getLogger(__name__)


class MultiStyleWorker:
    """Runs each job on the worker of its style set, which is made for the set's first job and kept while in use.

    Several threads may call `run`: jobs of one style set run at the same time, so that one is uploaded while another
    is painted; jobs of different sets exclude each other, since together they could need more memory than one.

    Args:
        warm: number of style sets whose workers are kept.
    """

    def __init__(self, warm: int = _WARM) -> None:
        self._workers: LruCache[str, Worker] = LruCache(warm)
        self._workers_lock = Lock()
        self._turn = Condition()
        self._running_key = ""
        self._running_jobs = 0

    def run(self, job: Any) -> Any:
        """Run a job; returns None for a `SkipJob`, and `Refused` if the worker of its style set cannot be made.

        Raises:
            FarmError: the worker cannot be made on this machine, whatever the style set.
            DeviceLostError: the GPU computes nothing more in this process.
        """
        if isinstance(job, SkipJob):
            return None
        try:
            return self._run(job, job.style_set)
        except RuntimeError as error:
            if (loss := device_loss(error)) is not None:
                raise loss from error
            raise

    def _run(self, job: Any, style_set: Shared) -> Any:
        with self._alone_with(style_set.key):
            try:
                worker, has_others = self._worker(style_set)
            except FarmError:
                raise
            except VidnstError as error:
                return Refused(error)
            try:
                return worker.run(job)
            except ScarceMemoryError as error:
                if not has_others:
                    raise
                logger.info("out of memory with several style sets, keeping only the current one: %s", error.what)
            self._drop_others(style_set.key, worker)
            return worker.run(job)

    @contextmanager
    def _alone_with(self, key: str) -> Iterator[None]:
        """Wait until no job of another style set runs."""
        with self._turn:
            self._turn.wait_for(lambda: self._running_jobs == 0 or self._running_key == key)
            self._running_key = key
            self._running_jobs += 1
        try:
            yield
        finally:
            with self._turn:
                self._running_jobs -= 1
                self._turn.notify_all()

    def _worker(self, style_set: Shared) -> tuple[Worker, bool]:
        """The worker of a style set, and whether workers of other sets use memory."""
        with self._workers_lock:
            worker = self._workers.get(style_set.key, lambda: self._make(style_set))
            return worker, len(self._workers) > 1

    def _make(self, style_set: Shared) -> Worker:
        factory: WorkerFactory = style_set.get()
        logger.debug("making the worker of style set %s", style_set.key)
        return factory()

    def _drop_others(self, key: str, worker: Worker) -> None:
        with self._workers_lock:
            self._workers.clear()
            self._workers[key] = worker
