"""Runs, batches and their jobs as tables."""

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table

from vidnst.cli import terminal
from vidnst.cli.tables.basics import make_table, safe_text, write_json, write_json_line
from vidnst.formatting import format_bytes, format_clock, format_number, printable

if TYPE_CHECKING:  # they bring numpy
    from vidnst.rendering.batch.run import BatchSummary
    from vidnst.runs.discovery import Batch
    from vidnst.runs.status import RunStatus, WorkerStatus

_MAX_LISTED_FRAMES = 20
_MAX_MESSAGE_CHARACTERS = 200


def write_jobs(rows: Iterable[dict[str, Any]], *, as_json: bool) -> bool:
    """Write the jobs of a file, with the work for each; return True if all of them can be rendered."""
    rows = list(rows)
    broken = [row for row in rows if row["error"] is not None]
    if as_json:
        write_json(rows)
        return not broken
    cells = []
    for row in rows:
        styles = ", ".join(Path(style).name for style in row["styles"])
        counts = [str(row[key]) if row["error"] is None else "-" for key in ("frames", "evaluations")]
        cells.append((row["name"], Path(row["source"]).name, styles, row["preset"] or "", *counts))
    names = ("job", "clip", "style", "preset", "frames", "evaluations")
    terminal.out.show(make_table(names, cells, left=names[:4]))
    for row in broken:
        terminal.out.line(f"{row['name']}: {row['error']}")
    return not broken


def write_actions(actions: Iterable[tuple[str, list[str]]], *, as_json: bool) -> None:
    """Write what a running batch was told to do with its jobs, one action per line."""
    for action, names in actions:
        if as_json:
            write_json_line({"action": action, "jobs": names})
        else:
            for name in names:
                terminal.out.line(f"{action} {name}")


def write_batch_summary(summary: "BatchSummary", jobs: Path) -> None:
    """Write how a batch ended, which of its jobs failed and why, and where to see more.

    Args:
        summary: how it ended.
        jobs: the job file.
    """
    counts = ((summary.done, "done"), (summary.failed, "failed"), (summary.cancelled, "cancelled"))
    terminal.out.line(", ".join(f"{count} {state}" for count, state in counts if count or state == "done"))
    for name, reason in summary.failures:
        terminal.out.line(printable(f"{name} failed: {reason}"))
    if summary.failures:
        terminal.out.line(f"see all jobs with: vidnst status {shlex.quote(str(jobs))}")


def write_table(table: Any) -> None:
    """Write one table, or a group of them."""
    terminal.out.show(table)


def overview(runs: "Sequence[RunStatus]", batches: "Sequence[Batch]" = (), errors: Sequence[str] = ()) -> Group:
    """Return the jobs of batches, and runs, with the last error of each."""
    tables = [*map(_batch_table, batches), *([_run_table(runs)] if runs else [])]
    messages = [(run.name, run.message or (run.failures[-1].text if run.failures else "")) for run in runs]
    lines = [safe_text(f"{name}: {message}") for name, message in messages if message] + [*map(safe_text, errors)]
    return Group(*tables, *lines) if tables or lines else Group("there are no runs here")


def _run_table(runs: "Sequence[RunStatus]") -> Table:
    rows = []
    for run in runs:
        state = f"{run.state}: {run.stage}" if run.stage not in ("", "rendering") else run.state
        cells = (run.name, state, _progress(run.frames_done, run.frames), format_number(run.per_second))
        rows.append((*cells, format_clock(run.eta_seconds), str(len(run.workers)), format_bytes(run.bytes)))
    names = ("run", "state", "frames", "frames/s", "left", "workers", "size")
    return make_table(names, rows, left=("run", "state"))


def _batch_table(batch: "Batch") -> Table:
    holder = f"by {batch.holder}" if batch.holder else "not running"
    rows = [
        (job.name, job.state, _progress(job.frames_done, job.frames), job.message[:_MAX_MESSAGE_CHARACTERS])
        for job in batch.jobs
    ]
    names = ("job", "state", "frames", "message")
    return make_table(names, rows, title=f"{batch.name}, {holder}", left=("job", "state", "message"))


def run_details(run: "RunStatus") -> Table:
    """Return everything about one run, a name and a value per line."""
    holder, message = f" ({run.holder})" if run.holder else "", f": {run.message}" if run.message else ""
    pairs = [
        ("state", f"{run.state}{holder}{message}"),
        ("stage", run.stage),
        ("frames", f"{run.frames_done} of {'?' if run.frames is None else run.frames}"),
        ("frames/s", format_number(run.per_second)),
        ("left", format_clock(run.eta_seconds)),
        *((f"worker {worker.name}", _worker_summary(worker)) for worker in run.workers),
        ("failed frames", _frame_list(run.failed_frames)),
        ("repeated frames", _frame_list(run.repeated_frames)),
        *(("error", f"{note.node} on {note.worker}: {note.text}") for note in run.failures[-3:]),
        *(("warning", note.text) for note in run.warnings[-3:]),
        ("source", run.source),
        ("output", run.output),
        ("folder", f"{run.folder} ({format_bytes(run.bytes)})"),
        ("report", f"{run.folder}/report.html" if run.report else ""),
    ]
    table = Table(box=None, pad_edge=False, show_header=False)
    for key, value in pairs:
        if value:
            table.add_row(safe_text(key), safe_text(value))
    return table


def _progress(done: int, total: int | None) -> str:
    return f"{done}/{'?' if total is None else total}"


def _worker_summary(worker: "WorkerStatus") -> str:
    failures = f", {worker.failures} failures" if worker.failures else ""
    rate = format_number(worker.nodes_per_second)
    return f"{worker.nodes} nodes, {worker.frames} frames, {rate} nodes/s{failures}"


def _frame_list(frames: Sequence[int]) -> str:
    more = f", ... ({len(frames)} in all)" if len(frames) > _MAX_LISTED_FRAMES else ""
    return ", ".join(map(str, frames[:_MAX_LISTED_FRAMES])) + more
