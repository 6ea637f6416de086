"""A pool of Ray actors, on this machine or on a cluster."""

import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any

from vidnst.devices.openmp import set_openmp_defaults
from vidnst.errors import FarmError
from vidnst.farm.deferred import join_result, split_result, unpack_job, value_size
from vidnst.farm.jobs import (
    DeviceLostError,
    Outcome,
    Shared,
    Worker,
    WorkerDiedError,
    WorkerFactory,
    WorkerGroup,
    success,
)
from vidnst.farm.malloc import keep_freed_memory
from vidnst.farm.plan import Lane
from vidnst.farm.ray.connection import RaySession
from vidnst.farm.ray.errors import lost_value, original_error, process_end, start_error
from vidnst.farm.ray.stored_values import StoredValue, deferred_part, packed_for_ray
from vidnst.processes.running_time import RunningClock

_MAX_DEATHS = 3
"""Deaths in a row, with no outcome between them, after which a worker is not replaced."""


def default_workers(*, gpus: float, gpus_per_worker: float = 1.0) -> int:
    """Return the number of workers that fit on the GPUs, 0 without a GPU.

    A worker's share is always of one GPU, so 0.6 of a GPU means one worker on each.
    """
    return int(gpus) * int(1 / gpus_per_worker + 1e-9)


