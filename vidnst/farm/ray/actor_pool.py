"""A pool of Ray actors, on this machine or on a cluster."""

import logging
import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from vidnst.errors import FarmError
from vidnst.farm.jobs import Outcome, Shared, Worker, WorkerDiedError, WorkerFactory, WorkerGroup
from vidnst.farm.malloc import keep_freed_memory
from vidnst.farm.plan import Lane
from vidnst.farm.ray.connection import RaySession
from vidnst.farm.ray.errors import original_error, process_end, start_error
from vidnst.openmp import set_openmp_defaults

_DEATHS = 3
"""Deaths in a row, without any outcome between them, after which a worker is not replaced."""


def default_workers(*, gpus: float, gpus_per_worker: float = 1.0) -> int:
    """As many workers as fit on the GPUs: none where there is no GPU, which leaves the number to the caller.

    A worker's share is always of one GPU, so 0.6 of a GPU means one worker on each.
    """
    return int(gpus) * int(1 / gpus_per_worker + 1e-9)


class RayPool:
    """Workers in actors, one process each.

    The factory of each lane goes into Ray's object store once, with the weights and styles that it holds, and every
    actor reads it from there. A worker whose process ends is replaced under its name, and gets no jobs until the new
    one has come up: where its node is gone, there may be room for it only later, or never. Results are read-only.

    Args:
        session: the Ray to use; it outlives the pool.
        teams: the workers of each lane.
        start_timeout_seconds: how long all of them together may take to come up, with what they load.
        grows: whether the cluster makes room for what does not fit yet.

    Raises:
        FarmError: there are not enough GPUs or CPU slots, or the workers do not come up.
        VidnstError: what a factory raised, as it was (weights, style).
    """

    def __init__(
        self,
        session: RaySession,
        teams: Mapping[Lane, WorkerGroup],
        *,
        start_timeout_seconds: float = 300.0,
        grows: bool = False,
    ) -> None:
        import ray

        if not grows:
            _check_resources(session, teams.values())
        self._ray = ray
        self._timeout = start_timeout_seconds
        self._names = {lane: [f"{lane}-{number}" for number in range(team.count)] for lane, team in teams.items()}
        self._teams = {name: teams[lane] for lane, names in self._names.items() for name in names}
        factories = {lane: ray.put(team.factory) for lane, team in teams.items()}
        self._factories = {name: factories[lane] for lane, names in self._names.items() for name in names}
        self._actors: dict[str, Any] = {}
        self._pids: dict[str, int] = {}
        self._deaths = dict.fromkeys(self._teams, 0)
        self._jobs: dict[Any, str] = {}
        self._greetings: dict[Any, tuple[str, float]] = {}
        """Replacements that have not come up yet, and until when they may take."""
        try:
            self._start_all()
        except BaseException:
            self.close()
            raise

    def workers(self, lane: Lane) -> Sequence[str]:
        """Names of the workers of a lane, in a fixed order."""
        return tuple(self._names.get(lane, ()))

    def submit(self, worker: str, job: Any) -> None:
        """Give a job to a worker, which runs it after those that it has; what it reads travels there meanwhile."""
        self._jobs[self._actors[worker].run.remote(job)] = worker

    def share(self, key: str, value: Any) -> Shared:
        """A value for workers: put into Ray's object store once, and gone with the last reference to it."""
        return _InStore(key, [self._ray.put(value)])

    def wait(self, timeout_seconds: float) -> list[Outcome]:
        """Block until a worker has an outcome, or the time is up (then an empty list)."""
        first = {worker: reference for reference, worker in reversed(self._jobs.items())}
        references = [*first.values(), *self._greetings]  # an actor's death is to be met at the job that it was at
        if not references:
            time.sleep(timeout_seconds)
            return []
        ready, _ = self._ray.wait(references, num_returns=1, timeout=timeout_seconds, fetch_local=False)
        if ready:
            ready, _ = self._ray.wait(references, num_returns=len(references), timeout=0, fetch_local=False)
        outcomes = [
            self._outcome(self._jobs.pop(reference), reference)
            if reference in self._jobs
            else self._greeted(self._greetings.pop(reference)[0], reference)
            for reference in ready
        ]
        return outcomes + self._overdue()

    def close(self) -> None:
        """Stop all workers, without waiting for what they are doing."""
        for name in list(self._actors):
            self._kill(name)
        self._jobs.clear()
        self._greetings.clear()

    def pids(self) -> dict[str, int]:
        """Process of each worker that has come up, on whichever node it is."""
        return dict(self._pids)

    def _start_all(self) -> None:
        deadline = time.monotonic() + self._timeout
        waiting = {self._spawn(name): name for name in self._teams}
        while waiting:
            left = max(0.0, deadline - time.monotonic())
            ready, _ = self._ray.wait(list(waiting), num_returns=1, timeout=left, fetch_local=False)
            if not ready:
                raise FarmError(
                    f"{len(self._teams) - len(waiting)} of {len(self._teams)} workers came up within "
                    f"{self._timeout:.0f} seconds",
                    "look with `ray status` for what they wait, or ask for fewer with --workers",
                )
            name = waiting.pop(ready[0])
            outcome = self._outcome(name, ready[0])
            if outcome.lost:
                raise FarmError(
                    f"worker {name} died {_DEATHS} times while it started: {outcome.error}",
                    "look at the memory of the machine and at Ray's logs, or ask for fewer workers with --workers",
                ) from outcome.error
            if outcome.died:
                (again,) = (reference for reference, (of, _) in self._greetings.items() if of == name)
                del self._greetings[again]
                waiting[again] = name
            elif outcome.error is not None:
                raise start_error(name, outcome.error)
            else:
                self._pids[name] = outcome.value

    def _spawn(self, name: str) -> Any:
        """Make the actor of a worker; returns the reference to its greeting, which comes once it is ready to work."""
        team = self._teams[name]
        # Ray's own restarts would hide deaths from the scheduler, which gives the node to another worker instead.
        options = {"num_cpus": team.cpus, "num_gpus": team.gpus, "max_restarts": 0, "max_task_retries": 0}
        options["max_concurrency"] = team.concurrency
        log_level = logging.getLogger("vidnst").getEffectiveLevel()
        self._actors[name] = self._ray.remote(_Actor).options(**options).remote([self._factories[name]], log_level)
        return self._actors[name].greet.remote()

    def _outcome(self, name: str, reference: Any) -> Outcome:
        errors = self._ray.exceptions
        try:
            value = self._ray.get(reference)
        except errors.RayTaskError as error:
            self._deaths[name] = 0
            return Outcome(name, error=original_error(error))
        except errors.RayError as error:
            return self._bury(name, process_end(name, error))
        self._deaths[name] = 0
        return Outcome(name, value=value)

    def _bury(self, name: str, error: WorkerDiedError) -> Outcome:
        """Replace a worker that died, unless it does nothing else.

        One that comes up may die once more: a frame that kills it as often as it is tried is no fault of its own.
        """
        comes_up = name in self._pids
        self._kill(name)
        self._deaths[name] += 1
        lost = self._deaths[name] >= _DEATHS + comes_up
        if not lost:
            self._greetings[self._spawn(name)] = (name, time.monotonic() + self._timeout)
        return Outcome(name, error=error, died=True, away=not lost, lost=lost)

    def _kill(self, name: str) -> None:
        self._pids.pop(name, None)
        self._greetings = {ref: due for ref, due in self._greetings.items() if due[0] != name}
        self._jobs = {ref: worker for ref, worker in self._jobs.items() if worker != name}
        if (actor := self._actors.pop(name, None)) is not None:
            with suppress(Exception):  # it may be gone, and Ray with it
                self._ray.kill(actor)

    def _greeted(self, name: str, reference: Any) -> Outcome:
        """What a replacement has to say that was waited for: it is back, or has died in its turn."""
        deaths = self._deaths[name]
        outcome = self._outcome(name, reference)
        if outcome.died:
            return outcome
        self._deaths[name] = deaths  # that it comes up does not yet say that it can work
        if outcome.error is None:
            self._pids[name] = outcome.value
        return Outcome(name, back=True)  # what else is wrong with it, its next job will tell

    def _overdue(self) -> list[Outcome]:
        """Workers whose replacement does not come up, because its node is gone for instance: they are lost."""
        now = time.monotonic()
        outcomes = []
        for name in [name for name, due in self._greetings.values() if due < now]:
            self._kill(name)
            error = WorkerDiedError(f"worker {name} died and did not come back within {self._timeout:.0f} seconds")
            outcomes.append(Outcome(name, error=error, died=True, lost=True))
        return outcomes


