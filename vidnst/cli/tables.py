"""What a person sees in the end: results, as tables or as JSON, on stdout."""

import dataclasses
import json
import sys
from collections.abc import Iterable, Sequence
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from vidnst.frames import ClipInfo
from vidnst.tools.doctor import Check

if TYPE_CHECKING:  # they bring torch and numpy
    from vidnst.motion.raft.weights import RaftReport
    from vidnst.report.measure.result import Compared, KeyErrors, Measurement
    from vidnst.runs.discovery import Batch
    from vidnst.runs.status import RunStatus, WorkerStatus
    from vidnst.style.network.weights import WeightsReport


def plain(value: object) -> Any:
    """What JSON does not know, as something that it knows."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (Fraction, Path)):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no event field")


def show_result(path: Path, *, as_json: bool) -> None:
    """The result's path, alone on stdout (as JSON it was the last event)."""
    if not as_json:
        sys.stdout.write(f"{path}\n")


def show_json(values: Any) -> None:
    """Plain values as indented JSON on stdout."""
    sys.stdout.write(json.dumps(values, indent=2, default=plain) + "\n")


def _show_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Lines of a name and a value, whole however narrow the terminal is: people copy them."""
    for key, value in pairs:
        sys.stdout.write(f"{key:<24} {value}\n")


def show_plan(outline: dict[str, Any], *, as_json: bool) -> None:
    """What a render would do."""
    if as_json:
        show_json(outline)
    else:
        _show_pairs(((key, _compact(value)) for key, value in outline.items()))


def _compact(value: object) -> str:
    text = json.dumps(value, default=plain) if isinstance(value, (dict, list)) else str(value)
    return text if len(text) <= 400 else f"{text[:397]}..."


def show_clip(clip: ClipInfo, *, as_json: bool) -> None:
    """What a source holds."""
    values = {field.name: getattr(clip, field.name) for field in dataclasses.fields(clip)}
    stamps = values.pop("pts_seconds")
    summary = values | {"frame_count": clip.frame_count, "duration_seconds": clip.duration_seconds}
    if as_json:
        listed = {"paths": [str(path) for path in clip.paths], "pts_seconds": [str(stamp) for stamp in stamps]}
        show_json(summary | listed)
        return
    summary["paths"] = clip.paths[0] if len(clip.paths) == 1 else f"{clip.paths[0]} ... {clip.paths[-1]}"
    summary["rate"] = f"{clip.rate} ({float(clip.rate):.3f} frames per second)"
    summary["duration_seconds"] = f"{float(clip.duration_seconds):.3f}"
    summary["last_duration_seconds"] = f"{float(clip.last_duration_seconds):.3f}"
    summary["first and last frame at"] = f"{float(stamps[0]):.3f} s, {float(stamps[-1]):.3f} s"
    _show_pairs(summary.items())


def show_checks(checks: Iterable[Check], *, as_json: bool) -> bool:
    """Each part ok or what to do; whether all are ok."""
    console, all_ok, listed = Console(), True, []
    for check in checks:
        all_ok &= check.ok
        listed.append(dataclasses.asdict(check))
        if not as_json:
            console.print("[green]ok[/]" if check.ok else "[red]no[/]", end="")
            console.print(f"  {check.name:<9}{check.found}", markup=False, highlight=False, soft_wrap=True)
            if check.remedy:
                console.print(f"             -> {check.remedy}", markup=False, highlight=False, soft_wrap=True)
    if as_json:
        show_json(listed)
    return all_ok


def show_weights(report: "WeightsReport | RaftReport", *, as_json: bool = False) -> None:
    """What a weights file holds."""
    if as_json:
        show_json(dataclasses.asdict(report))
        return
    values = dataclasses.asdict(report)
    notes: dict[str, str] = values.pop("notes", {})  # what a file says of itself
    _show_pairs([*values.items(), *notes.items()])


def show_measurement(found: "Measurement", *, as_json: bool, per_frame: bool = False) -> None:
    """How steady a clip is, as a table or as JSON."""
    if as_json:
        show_json(found.to_dict(per_frame=per_frame))
        return
    console = Console()
    console.print(_measurement_table(found))
    for name, value in found.losses.items():
        console.print(f"mean {name} loss {value:.4g}", highlight=False)
    if not found.losses:
        console.print("style and content loss are not known: add --style, since a frozen clip is steady, too")
    if found.evaluations is not None:
        console.print(f"{found.evaluations} loss evaluations", highlight=False)
    if per_frame:
        _show_frames(found)


def _measurement_table(found: "Measurement") -> Table:
    shots = f", {len(found.shots)} shots" if len(found.shots) > 1 else ""
    title = f"{found.frames} frames of {found.width}x{found.height}{shots}"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in ("output", "source", "ratio"):
        table.add_column(name, justify="right")

    def add(name: str, numbers: "Compared", *, ratio: bool = True) -> None:
        table.add_row(name, _number(numbers.output), _number(numbers.source), _number(numbers.ratio if ratio else None))

    for errors in (errors for errors in found.errors if errors.pairs):
        frames = "frame" if errors.gap == 1 else "frames"
        for name, numbers in (("Ruder", errors.ruder), ("Huang", errors.huang), ("Lai", errors.lai)):
            add(f"error, {errors.gap} {frames} apart, {name}", numbers)
    share = "" if found.static_share is None else f" ({found.static_share:.0%} of all)"
    add(f"flicker of still pixels{share}, levels", found.flicker)
    add("drift of brightness per 100 frames, levels", found.drift, ratio=False)
    add("sharpness", found.sharpness)
    if found.keys:
        add("error at key frames, Lai", found.keys.at_keys)
        add("error elsewhere, Lai", found.keys.elsewhere)
        table.add_row("at key frames over elsewhere", _number(found.keys.ratio), _number(found.keys.source_ratio), "")
        _add_shots(table, [(shot.start, shot.end, shot.keys) for shot in found.shots])
    return table


def _add_shots(table: Table, shots: "list[tuple[int, int, KeyErrors | None]]") -> None:
    """The ratio at key frames of each shot, where there are several."""
    for start, end, keys in shots if len(shots) > 1 else ():
        if keys:
            name = f"  frames {start} to {end - 1}"
            table.add_row(name, _number(keys.ratio), _number(keys.source_ratio), "")


def _show_frames(found: "Measurement") -> None:
    """A line for each frame, whole however narrow the terminal is."""
    gaps = [errors.gap for errors in found.errors]
    names = [*(f"error {gap}" for gap in gaps), "still", "flicker", "luma", "sharpness", *found.losses]
    sys.stdout.write("  ".join(f"{name:>9}" for name in ("frame", *names)) + "\n")
    for row in found.rows:
        by_gap = {pair.gap: pair.output for pair in row.pairs}
        numbers = [by_gap.get(gap) for gap in gaps]
        numbers += [row.static_share, row.flicker_output, row.luma_output, row.sharpness_output]
        numbers += [row.losses.get(name) for name in found.losses]
        cells = [f"{row.frame}{' key' if row.key else ''}", *map(_number, numbers)]
        sys.stdout.write("  ".join(f"{cell:>9}" for cell in cells) + "\n")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def show_jobs(rows: Iterable[dict[str, Any]], *, as_json: bool) -> None:
    """The jobs of a file, with what each would cost."""
    if as_json:
        show_json(list(rows))
        return
    table = Table("source", "style", "preset", "output", "frames", "nodes", "evaluations")
    failed = []
    for row in rows:
        styles = ", ".join(Path(style).name for style in row["styles"])
        counts = [str(row[key]) if row["error"] is None else "-" for key in ("frames", "nodes", "evaluations")]
        table.add_row(*map(escape, (Path(row["source"]).name, styles, row["preset"], row["name"])), *counts)
        if row["error"] is not None:
            failed.append(f"{row['name']}: {row['error']}\n")
    Console().print(table)
    sys.stdout.write("".join(failed))


def show_wishes(asked: Iterable[tuple[str, list[str]]], *, as_json: bool) -> None:
    """What a running batch was asked for."""
    for action, names in asked:
        if as_json:
            sys.stdout.write(json.dumps({"action": action, "jobs": names}) + "\n")
        else:
            sys.stdout.write("".join(f"{action} {name}\n" for name in names))


def show_batch(done: int, failed: int, cancelled: int) -> None:
    """How a batch ended."""
    parts = [
        f"{done} done",
        *([f"{failed} failed"] if failed else []),
        *([f"{cancelled} cancelled"] if cancelled else []),
    ]
    sys.stdout.write(", ".join(parts) + "\n")


def status_table(runs: "Sequence[RunStatus]") -> Table:
    """A line for each run."""
    table = Table(box=None, pad_edge=False)
    for name, justify in (("run", "left"), ("state", "left"), ("frames", "right"), ("frames/s", "right")):
        table.add_column(name, justify="right" if justify == "right" else "left", overflow="fold", min_width=6)
    for name in ("left", "workers", "size"):
        table.add_column(name, justify="right")
    for run in runs:
        total = "?" if run.frames is None else str(run.frames)
        state = f"{run.state}: {run.stage}" if run.stage not in ("", "rendering") else run.state
        cells = (run.name, state, f"{run.frames_done}/{total}", _number(run.per_second))
        left = clock(run.eta_seconds)
        table.add_row(*map(_text, (*cells, left, str(len(run.workers)), byte_size(run.bytes))))
    return table


def batch_table(batch: "Batch") -> Table:
    """A line for each job of a batch."""
    who = f"by {batch.holder}" if batch.holder else "nobody works on it now"
    table = Table(box=None, pad_edge=False, title=_text(f"{batch.name}, {who}"), title_justify="left")
    for name in ("job", "state", "frames", "message"):
        table.add_column(name, justify="right" if name == "frames" else "left", overflow="fold")
    for job in batch.jobs:
        total = "?" if job.frames is None else str(job.frames)
        table.add_row(*map(_text, (job.name, job.state, f"{job.frames_done}/{total}", job.message[:200])))
    return table


def run_details(run: "RunStatus") -> Table:
    """All about one run, name and value in a line."""
    table = Table(box=None, pad_edge=False, show_header=False)
    total = "?" if run.frames is None else str(run.frames)
    pairs = [
        ("state", f"{run.state}{f' ({run.holder})' if run.holder else ''}{f': {run.message}' if run.message else ''}"),
        ("stage", run.stage),
        ("frames", f"{run.frames_done} of {total}"),
        ("frames/s", _number(run.per_second)),
        ("left", clock(run.eta_seconds)),
        *((f"worker {w.name}", _worker_line(w)) for w in run.workers),
        ("failed frames", _some(run.failed_frames)),
        ("repeated frames", _some(run.repeated_frames)),
        *(("error", f"{note.node} on {note.worker}: {note.text}") for note in run.failures[-3:]),
        *(("warning", note.text) for note in run.warnings[-3:]),
        ("source", run.source),
        ("output", run.output),
        ("folder", f"{run.folder} ({byte_size(run.bytes)})"),
        ("report", f"{run.folder}/report.html" if run.report else ""),
    ]
    for key, value in pairs:
        if value:
            table.add_row(_text(key), _text(value))
    return table


def _text(value: str) -> Text:
    """Names may be a stranger's: nothing in them is markup, or an order to the terminal."""
    return Text("".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in value))