class RayPool:
    """Workers in actors, one process each.

    The factory of each lane is put into Ray's object store once, and every actor reads it from there. A worker whose
    process ends, or loses its GPU, is replaced under its name, and gets no jobs until the replacement has started: if
    its machine is gone, there may be resources for it only later, or never. Results are read-only.

    Args:
        session: the connection to Ray; it outlives the pool.
        groups: the workers of each lane.
        start_timeout_seconds: how long all workers together may take to start.
        grows: whether the cluster adds machines for workers that do not fit yet.

    Raises:
        FarmError: there are not enough GPUs or CPU slots, or the workers do not start.
        VidnstError: raised by a factory.
    """

    def __init__(
        self,
        session: RaySession,
        groups: Mapping[Lane, WorkerGroup],
        *,
        start_timeout_seconds: float = 300.0,
        grows: bool = False,
    ) -> None:
        import ray

        if not grows:
            _check_resources(session, groups.values())
        self._ray = ray
        self._session = session
        self._timeout = start_timeout_seconds
        self._clock = RunningClock()
        self._names = {lane: [f"{lane}-{number}" for number in range(group.count)] for lane, group in groups.items()}
        self._groups = {name: groups[lane] for lane, names in self._names.items() for name in names}
        factories = {lane: ray.put(group.factory) for lane, group in groups.items()}
        self._factories = {name: factories[lane] for lane, names in self._names.items() for name in names}
        self._actors: dict[str, Any] = {}
        self._started: set[str] = set()
        self._deaths = dict.fromkeys(self._groups, 0)
        self._lost: set[str] = set()
        self._jobs: dict[Any, tuple[str, Any]] = {}
        """Workers, and the references to the values of their results, by the references to the results' facts."""
        self._starting: dict[Any, tuple[str, float]] = {}
        """Workers and deadlines of replacements that have not started yet, by the reference to `start`."""
        try:
            self._start_all()
        except BaseException:
            self.close()
            raise

    def workers(self, lane: Lane) -> Sequence[str]:
        """Names of the workers of a lane that are not lost, in a fixed order."""
        return tuple(name for name in self._names.get(lane, ()) if name not in self._lost)

    def submit(self, worker: str, job: Any) -> None:
        """Add a job to a worker's queue; the values that it names travel while the worker runs the job before."""
        packed, references = packed_for_ray(job)
        run = self._actors[worker].run.options(num_returns=2)
        facts, values = run.remote(packed, *references)
        self._jobs[facts] = (worker, values)

    def share(self, key: str, value: Any) -> Shared:
        """Put a value into Ray's object store, where it stays until the result is not referenced any more."""
        return _ObjectStoreValue(key, [self._ray.put(value)])

    def hold(self, *values: Any) -> tuple[Any, ...]:
        """Put values into Ray's object store, where they stay as long as one of the results is referenced."""
        reference = self._ray.put(values)
        return tuple(StoredValue(reference, place, value_size(value)) for place, value in enumerate(values))

    @property
    def is_remote(self) -> bool:
        """True: workers are processes."""
        return True

    def settle(self) -> None:
        """Drop all jobs, and wait until each worker that is away is back or lost; workers end what they have."""
        self._jobs.clear()
        while self._starting:
            self.wait(1.0)

    def wait(self, timeout_seconds: float) -> list[Outcome]:
        """Block until a worker has an outcome, or the time is up (then an empty list)."""
        first = {worker: reference for reference, (worker, _) in reversed(self._jobs.items())}
        references = [*first.values(), *self._starting]  # of a dead actor, the outcome of its first job is needed
        if not references:
            time.sleep(timeout_seconds)
            return []
        ready, _ = self._ray.wait(references, num_returns=1, timeout=timeout_seconds, fetch_local=False)
        if ready:
            ready, _ = self._ray.wait(references, num_returns=len(references), timeout=0, fetch_local=False)
        else:
            self._session.check()
        outcomes = [
            self._outcome(*self._jobs.pop(reference), reference)
            if reference in self._jobs
            else self._restarted(self._starting.pop(reference)[0], reference)
            for reference in ready
        ]
        return outcomes + self._overdue()

    def close(self) -> None:
        """Stop all workers without waiting for their jobs."""
        for name in list(self._actors):
            self._kill(name)
        self._jobs.clear()
        self._starting.clear()
        self._factories.clear()  # a reference that is dropped later would count against the same id of another session

    def _start_all(self) -> None:
        deadline = self._clock() + self._timeout
        waiting = {self._spawn(name): name for name in self._groups}
        while waiting:
            left = max(0.0, deadline - self._clock())
            ready, _ = self._ray.wait(list(waiting), num_returns=1, timeout=min(left, 1.0), fetch_local=False)
            if not ready and left:
                self._session.check()
                continue
            if not ready:
                raise FarmError(
                    f"{len(self._groups) - len(waiting)} of {len(self._groups)} workers started within "
                    f"{self._timeout:.0f} seconds",
                    "see with `ray status` what they wait for, or ask for fewer with --workers",
                )
            name = waiting.pop(ready[0])
            outcome = self._outcome(name, None, ready[0])
            if outcome.lost:
                raise FarmError(
                    f"worker {name} died {_MAX_DEATHS} times while it started: {outcome.error}",
                    "look at the memory of the machine and at Ray's logs, or ask for fewer workers with --workers",
                ) from outcome.error
            if outcome.died:
                (restart,) = (reference for reference, (other, _) in self._starting.items() if other == name)
                del self._starting[restart]
                waiting[restart] = name
            elif outcome.error is not None:
                raise start_error(name, outcome.error)
            else:
                self._started.add(name)

    def _spawn(self, name: str) -> Any:
        """Create the actor of a worker; returns the reference to the result of its `start`."""
        group = self._groups[name]
        # Ray's own restarts would hide deaths from the scheduler, which gives the node to another worker instead.
        options = {"num_cpus": group.cpus, "num_gpus": group.gpus, "max_restarts": 0, "max_task_retries": 0}
        options["max_concurrency"] = group.concurrency
        log_level = logging.getLogger("vidnst").getEffectiveLevel()
        actor = self._ray.remote(_Actor).options(**options)
        self._actors[name] = actor.remote([self._factories[name]], log_level, group.preload)
        return self._actors[name].start.remote()

    def _outcome(self, name: str, values: Any, reference: Any) -> Outcome:
        errors = self._ray.exceptions
        try:
            facts = self._ray.get(reference)
        except errors.ObjectLostError as error:  # a value that the job names; its worker is well
            return Outcome(name, error=lost_value(error))
        except errors.RayTaskError as error:
            cause = original_error(error)
            if isinstance(cause, DeviceLostError):  # every further job would fail there
                return self._replace(name, cause)
            self._deaths[name] = 0
            lost = isinstance(error.cause, errors.ObjectLostError)
            return Outcome(name, error=lost_value(error.cause) if lost else cause)
        except errors.RayError as error:
            return self._replace(name, process_end(name, error))
        self._deaths[name] = 0
        return success(name, join_result(facts, partial(deferred_part, values)))

    def _replace(self, name: str, error: WorkerDiedError) -> Outcome:
        """Replace a worker that died, unless it died too often in a row.

        A worker that had started may die once more: a frame that kills it in every attempt is not its fault.
        """
        has_started = name in self._started
        self._kill(name)
        self._deaths[name] += 1
        lost = self._deaths[name] >= _MAX_DEATHS + has_started
        self._lost |= {name} if lost else set()
        if not lost:
            self._starting[self._spawn(name)] = (name, self._clock() + self._timeout)
        return Outcome(name, error=error, died=True, away=not lost, lost=lost)

    def _kill(self, name: str) -> None:
        self._started.discard(name)
        self._starting = {ref: due for ref, due in self._starting.items() if due[0] != name}
        self._jobs = {ref: job for ref, job in self._jobs.items() if job[0] != name}
        if (actor := self._actors.pop(name, None)) is not None:
            with suppress(Exception):  # it may be gone, and Ray with it
                self._ray.kill(actor)

    def _restarted(self, name: str, reference: Any) -> Outcome:
        """The outcome of a replacement's start: it is back, or died as well."""
        deaths = self._deaths[name]
        outcome = self._outcome(name, None, reference)
        if outcome.died:
            return outcome
        self._deaths[name] = deaths  # a start alone does not show that it can run jobs
        if outcome.error is None:
            self._started.add(name)
        return Outcome(name, back=True)  # any other error comes back with its next job

    def _overdue(self) -> list[Outcome]:
        """The outcomes of workers whose replacement does not start, for instance because their machine is gone."""
        now = self._clock()
        outcomes = []
        for name in [name for name, due in self._starting.values() if due < now]:
            self._kill(name)
            self._lost.add(name)
            error = WorkerDiedError(f"worker {name} died and did not come back within {self._timeout:.0f} seconds")
            outcomes.append(Outcome(name, error=error, died=True, lost=True))
        return outcomes


