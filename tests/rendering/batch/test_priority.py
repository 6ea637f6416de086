"""Jobs of higher priority get workers first; measured in virtual time."""

from pathlib import Path
from typing import Any

import pytest
from support.batches import add_entry, job_states, write_jobs
from support.media import write_burst, write_style
from support.worker_utilization import TimelessPool, driven_by

from vidnst.events import Event, JobChanged
from vidnst.farm.jobs import StylizeJob
from vidnst.farm.schedules import by_shot
from vidnst.frames import Shot
from vidnst.rendering.batch.job_file import read_jobs
from vidnst.rendering.batch.run import run_batch
from vidnst.rendering.batch.tail_balancing import extent


class LoggingPool(TimelessPool):
    """Keeps when each frame was submitted, and in which style set."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.starts: list[tuple[float, str, float]] = []

    def submit(self, worker: str, job: Any) -> None:
        super().submit(worker, job)
        if isinstance(job, StylizeJob):
            assert job.style_set is not None
            self.starts.append((self.now, job.style_set.key, self.spans[-1][1]))


@pytest.fixture(autouse=True)
def _prompt_control(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidnst.rendering.batch.run.CONTROL_SECONDS", 0.0)


def run_timeless(path: Path, pool: LoggingPool, hear: Any) -> None:
    run_batch(path, on_event=hear, **driven_by(pool))


def test_added_job_of_higher_priority_gets_next_free_workers(tmp_path: Path) -> None:
    """As many clips are rendered as there are workers, each with more ready frames than there are workers."""
    settings = {"optimize.iterations": 100, "schedule.passes": 2}
    path = write_jobs(tmp_path, clips=9, styles=1, frames=16, set=settings)
    write_burst(tmp_path / "clips" / "urgent", 8, seed=7)
    write_style(tmp_path / "styles" / "urgent.png", seed=200)
    pool = LoggingPool(4, 2, 8.0, 100)
    moments: dict[str, float] = {}

    def hear(event: Event) -> None:
        if not isinstance(event, JobChanged):
            return
        moments[f"{event.job} {event.state}"] = pool.now
        if (event.job, event.state) == ("clip0-style0", "encoding"):
            add_entry(path, sources="clips/urgent", styles="styles/urgent.png", priority=5, set=settings)

    run_timeless(path, pool, hear)
    assert set(job_states(path).values()) == {"done"}
    (job,) = [clip for clip in read_jobs(path).clips if clip.priority]
    config = job.request.config
    added = moments["clip0-style0 encoding"]
    (urgent,) = {key for _, key, _ in pool.starts} - {key for at, key, _ in pool.starts if at < added}
    starts = [start for start in pool.starts if start[1] == urgent]
    first, last = starts[0][0], max(end for _, _, end in starts)
    handed_before = [at for at, key, _ in pool.starts if added < at < first and key != urgent]
    assert len(handed_before) <= pool.styles  # workers that became free while it was prepared
    (plan,) = by_shot(config.schedule, [Shot(0, 8)])
    path_seconds = 0.08 * extent(plan, config, ()).path
    longest = max(end - at for at, _, end in pool.starts)
    assert last - first <= path_seconds + 3 * longest
    assert last < 0.5 * pool.now


def test_priorities_hold_during_tail_balancing(tmp_path: Path) -> None:
    """All shots are begun, and only priority puts one before another."""
    settings = {"optimize.iterations": 100, "schedule.passes": 2}
    path = write_jobs(tmp_path, clips=3, styles=1, frames=16, set=settings)
    write_style(tmp_path / "styles" / "urgent.png", seed=200)
    add_entry(path, sources="clips/clip[01]", styles="styles/urgent.png", priority=1, set=settings)
    done: list[str] = []

    def hear(event: Event) -> None:
        if isinstance(event, JobChanged) and event.state == "encoding":
            done.append(event.job)

    run_timeless(path, LoggingPool(16, 4, 8.0, 100), hear)
    assert set(done[:2]) == {"clip0-urgent", "clip1-urgent"}
