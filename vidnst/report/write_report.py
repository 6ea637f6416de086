"""Writing the report of a run: what `vidnst report` does, and what a render does at its end."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vidnst.atomic_write import write_bytes_atomically
from vidnst.config import RenderConfig
from vidnst.errors import CancelledError, DiskFullError, RunError, VidnstError
from vidnst.events import OnEvent, Warned, ignore
from vidnst.frames import ClipInfo, Shot, spread_over
from vidnst.report.html.markup import duration, number
from vidnst.report.html.report_page import ReportFacts, Thumbnail, report_page
from vidnst.report.report_data import (
    changed_settings,
    cost_charts,
    loss_charts,
    number_rows,
    render_command,
    steadiness_charts,
    strange_frames,
    written,
)
from vidnst.report.report_images import Shown, Wanted, read_pictures, style_pictures
from vidnst.runs import Manifest, RunLayout, RunStore
from vidnst.runs.record import RunRecord, find_record
from vidnst.runs.run_log import RunLog, frame_of_node
from vidnst.runs.status import RunState, RunStatus, Watcher

PAIRS, STRANGE, SHEET = 5, 2, 24
"""Frames in the slider, and how many more of those that stand out; frames on the sheet."""
_LONGEST_MEASURE = 256 << 20


def write_report(
    run: Path, output: Path | None = None, *, clip: ClipInfo | None = None, state: RunState | None = None
) -> Path:
    """Write the report of a run.

    Args:
        run: a run folder, or the output beside it.
        output: the HTML file; None is `report.html` in the run folder.
        clip: the source, where it has been looked at already: else that takes as long as decoding it.
        state: what the run is to be told as, where its session is only about to note it.

    Raises:
        RunError: there is no run, or it is damaged.
        OutputError: the file cannot be written.
    """
    record = find_record(run)
    if record is None:
        raise RunError(f"there is no run at {run}, nor beside it", "give the folder that ends in .vidnst")
    path = output or RunLayout(record.folder).report
    write_bytes_atomically(path, report_page(gather(record, clip=clip, state=state)).encode())
    return path


def report_run(config: RenderConfig, clip: ClipInfo, store: RunStore, on_event: OnEvent = ignore) -> None:
    """Write the report of a render that is about to finish, where one is wanted; whatever goes wrong is told, and
    fails nothing.
    """
    if config.output.report and config.changes_pictures:
        try:
            write_report(store.folder, clip=clip, state="finished")
        except Exception as error:  # the render is finished, and nothing about it is worse for a missing page
            on_event(Warned(f"the output is finished, but there is no report of it: {error}"))


@contextmanager
def reported_failure(config: RenderConfig, clip: ClipInfo, store: RunStore) -> Iterator[None]:
    """Write the report, too, where a render fails with frames done: there it is looked at most."""
    try:
        yield
    except VidnstError as error:
        if store.begun and config.output.report and not isinstance(error, CancelledError | DiskFullError):
            with suppress(Exception):  # what went wrong first is what is to be told
                write_report(store.folder, clip=clip, state="failed")
        raise


def gather(record: RunRecord, *, clip: ClipInfo | None = None, state: RunState | None = None) -> ReportFacts:
    """All that a report shows."""
    watcher = Watcher()
    status, tally = watcher.look(record.folder), watcher.tally(record.folder)
    manifest = Manifest.read(record.folder)
    measure = read_measure(record.folder)
    start, end = _range(record, tally)
    shots = list(record.plan.shots) if record.plan else [Shot(start, end)]
    steady, losses, cost = steadiness_charts(measure), loss_charts(tally), cost_charts(tally)
    strange = tally.suspects | strange_frames([*steady, *losses])
    shown = read_pictures(record, _wanted(start, end, strange), start=start, shots=shots, clip=clip)
    state = state or status.state
    return ReportFacts(
        name=status.name,
        state=state,
        summary=_summary(status, record, shots),
        tiles=_tiles(status, tally, measure),
        pairs=shown.pairs,
        sheet=_sheet(shown, tally, strange),
        styles=style_pictures(manifest),
        missing=shown.missing,
        rows=number_rows(measure),
        losses=losses,
        steadiness=steady,
        cost=cost,
        cuts=tuple(shot.start for shot in shots[1:]),
        notes=_notes(tally, strange),
        settings=tuple(
            (key, written(value), written(usual)) for key, value, usual in changed_settings(manifest.config)
        ),
        commands=_commands(record.folder, manifest, state),
        facts=_facts(record, manifest, tally),
    )


def read_measure(folder: Path) -> Mapping[str, Any]:
    """A run's `measure.json`; empty where it is missing or damaged."""
    path = RunLayout(folder).measure
    try:
        if path.stat().st_size > _LONGEST_MEASURE:
            return {}
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _range(record: RunRecord, tally: RunLog) -> tuple[int, int]:
    """Frames of the source that a report covers: those planned, else those done."""
    if record.plan:
        return record.plan.start, record.plan.end
    return (min(tally.done_frames), max(tally.done_frames) + 1) if tally.done_frames else (0, 1)