class _ObjectStoreValue(Shared):
    """A value in Ray's object store."""

    def get(self) -> Any:
        import ray

        return ray.get(self.payload[0])


class _Actor:
    """Makes and runs a worker in an actor's process."""

    def __init__(self, factory: list[Any], log_level: int, preload: str) -> None:
        set_openmp_defaults()  # the worker's factory brings torch
        logging.basicConfig(format="%(name)s: %(message)s")  # to the process's stderr, which Ray forwards
        logging.getLogger("vidnst").setLevel(log_level)
        self._factory = factory  # a reference in a list: Ray would resolve a bare one where its errors kill the actor
        self._preload = preload
        self._worker: Worker | None = None
        self._make_lock = threading.Lock()

    def start(self) -> None:
        """Make the worker; not in the constructor, since an error there would kill the actor."""
        if self._preload:  # while the driver may still have to prepare the first job
            import_module(self._preload)
        self._made()

    def run(self, job: Any, *values: Any) -> tuple[Any, Any]:
        """Run one job with the values that it names; returns the facts of its result, and the values behind them."""
        return split_result(self._made().run(unpack_job(job, values)))

    def _made(self) -> Worker:
        with self._make_lock:
            if self._worker is None:
                import ray

                factory: WorkerFactory = ray.get(self._factory[0])
                keep_freed_memory()  # this process does nothing but run jobs
                self._worker = factory()
        return self._worker


def _check_resources(session: RaySession, groups: Iterable[WorkerGroup]) -> None:
    groups = list(groups)
    for group in groups:
        if group.gpus and group.count > default_workers(gpus=session.gpus, gpus_per_worker=group.gpus):
            raise FarmError(
                f"{group.count} workers with {group.gpus:g} GPU each do not fit: there are {session.gpus:g} GPUs",
                "ask for fewer with --workers, share GPUs with farm.gpus_per_worker, or use --set farm.device=cpu",
            )
    slots = sum(group.count * group.cpus for group in groups)
    if slots > session.cpus:
        raise FarmError(
            f"the workers need {slots:g} CPU slots and Ray has {session.cpus:g}",
            "ask for fewer with --workers, or for fewer threads each with farm.threads",
        )
