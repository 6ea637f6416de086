"""Measures the share of time in which a batch's workers have work; everything is real but the stylizer, which sleeps.

    python tests/support/worker_utilization.py FOLDER [CLIPS STYLES WORKERS SECONDS]

Workers are names: each job lies in a heap until it is due, so that hundreds of workers cost no threads. All else is as
in a real batch, and in real time: probing, shots, scheduler, states and frames on the disk, encoding.
"""

import heapq
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.batches import write_jobs
from vidnst.events import Event, JobChanged
from vidnst.farm.jobs import FlowJob, Outcome, Shared, SkipJob, Stylized, StylizeJob
from vidnst.farm.plan import Lane
from vidnst.farm.provisioning import WorkerCounts
from vidnst.farm.scheduler import run_plan
from vidnst.frames import to_16_bits
from vidnst.rendering.batch.run import run_batch
from vidnst.rendering.batch.shot_queue import ShotQueue
from vidnst.rendering.batch.stages import BatchState


@dataclass
class SleepingPool:
    """A pool whose jobs only sleep: `seconds` for the evaluations of a cold frame, a hundredth of that for a flow."""

    styles: int
    flows: int
    seconds: float
    iterations: int
    spans: list[tuple[float, float]] = field(default_factory=list)
    """Start and end of each stylizing job in seconds of `clock`."""
    looks: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._heap: list[tuple[float, int, str, Any]] = []
        self._given = 0

    def clock(self) -> float:
        return time.monotonic()

    def workers(self, lane: Lane) -> Sequence[str]:
        count = self.styles if lane is Lane.STYLE else self.flows
        return [f"{lane}-{number}" for number in range(count)]

    def share(self, key: str, value: Any) -> Shared:
        return Shared(key, value)

    def hold(self, *values: Any) -> tuple[Any, ...]:
        return values

    @property
    def is_remote(self) -> bool:
        return False

    def settle(self) -> None:
        self._heap.clear()

    def submit(self, worker: str, job: Any) -> None:
        now = max([self.clock(), *(due for due, _, name, _ in self._heap if name == worker)])
        seconds = 0.01 * self.seconds
        if isinstance(job, StylizeJob):
            seconds = self.seconds * job.iterations / self.iterations
            self.spans.append((now, now + seconds))
            assert job.style_set is not None
            self.looks.add(job.style_set.key)
        self._given += 1
        heapq.heappush(self._heap, (now + seconds, self._given, worker, job))

    def wait(self, timeout_seconds: float) -> list[Outcome]:
        due = self._heap[0][0] if self._heap else float("inf")
        time.sleep(max(0.0, min(timeout_seconds, due - time.monotonic())))
        outcomes = []
        while self._heap and self._heap[0][0] <= time.monotonic():
            _, _, worker, job = heapq.heappop(self._heap)
            outcomes.append(Outcome(worker, value=_result(job)))
        return outcomes

    def close(self) -> None:
        self._heap.clear()

    def busy_share(self, until: float) -> float:
        """Return the share of the stylizing workers' time, from the first job to `until`, in which they had work."""
        first = self.spans[0][0]
        worked = sum(min(end, until) - start for start, end in self.spans if start < until)
        return round(worked / self.styles / (until - first), 4)


class TimelessPool(SleepingPool):
    """A sleeping pool in virtual time, which stands still while clips are prepared or written.

    So what is measured does not depend on the machine: whether workers find work when preparing is quick compared to
    rendering.
    """

    state: BatchState
    now = 0.0
    _seen: tuple[str, ...] = ()
    _written = True
    """True if all results are durable and the scheduler has been asked since."""

    def clock(self) -> float:
        return self.now

    def wait(self, timeout_seconds: float) -> list[Outcome]:
        while not self._prepared():
            time.sleep(0.001)
        ready = tuple(clip.job.spec.name for clip in self.state.ready)
        if ready != self._seen:  # the scheduler has not been asked since
            self._seen = ready
            return []
        if not self._written:
            for clip in self.state.rendering:
                clip.flush()
            self._written = True
            return []
        if not self._heap:
            self.now += timeout_seconds
            return []
        self.now, _, worker, job = heapq.heappop(self._heap)
        self._written = False
        return [Outcome(worker, value=_result(job))]

    def _prepared(self) -> bool:
        with self.state.jobs.lock:
            states = [job.state for job in self.state.jobs.all]
            ahead = sum(clip.host is None for clip in self.state.ready)
            return states.count("preparing") == ahead and (ahead >= self.state.prepare_ahead or "queued" not in states)


def _result(job: Any) -> Any:
    if isinstance(job, SkipJob):
        return None
    if isinstance(job, FlowJob):
        return SimpleNamespace(forward=None, backward=None)
    return Stylized(to_16_bits(job.content), {"total": 1.0}, job.iterations, 0.0)


def driven_by(pool: SleepingPool) -> dict[str, Callable[..., Any]]:
    """Return what makes `run_batch` use a pool, by whose clock the scheduler measures how long nodes take."""

    @contextmanager
    def start(*_: object, **__: object) -> Iterator[tuple[SleepingPool, WorkerCounts]]:
        yield pool, WorkerCounts(pool.styles, pool.flows, 1)

    def schedule(shots: ShotQueue, _: object, **options: Any) -> object:
        if isinstance(pool, TimelessPool):
            pool.state = shots.state
        return run_plan(shots, pool, clock=pool.clock, **options)

    return {"start": start, "schedule": schedule}


def measure_utilization(
    folder: Path, *, clips: int, styles: int, workers: int, seconds: float, timeless: bool = False
) -> dict[str, Any]:
    """Run a batch with sleeping workers and measure the share of their time in which they had work.

    Returns:
        Among others `busy_share` until the last clip begins, while there was always work to be had, and
        `busy_share_with_the_end` until the last job was done, with the tail in which ever less work is left.
    """
    settings = {"optimize.iterations": 100, "schedule.passes": 2}
    path = write_jobs(folder, clips=clips, styles=styles, frames=4, set=settings)
    pool = (TimelessPool if timeless else SleepingPool)(workers, max(2, workers // 4), seconds, 100)
    last = 0.0

    def hear(event: Event) -> None:
        nonlocal last
        if isinstance(event, JobChanged) and event.state == "rendering":
            last = pool.clock()

    summary = run_batch(path, on_event=hear, **driven_by(pool))
    end = max(end for _, end in pool.spans)
    return {
        "jobs": summary.done,
        "nodes": len(pool.spans),
        "looks": len(pool.looks),
        "workers": workers,
        "mean_node_seconds": round(sum(end - start for start, end in pool.spans) / len(pool.spans), 2),
        "busy_share": pool.busy_share(last),
        "busy_share_with_the_end": pool.busy_share(end),
        "wall_seconds": round(end - pool.spans[0][0], 1),
    }


if __name__ == "__main__":
    clips, styles, workers, seconds = map(float, sys.argv[2:6]) if len(sys.argv) > 2 else (100, 3, 32, 8.0)
    measured = measure_utilization(
        Path(sys.argv[1]), clips=int(clips), styles=int(styles), workers=int(workers), seconds=seconds
    )
    sys.stdout.write(json.dumps(measured) + "\n")
