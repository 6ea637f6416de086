"""The list of runs as a page shows it: failures on top, then each batch with its jobs, then all other runs."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vidnst.runs.discovery import Batch, BatchJob

_ORDER = ("failed", "damaged", "running", "stopped", "waiting", "finished")
_FAILED = ("failed", "damaged")
_STATE_OF_JOB = {
    **dict.fromkeys(("preparing", "rendering", "encoding"), "running"),
    **dict.fromkeys(("cancelled", "paused"), "stopped"),
    "queued": "waiting",
    "done": "finished",
    "failed": "failed",
}
"""The state of a run that fits a job which has none yet."""

Row = dict[str, Any]
"""A line of the list: key, id of its run or None, name, batch, state, label, message, frames, frames_done."""


def group_runs(
    runs: Sequence[Mapping[str, Any]], batches: Iterable[Batch], ids: Mapping[Path, str]
) -> list[dict[str, Any]]:
    """Return groups of rows, none of which is empty.

    Args:
        runs: the status of each run, with its `id`.
        batches: the batches that were found.
        ids: the id of each run by its folder.
    """
    by_id = {run["id"]: run for run in runs}
    groups, taken = [], set[str]()
    for batch in batches:
        rows = []
        for job in batch.jobs:
            run = by_id.get(ids.get(_run_folder(batch, job), ""))
            if run is not None:
                taken.add(run["id"])
            rows.append(_job_row(batch, job, run))
        groups.append(_group(batch.name, rows, key=f"{batch.home}/{batch.name}", by=batch.holder))
    groups.append(_group("", [_row(run) for run in runs if run["id"] not in taken]))
    failed = [row for group in groups for row in group["rows"] if row["state"] in _FAILED]
    for group in groups:
        group["rows"] = [row for row in group["rows"] if row["state"] not in _FAILED]
    return [group for group in (_group("failed", failed), *groups) if group["rows"]]


def _run_folder(batch: Batch, job: BatchJob) -> Path:
    return Path(os.path.abspath(os.path.join(batch.home, job.run_folder))) if job.run_folder else Path()


def _group(name: str, rows: list[Row], *, key: str = "", by: str = "") -> dict[str, Any]:
    counts = Counter(row["label"] for row in rows)
    rows.sort(key=lambda row: _ORDER.index(row["state"]))  # within a state they stay as they were
    return {"key": key or name, "name": name, "by": by, "counts": dict(counts), "rows": rows}


def _row(run: Mapping[str, Any]) -> Row:
    same = {name: run[name] for name in ("id", "name", "state", "message", "frames", "frames_done")}
    stage = run["stage"] if run["stage"] and run["stage"] != "rendering" else ""
    return same | {"key": run["id"], "batch": "", "label": stage or run["state"]}


def _job_row(batch: Batch, job: BatchJob, run: Mapping[str, Any] | None) -> Row:
    state = _STATE_OF_JOB.get(job.state, "waiting")
    if state == "running" and not batch.holder:
        state = "stopped"
    if run is not None and state != "failed":
        return _row(run) | {"batch": batch.name}
    return {
        "key": f"{batch.home}/{batch.name}/{job.name}",
        "id": None if run is None else run["id"],
        "name": job.name,
        "batch": batch.name,
        "state": state,
        "label": job.state if state != "stopped" else "stopped",
        "message": job.message or ("" if run is None else run["message"]),
        "frames": job.frames,
        "frames_done": job.frames_done,
    }