class _InStore(Shared):
    """A value in Ray's object store."""

    def get(self) -> Any:
        import ray

        return ray.get(self.held[0])


class _Actor:
    """What lives in an actor's process."""

    def __init__(self, factory: list[Any], log_level: int) -> None:
        set_openmp_defaults()  # the worker's factory brings torch
        logging.basicConfig(format="%(name)s: %(message)s")  # to the process's stderr, which Ray forwards
        logging.getLogger("vidnst").setLevel(log_level)
        self._factory = factory  # a reference in a list: Ray would resolve a bare one where its errors kill the actor
        self._worker: Worker | None = None
        self._making = threading.Lock()

    def greet(self) -> int:
        """Make the worker, here and not before, so that what goes wrong arrives as it is; returns the process."""
        self._made()
        return os.getpid()

    def run(self, job: Any) -> Any:
        """Run one job."""
        return self._made().run(job)

    def _made(self) -> Worker:
        with self._making:
            if self._worker is None:
                import ray

                factory: WorkerFactory = ray.get(self._factory[0])
                keep_freed_memory()  # this process paints, and nothing else
                self._worker = factory()
        return self._worker


def _check_resources(session: RaySession, teams: Iterable[WorkerGroup]) -> None:
    teams = list(teams)
    for team in teams:
        if team.gpus and team.count > default_workers(gpus=session.gpus, gpus_per_worker=team.gpus):
            raise FarmError(
                f"{team.count} workers with {team.gpus:g} GPU each do not fit: there are {session.gpus:g} GPUs",
                "ask for fewer with --workers, share GPUs with farm.gpus_per_worker, or use --set farm.device=cpu",
            )
    slots = sum(team.count * team.cpus for team in teams)
    if slots > session.cpus:
        raise FarmError(
            f"the workers need {slots:g} CPU slots and Ray has {session.cpus:g}",
            "ask for fewer with --workers, or for fewer threads each with farm.threads",
        )
