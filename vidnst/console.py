"""What a person sees on the terminal. The only module that prints, and the only one that knows rich."""

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from vidnst.doctor import Check
from vidnst.events import (
    Event,
    FrameDone,
    LessonDone,
    Measured,
    NodeFailed,
    NodeStarted,
    OnEvent,
    RunStarted,
    Stage,
    Warned,
    WorkerDied,
)
from vidnst.frames import ClipInfo

if TYPE_CHECKING:  # they bring torch and numpy
    from vidnst.raft.weights import RaftReport
    from vidnst.steadiness import Compared, KeyErrors, Measurement
    from vidnst.style.weights import WeightsReport

_PLAIN_SECONDS = 10.0


@contextmanager
def progress(*, as_json: bool) -> Iterator[OnEvent]:
    """A receiver of events that shows them: bars on a terminal, else a line now and then, or JSON lines on stdout."""
    if as_json:
        yield _print_json
    elif sys.stderr.isatty():
        bars = _Bars()
        with bars.progress:
            yield bars
    else:
        yield _Lines()


@contextmanager
def download() -> Iterator[Callable[[int, int | None], None]]:
    """A receiver of bytes done and bytes in all, shown as a bar."""
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=30), DownloadColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True))
    tasks: list[TaskID] = []

    def show(done: int, total: int | None) -> None:
        if not tasks:
            bar.start()
            tasks.append(bar.add_task("weights"))
        bar.update(tasks[0], completed=done, total=total)

    try:
        yield show
    finally:
        if tasks:  # a bar that never started still leaves an empty line
            bar.stop()


def _print_json(event: Event) -> None:
    fields = dataclasses.asdict(event)
    sys.stdout.write(json.dumps({"event": event.name, "time": time.time(), **fields}, default=_plain) + "\n")
    sys.stdout.flush()


def _plain(value: object) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (Fraction, Path)):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no event field")


class _Pace:
    """Frames per second and time left: the pace of this process, or at first that of an earlier session of the run."""

    def __init__(self) -> None:
        self.total = 0
        self.done = 0
        self._done_before = 0
        self._began = time.monotonic()
        self._earlier: float | None = None

    def start(self, event: RunStarted) -> None:
        self.total, self.done = event.frames, event.frames_done
        self._done_before = event.frames_done
        self._earlier = event.seconds_per_frame
        self._began = time.monotonic()

    def __str__(self) -> str:
        here = self.done - self._done_before
        elapsed = time.monotonic() - self._began
        if here and elapsed > 0:
            rate = here / elapsed
        elif self._earlier:
            rate = 1 / self._earlier
        else:
            return "-- frames/s, -- left"
        return f"{rate:.3g} frames/s, {_clock((self.total - self.done) / rate)} left"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class _Bars:
    """One bar for the clip, one line for each worker."""

    def __init__(self) -> None:
        self.progress = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
        )
        self._pace = _Pace()
        self._stages: dict[str, TaskID] = {}
        self._workers: dict[str, TaskID] = {}
        self._frames: TaskID | None = None

    def __call__(self, event: Event) -> None:
        match event:
            case Stage():
                self._stage(event)
            case RunStarted():
                self._pace.start(event)
                self._frames = self.progress.add_task(
                    "frames", total=event.frames, completed=event.frames_done, note=str(self._pace)
                )
            case FrameDone() if self._frames is not None:
                self._pace.done = event.frames_done
                self.progress.update(self._frames, completed=event.frames_done, note=str(self._pace))
            case NodeStarted():
                self._worker(event)
            case NodeFailed() | WorkerDied() | Warned() | Measured():
                self.progress.console.print(f"vidnst: {event}", markup=False, highlight=False)
            case LessonDone():
                self._stage(Stage("steps", event.step, event.steps), note=f"loss {event.loss:.4g}")
            case _:
                pass

    def _stage(self, event: Stage, note: str = "") -> None:
        task = self._stages.get(event.stage)
        if task is None:
            task = self._stages[event.stage] = self.progress.add_task(event.stage, total=event.total, note="")
        self.progress.update(task, completed=event.done, total=event.total, note=note)

    def _worker(self, event: NodeStarted) -> None:
        task = self._workers.get(event.worker)
        if task is None:
            task = self._workers[event.worker] = self.progress.add_task(event.worker, total=None, note="")
        self.progress.update(task, note=f"{event.role} {event.node}")


class _Lines:
    """A plain line now and then, for logs."""

    def __init__(self) -> None:
        self._pace = _Pace()
        self._last = 0.0

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._pace.start(event)
                self._say(f"{event.frames} frames, {event.frames_done} done before, {len(event.workers)} workers")
            case FrameDone():
                self._pace.done = event.frames_done
                if time.monotonic() - self._last >= _PLAIN_SECONDS:
                    self._say(f"frame {event.frames_done} of {self._pace.total}, {self._pace}")
            case NodeFailed() | WorkerDied() | Warned() | Measured():
                self._say(str(event))
            case LessonDone() if event.step == event.steps or time.monotonic() - self._last >= _PLAIN_SECONDS:
                self._say(str(event))
            case Stage(stage="filtering" | "finishing" | "encoding" | "measuring", done=0):
                self._say(event.stage)
            case _:
                pass

    def _say(self, text: str) -> None:
        self._last = time.monotonic()
        sys.stderr.write(f"vidnst: {text}\n")
        sys.stderr.flush()


def show_result(path: Path, *, as_json: bool) -> None:
    """The result's path, alone on stdout (as JSON it was the last event)."""
    if not as_json:
        sys.stdout.write(f"{path}\n")


def show_json(values: Any) -> None:
    """Plain values as indented JSON on stdout."""
    sys.stdout.write(json.dumps(values, indent=2, default=_plain) + "\n")


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
    text = json.dumps(value, default=_plain) if isinstance(value, (dict, list)) else str(value)
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


def show_bench(report: dict[str, Any], *, as_json: bool) -> None:
    """A table of the benchmark."""
    if as_json:
        show_json(report)
        return
    rate = report["matrix_gflops"]
    table = Table(
        title=f"{report['device']}, {report['threads']} threads, torch {report['torch']}: {rate:.0f} GFLOP/s matmul",
        title_justify="left",
    )
    for name in ("size", "s/iter", "GFLOP", "of rate", "s/cold", "s/warm", "flow s", "warp s"):
        table.add_column(name, justify="right")
    for row in report["rows"]:
        table.add_row(
            row["size"],
            f"{row['seconds_per_iteration']:.3f}",
            f"{row['gflop_per_iteration']:.0f}",
            f"{row['share_of_matrix_rate']:.0%}",
            f"{row['seconds_per_cold_frame']:.1f}",
            f"{row['seconds_per_warm_frame']:.1f}",
            f"{row['flow_seconds']:.3f}",
            f"{row['warp_seconds']:.3f}",
        )
    Console().print(table)


def show_measurement(found: "Measurement", *, as_json: bool, per_frame: bool = False) -> None:
    """How steady a clip is, as a table or as JSON."""
    if as_json:
        show_json(found.plain(per_frame=per_frame))
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
