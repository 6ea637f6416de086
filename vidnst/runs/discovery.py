"""What folders hold: runs, and batches of them. Read only, without locks."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidnst.errors import RunError
from vidnst.runs import holds_run, lock_holder
from vidnst.runs.layout import locate_run
from vidnst.runs.status import is_plain

_LONGEST_JOBS = 64 << 20


@dataclass(frozen=True, slots=True)
class BatchJob:
    """A clip of a batch, as its state folder says."""

    name: str
    source: str = ""
    output: str = ""
    run_folder: str = ""
    state: str = ""
    message: str = ""
    frames: int | None = None
    frames_done: int = 0


def holds_batch(folder: Path) -> bool:
    """Whether the folder holds the state of a batch."""
    return is_plain(folder / "jobs.json")


def read_batch(folder: Path) -> list[BatchJob]:
    """The jobs of a batch's state folder.

    Raises:
        RunError: its `jobs.json` cannot be read.
    """
    path = folder / "jobs.json"
    try:
        if path.stat().st_size > _LONGEST_JOBS:
            raise ValueError("over 64 MiB")
        listed = json.loads(path.read_bytes())
        jobs = listed.get("jobs") if isinstance(listed, dict) else listed
        if not isinstance(jobs, list):
            raise ValueError("no list of jobs")
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} cannot be read: {error}", "give a run folder, or start the batch again") from error
    return [_job(job) for job in jobs if isinstance(job, dict)]


def _job(values: Mapping[str, Any]) -> BatchJob:
    texts = {key: str(values.get(key) or "")[:4000] for key in ("source", "output", "run_folder", "state", "message")}
    frames, done = values.get("frames"), values.get("frames_done")
    name = str(values.get("name") or Path(texts["output"]).name or "?")[:1000]
    return BatchJob(
        name,
        **texts,
        frames=frames if isinstance(frames, int) else None,
        frames_done=done if isinstance(done, int) else 0,
    )


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch, as its state folder shows it."""

    name: str
    jobs: tuple[BatchJob, ...]
    holder: str = ""
    """Process and host that work on it."""


@dataclass(frozen=True, slots=True)
class RunListing:
    """What a folder holds: one run, several, batches."""

    runs: tuple[Path, ...]
    batches: tuple[Batch, ...] = ()
    is_run: bool = False
    """Whether the folder is itself the run."""
    errors: tuple[str, ...] = ()
    """What cannot be read."""


def look_at(folder: Path) -> RunListing:
    """What a run folder, an output beside its run folder, a batch's state folder or job file, or a folder with such
    folders in it holds.

    Raises:
        RunError: nothing of the kind is there, or a batch's state cannot be read.
    """
    folder = Path(os.path.abspath(folder))
    if run := locate_run(folder):
        return RunListing((run,), is_run=True)
    for state in (folder, folder.with_suffix(".batch") if folder.name else folder):
        if holds_batch(state):
            batch, runs = _batch(state)
            return RunListing(runs, (batch,))
    if not folder.is_dir():
        raise RunError(f"there is no {folder}", "give a run folder (it ends in .vidnst), or a folder with some in it")
    return _inside(folder)


def _batch(folder: Path) -> tuple[Batch, tuple[Path, ...]]:
    jobs = tuple(read_batch(folder))
    runs = (Path(os.path.abspath(folder.parent / job.run_folder)) for job in jobs if job.run_folder)
    there = tuple(run for run in dict.fromkeys(runs) if holds_run(run))
    return Batch(folder.name, jobs, lock_holder(folder / "lock") or ""), there


def _inside(folder: Path) -> RunListing:
    """Runs and batches right inside a folder, with those runs of batches that are below it; no links."""
    found: dict[Path, None] = {}
    batches, errors = [], []
    for path in sorted(Path(entry.path) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)):
        if holds_run(path):
            found[path] = None
        elif path.name.endswith(".batch") and holds_batch(path):
            try:
                batch, runs = _batch(path)
            except RunError as error:  # a batch that cannot be read hides nothing else
                errors.append(str(error))
                continue
            batches.append(batch)
            below = folder.resolve()  # whoever named the folder has not named what is elsewhere
            found.update(dict.fromkeys(run for run in runs if run.resolve().is_relative_to(below)))
    return RunListing(tuple(found), tuple(batches), errors=tuple(errors))
