"""Finds the runs and batches in a folder, without locks; nothing is written."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidnst.errors import RunError
from vidnst.runs import holds_run, lock_holder
from vidnst.runs.layout import locate_run
from vidnst.runs.safe_files import is_file, read_file

_MAX_JOBS_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class BatchJob:
    """A job of a batch, as the batch's state folder has it."""

    name: str
    source: str = ""
    output: str = ""
    run_folder: str = ""
    state: str = ""
    message: str = ""
    frames: int | None = None
    frames_done: int = 0


def holds_batch(folder: Path) -> bool:
    """True if the folder is the state folder of a batch."""
    return is_file(folder / "jobs.json")


def read_batch(folder: Path) -> list[BatchJob]:
    """Read the jobs of a batch from its state folder.

    Raises:
        RunError: its `jobs.json` cannot be read.
    """
    path = folder / "jobs.json"
    try:
        content = json.loads(read_file(path, max_bytes=_MAX_JOBS_BYTES))
        jobs = content.get("jobs") if isinstance(content, dict) else content
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
    """A batch, as its state folder has it."""

    name: str
    jobs: tuple[BatchJob, ...]
    holder: str = ""
    """Process and host that work on it."""
    home: str = ""
    """The folder that the paths of its jobs start from."""


@dataclass(frozen=True, slots=True)
class RunListing:
    """The runs and batches in a folder."""

    runs: tuple[Path, ...]
    batches: tuple[Batch, ...] = ()
    is_run: bool = False
    """True if the folder itself is the run."""
    errors: tuple[str, ...] = ()
    """The reasons why parts of it cannot be read."""


def find_runs(folder: Path) -> RunListing:
    """Find the runs and batches that a user means by a path.

    Args:
        folder: a run folder, an output next to its run folder, the state folder or the job file of a batch, or a folder
            that contains such folders.

    Raises:
        RunError: there is no such folder, or the state of a batch cannot be read.
    """
    folder = Path(os.path.abspath(folder))
    if run := locate_run(folder):
        return RunListing((run,), is_run=True)
    for state in (folder, folder.with_suffix(".batch") if folder.name else folder):
        if holds_batch(state):
            batch, runs = _read_batch_runs(state)
            return RunListing(runs, (batch,))
    if not folder.is_dir():
        raise RunError(f"there is no {folder}", "give a run folder (it ends in .vidnst), or a folder with some in it")
    return _find_below(folder)


def _read_batch_runs(folder: Path) -> tuple[Batch, tuple[Path, ...]]:
    jobs = tuple(read_batch(folder))
    runs = (Path(os.path.abspath(folder.parent / job.run_folder)) for job in jobs if job.run_folder)
    home = Path(os.path.realpath(folder.parent))  # a batch that was sent along must not lead elsewhere
    begun = tuple(run for run in dict.fromkeys(runs) if _is_below(run, home) and holds_run(run))
    return Batch(folder.name, jobs, lock_holder(folder / "lock") or "", str(folder.parent)), begun


def _is_below(run: Path, home: Path) -> bool:
    try:
        return Path(os.path.realpath(run)).is_relative_to(home)
    except ValueError:  # a zero byte in the name
        return False


def _find_below(folder: Path) -> RunListing:
    """The runs and batches directly in a folder, and those runs of the batches that are below it; links are skipped."""
    runs: dict[Path, None] = {}
    batches, errors = [], []
    for path in sorted(Path(entry.path) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)):
        if holds_run(path):
            runs[path] = None
        elif path.name.endswith(".batch") and holds_batch(path):
            try:
                batch, batch_runs = _read_batch_runs(path)
            except RunError as error:  # it must not hide the others
                errors.append(str(error))
                continue
            batches.append(batch)
            root = folder.resolve()  # the user has named this folder, and nothing elsewhere
            runs.update(dict.fromkeys(run for run in batch_runs if run.resolve().is_relative_to(root)))
    return RunListing(tuple(runs), tuple(batches), errors=tuple(errors))
