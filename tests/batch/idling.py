"""How busy a batch keeps its workers, with everything real but the stylizer, which sleeps.

    python tests/batch/idling.py FOLDER [CLIPS STYLES WORKERS SECONDS]

The workers are names: each job lies in a heap until its time has come, so that hundreds of them cost no threads.
All else is as in a real batch, and in real time: probing, shots, scheduler, states and frames on the disk, packing.
"""

import heapq
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from batch.farms import write_jobs

from vidnst.batch.run import run_batch
from vidnst.farm.jobs import FlowJob, Outcome, Shared, SkipJob, Stylized, StylizeJob
from vidnst.farm.staff import Staff
from vidnst.frames import widen
from vidnst.plan import Lane


@dataclass
class SleepingPool:
    """Stylizing takes `seconds` for each share of a cold frame's evaluations, a flow a hundredth of a cold frame."""

    styles: int
    flows: int
    seconds: float
    iterations: int
    first: float | None = None
    last: float = 0.0
    busy: float = 0.0
    """Seconds that stylizing workers had work."""
    nodes: int = 0
    looks: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._heap: list[tuple[float, int, str, Any]] = []
        self._given = 0

    def workers(self, lane: Lane) -> Sequence[str]:
        count = self.styles if lane is Lane.STYLE else self.flows
        return [f"{lane}-{number}" for number in range(count)]

    def share(self, key: str, value: Any) -> Shared:
        return Shared(key, value)

    def submit(self, worker: str, job: Any) -> None:
        now = time.monotonic()
        seconds = 0.01 * self.seconds
        if isinstance(job, StylizeJob):
            seconds = self.seconds * job.iterations / self.iterations
            self.first = now if self.first is None else self.first
            self.busy += seconds
            self.nodes += 1
            assert job.look is not None
            self.looks.add(job.look.key)
        self._given += 1
        heapq.heappush(self._heap, (now + seconds, self._given, worker, job))

    def wait(self, timeout_seconds: float) -> list[Outcome]:
        due = self._heap[0][0] if self._heap else float("inf")
        time.sleep(max(0.0, min(timeout_seconds, due - time.monotonic())))
        outcomes = []
        while self._heap and self._heap[0][0] <= time.monotonic():
            at, _, worker, job = heapq.heappop(self._heap)
            self.last = max(self.last, at)
            outcomes.append(Outcome(worker, value=_result(job)))
        return outcomes

    def close(self) -> None:
        self._heap.clear()


def _result(job: Any) -> Any:
    if isinstance(job, SkipJob):
        return None
    if isinstance(job, FlowJob):
        return SimpleNamespace(forward=None, backward=None)
    return Stylized(widen(job.content), {"total": 1.0}, job.iterations, 0.0)


def keep_busy(
    folder: Path, *, clips: int, styles: int, workers: int, seconds: float, frames: int = 4
) -> dict[str, Any]:
    """Run a batch with sleeping workers: what share of their time they had work, from the first job to the last."""
    path = write_jobs(folder, clips=clips, styles=styles, frames=frames, set={"optimize.iterations": 100})
    pool = SleepingPool(workers, max(2, workers // 4), seconds, 100)

    @contextmanager
    def hire(*arguments: object, **options: object) -> Iterator[tuple[SleepingPool, Staff]]:
        yield pool, Staff(pool.styles, pool.flows, 1)

    began = time.monotonic()
    with patch("vidnst.batch.run.hire_crews", hire):
        summary = run_batch(path)
    assert pool.first is not None
    wall = pool.last - pool.first
    return {
        "jobs": summary.done,
        "nodes": pool.nodes,
        "looks": len(pool.looks),
        "workers": workers,
        "busy_share": round(pool.busy / workers / wall, 4),
        "wall_seconds": round(wall, 1),
        "before_seconds": round(pool.first - began, 1),
    }


if __name__ == "__main__":
    clips, styles, workers, seconds = map(float, sys.argv[2:6]) if len(sys.argv) > 2 else (100, 3, 32, 4.0)
    found = keep_busy(Path(sys.argv[1]), clips=int(clips), styles=int(styles), workers=int(workers), seconds=seconds)
    sys.stdout.write(json.dumps(found) + "\n")