def _worker_line(worker: "WorkerStatus") -> str:
    failed = f", {worker.failures} failures" if worker.failures else ""
    return f"{worker.nodes} nodes, {worker.frames} frames, {_number(worker.nodes_per_second)} nodes/s{failed}"


def _some(frames: Sequence[int]) -> str:
    return ", ".join(map(str, frames[:20])) + (f", ... ({len(frames)} in all)" if len(frames) > 20 else "")


def clock(seconds: float | None) -> str:
    """Hours, minutes and seconds; a dash where it is not known."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def byte_size(count: int | None) -> str:
    """Bytes in a unit that a person reads; a dash where it is not known."""
    if count is None:
        return "-"
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def board(runs: "Sequence[RunStatus]", batches: "Sequence[Batch]" = (), errors: Sequence[str] = ()) -> Group:
    """Batches' jobs, and the runs that there are, with the last error of each."""
    tables = [*map(batch_table, batches), *([status_table(runs)] if runs else [])]
    found = [(run.name, run.message or (run.failures[-1].text if run.failures else "")) for run in runs]
    lines = [_text(f"{name}: {error}") for name, error in found if error] + [_text(error) for error in errors]
    return Group(*tables, *lines) if tables or lines else Group("there are no runs here")


def show_board(shown: Any) -> None:
    """A table, or several."""
    Console().print(shown, highlight=False)


def show_address(url: str, *, token: bool) -> None:
    """Where a page is, on stdout."""
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()
    if token:
        sys.stderr.write("vidnst: add ?token=... to the address the first time; Ctrl-C ends it\n")
