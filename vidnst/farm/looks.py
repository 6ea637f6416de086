"""Workers of several looks: each job says what makes the worker that can do it. Knows neither Ray nor torch."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from vidnst.farm.jobs import SkipJob, Worker

_WARM = 8
"""Looks that a worker keeps ready: more than are usually in work at once, and small beside the optimiser's memory."""


class LooksWorker:
    """Does jobs of any look, each with a worker made when the look's first job comes; those used last stay.

    Args:
        warm: how many stay.
    """

    def __init__(self, warm: int = _WARM) -> None:
        self._warm = warm
        self._workers: OrderedDict[str, Worker] = OrderedDict()

    def run(self, job: Any) -> Any:
        """Run a job; None for one that is to be skipped."""
        if isinstance(job, SkipJob):
            return None
        look = job.look
        if look.key not in self._workers:
            while len(self._workers) >= self._warm:  # before the next one needs the room
                self._workers.popitem(last=False)
            self._workers[look.key] = look.get()()
        self._workers.move_to_end(look.key)
        return self._workers[look.key].run(job)


@dataclass(frozen=True, slots=True)
class LooksWorkerFactory:
    """Makes a worker of several looks where it is to live."""

    warm: int = _WARM

    def __call__(self) -> LooksWorker:
        return LooksWorker(self.warm)