def _wanted(start: int, end: int, strange: Mapping[int, str]) -> Wanted:
    pairs = {*spread_over(start, end, PAIRS), *[index for index in strange if start <= index < end][:STRANGE]}
    return Wanted(tuple(sorted(pairs)), tuple(spread_over(start, end, SHEET)))


def _summary(status: RunStatus, record: RunRecord, shots: Sequence[Shot]) -> str:
    plan = record.plan
    size = f"{plan.width}\N{MULTIPLICATION SIGN}{plan.height}, " if plan else ""
    cuts = f", {len(shots)} shots" if len(shots) > 1 else ""
    done = f"{status.frames_done} of {status.frames if status.frames is not None else '?'} frames"
    when = f", {datetime.fromtimestamp(status.updated, UTC):%Y-%m-%d %H:%M} UTC" if status.updated else ""
    return f"{done}, {size}{record.request.config.schedule.kind}{cuts}{when}"


def _tiles(status: RunStatus, tally: RunLog, measure: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    computing = sum(frame.seconds for frame in tally.frames.values())
    done = len(tally.done_frames) or 1
    rows = {row.name: row for row in number_rows(measure)}
    error, flicker = rows.get("warping error, neighbours"), rows.get("flicker of still pixels, levels")
    tiles = [("frames rendered", str(status.frames_done)), ("rendering and encoding", duration(tally.session_seconds))]
    tiles += [("computing for each frame", duration(computing / done)), ("evaluations", f"{tally.evaluations:,}")]
    if error and error.ratio is not None:
        tiles.append(("warping error, times the source's", number(error.ratio)))
    if flicker:
        tiles.append(("flicker, levels of 255", number(flicker.output)))
    return (*tiles, ("failed attempts", str(tally.failed_attempts)))


def _sheet(shown: Shown, tally: RunLog, strange: Mapping[int, str]) -> tuple[Thumbnail, ...]:
    tiles, failed = [], tally.failed_frames
    for index, data in shown.sheet.items():
        note = "failed" if index in failed else "repeated" if index in tally.repeated_frames else ""
        note = note or ("stands out" if index in strange else "")
        tiles.append(Thumbnail(f"frame {index}", data, bad=bool(note), note=note))
    return tuple(tiles)


def _notes(tally: RunLog, strange: Mapping[int, str]) -> tuple[tuple[str, bool], ...]:
    failed = tally.failed_frames
    notes = [(tally.end_message, True)] if tally.session_end == "failed" and tally.end_message else []
    notes += [(f"frame {index} failed for good: {text}", True) for index, text in failed.items()]
    for note in tally.failures:
        if failed.get(frame_of_node(note.node) or 0) != note.text or note.worker:
            notes.append((f"node {note.node} failed on {note.worker or 'a worker'}: {note.text}", True))
    if tally.repeated_frames:
        listed = ", ".join(map(str, sorted(tally.repeated_frames)[:40]))
        notes.append((f"frames of the source that do not decode, so that the one before is repeated: {listed}", False))
    notes += [
        (f"frame {index} stands out: {why or 'found by the run itself'}", False) for index, why in strange.items()
    ]
    return (*notes, *((note.text, False) for note in tally.warnings))


def _commands(folder: Path, manifest: Manifest, state: str) -> tuple[tuple[str, str], ...]:
    again = ("Render the same again, from any folder:", render_command(manifest))
    resume = ("Go on where it stopped:", f"vidnst resume {shlex.quote(str(folder.absolute()))}")
    return (again,) if state == "finished" else (resume, again)


def _facts(record: RunRecord, manifest: Manifest, tally: RunLog) -> tuple[tuple[str, str], ...]:
    look = manifest.look
    workers = ", ".join(f"{name} ({found.nodes} nodes)" for name, found in sorted(tally.workers.items())[:32])
    return (
        ("source", ", ".join(manifest.sources[:4]) + (", ..." if len(manifest.sources) > 4 else "")),
        ("fingerprint of the source", look.source),
        ("output", manifest.output),
        ("run folder", str(record.folder.absolute())),
        *((f"style {number}", str(mark.path)) for number, mark in enumerate(look.styles[:12], start=1)),
        ("network", look.backbone),
        ("weights", manifest.weights or "the usual places"),
        ("fingerprint of the weights", look.weights),
        ("RAFT's weights", "" if look.flow_weights == "none" else look.flow_weights),
        ("sessions", str(tally.sessions)),
        ("workers of the last session", workers),
        ("versions", ", ".join(f"{name} {version}" for name, version in manifest.versions.items())),
    )
