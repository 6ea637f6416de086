"""Collects the contents of the report of a run from its folder."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vidnst.errors import RunError
from vidnst.formatting import format_duration, format_number
from vidnst.frames import ClipInfo, Shot, spread_over
from vidnst.report.html.report_charts import (
    FILE_ERROR,
    FILE_FLICKER,
    FRAME_ERROR,
    FRAME_FLICKER,
    cost_charts,
    loss_charts,
    number_rows,
    outlier_frames,
    steadiness_charts,
)
from vidnst.report.html.report_images import ReportImages, ShownFrames, read_images, read_style_images
from vidnst.report.html.report_keys import read_key_section
from vidnst.report.html.report_page import ReportFacts, Thumbnail
from vidnst.report.html.report_settings import changed_settings, render_command, to_yaml
from vidnst.report.html.report_sound import read_spectrograms
from vidnst.runs import Manifest, RunLayout
from vidnst.runs.layout import continue_command
from vidnst.runs.record import RunRecord
from vidnst.runs.run_log import RunLog, frame_of_node
from vidnst.runs.safe_files import read_file
from vidnst.runs.status import RunMonitor, RunState, RunStatus

_PAIRS, _OUTLIER_PAIRS, _SHEET_FRAMES = 5, 2, 24
"""Frames in the slider, how many more of those that stand out, and frames on the sheet."""
_MAX_MEASURE_BYTES = 256 << 20


def gather_report(record: RunRecord, *, clip: ClipInfo | None = None, state: RunState | None = None) -> ReportFacts:
    """Collect the contents of the report of a run."""
    monitor = RunMonitor()
    status, log = monitor.status(record.folder), monitor.log(record.folder)
    manifest = Manifest.read(record.folder)
    measure = read_measure(record.folder)
    start, end = _range(record, log)
    shots = list(record.plan.shots) if record.plan else [Shot(start, end)]
    steady, losses, cost = steadiness_charts(measure), loss_charts(log, record.request.config.losses), cost_charts(log)
    outliers = log.suspects | outlier_frames([*steady, *losses])
    images = read_images(record, _shown_frames(start, end, outliers), shots=shots, clip=clip)
    state = state or status.state
    return ReportFacts(
        name=status.name,
        state=state,
        summary=_summary(status, record, shots),
        tiles=_tiles(status, log, measure),
        pairs=images.pairs,
        sheet=_sheet(images, log, outliers),
        styles=read_style_images(manifest),
        keys=read_key_section(record, manifest, shots),
        sounds=read_spectrograms(record, clip),
        missing=images.missing,
        rows=number_rows(measure),
        losses=losses,
        steadiness=steady,
        cost=cost,
        cuts=tuple(shot.start for shot in shots[1:]),
        notes=_notes(log, outliers),
        settings=tuple(
            (key, to_yaml(value), to_yaml(default)) for key, value, default in changed_settings(manifest.config)
        ),
        commands=_commands(record.folder, manifest, state),
        fates=record.plan.fates if record.plan else (),
        facts=_facts(record, manifest, log),
    )


def read_measure(folder: Path) -> Mapping[str, Any]:
    """Read the `measure.json` of a run; empty if it is missing or damaged."""
    path = RunLayout(folder).measure
    try:
        values = json.loads(read_file(path, max_bytes=_MAX_MEASURE_BYTES))
    except (OSError, RunError, ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _range(record: RunRecord, log: RunLog) -> tuple[int, int]:
    """Frames of the source that a report covers: those planned, else those done."""
    if record.plan:
        return record.plan.start, record.plan.end
    return (min(log.done_frames), max(log.done_frames) + 1) if log.done_frames else (0, 1)


def _shown_frames(start: int, end: int, outliers: Mapping[int, str]) -> ShownFrames:
    pairs = {*spread_over(start, end, _PAIRS), *[index for index in outliers if start <= index < end][:_OUTLIER_PAIRS]}
    return ShownFrames(tuple(sorted(pairs)), tuple(spread_over(start, end, _SHEET_FRAMES)))


def _summary(status: RunStatus, record: RunRecord, shots: Sequence[Shot]) -> str:
    plan = record.plan
    size = f"{plan.width}\N{MULTIPLICATION SIGN}{plan.height}, " if plan else ""
    cuts = f", {len(shots)} shots" if len(shots) > 1 else ""
    done = f"{status.frames_done} of {status.frames if status.frames is not None else '?'} frames"
    when = f", {datetime.fromtimestamp(status.updated, UTC):%Y-%m-%d %H:%M} UTC" if status.updated else ""
    return f"{done}, {size}{record.request.config.schedule.kind}{cuts}{when}"


def _tiles(status: RunStatus, log: RunLog, measure: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    computing = sum(frame.seconds for frame in log.frames.values())
    done = len(log.done_frames) or 1
    rows = {row.name: row for row in number_rows(measure)}
    error = rows.get(FILE_ERROR) or rows.get(FRAME_ERROR)
    flicker = rows.get(FILE_FLICKER) or rows.get(FRAME_FLICKER)
    tiles = [
        ("frames rendered", str(status.frames_done)),
        ("rendering and encoding", format_duration(log.session_seconds)),
    ]
    tiles += [("computing for each frame", format_duration(computing / done)), ("evaluations", f"{log.evaluations:,}")]
    if error and error.ratio is not None:
        tiles.append(("warping error, times the source's", format_number(error.ratio)))
    if flicker:
        tiles.append(("flicker, levels of 255", format_number(flicker.output)))
    return (*tiles, ("failed attempts", str(log.failed_attempts)))


def _sheet(images: ReportImages, log: RunLog, outliers: Mapping[int, str]) -> tuple[Thumbnail, ...]:
    tiles, failed = [], log.failed_frames
    for index, data in images.sheet.items():
        note = "failed" if index in failed else "repeated" if index in log.repeated_frames else ""
        note = note or ("stands out" if index in outliers else "")
        tiles.append(Thumbnail(f"frame {index}", data, bad=bool(note), note=note))
    return tuple(tiles)


def _notes(log: RunLog, outliers: Mapping[int, str]) -> tuple[tuple[str, bool], ...]:
    failed = log.failed_frames
    notes = [(log.end_message, True)] if log.session_end == "failed" and log.end_message else []
    notes += [(f"frame {index} failed for good: {text}", True) for index, text in failed.items()]
    for note in log.failures:
        if failed.get(frame_of_node(note.node) or 0) != note.text or note.worker:
            notes.append((f"node {note.node} failed on {note.worker or 'a worker'}: {note.text}", True))
    if log.repeated_frames:
        listed = ", ".join(map(str, sorted(log.repeated_frames)[:40]))
        notes.append((f"frames of the source that do not decode, so that the one before is repeated: {listed}", False))
    notes += [
        (f"frame {index} stands out: {why or 'found by the run itself'}", False) for index, why in outliers.items()
    ]
    return (*notes, *((note.text, False) for note in log.warnings))


def _commands(folder: Path, manifest: Manifest, state: str) -> tuple[tuple[str, str], ...]:
    command, left_out = render_command(manifest, folder)
    note = f" (add these yourself if they are yours: {'; '.join(left_out)})" if left_out else ""
    repeat = (f"Render the same again, from any folder{note}:", command)
    resume = ("Resume where it stopped:", continue_command("resume", folder.absolute(), Path(manifest.output)))
    return (repeat,) if state == "finished" else (resume, repeat)


def _facts(record: RunRecord, manifest: Manifest, log: RunLog) -> tuple[tuple[str, str], ...]:
    look = manifest.look
    workers = ", ".join(f"{name} ({worker.nodes} nodes)" for name, worker in sorted(log.workers.items())[:32])
    return (
        ("source", ", ".join(manifest.sources[:4]) + (", ..." if len(manifest.sources) > 4 else "")),
        ("fingerprint of the source", look.source),
        ("output", manifest.output),
        ("run folder", str(record.folder.absolute())),
        *((f"style {number}", str(style.path)) for number, style in enumerate(look.styles[:12], start=1)),
        ("network", look.backbone),
        ("weights", manifest.weights_title or manifest.weights or "the usual places"),
        ("fingerprint of the weights", look.weights),
        ("RAFT's weights", "" if look.flow_weights == "none" else look.flow_weights),
        ("sessions", str(log.sessions)),
        ("workers of the last session", workers),
        ("versions", ", ".join(f"{name} {version}" for name, version in manifest.versions.items())),
    )
