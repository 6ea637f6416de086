"""Progress of a running command: bars on a terminal, plain lines in a log file, JSON lines for programs."""

import dataclasses
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from vidnst import events
from vidnst.cli.stop_signals import orderly_stop
from vidnst.cli.tables.basics import write_json_line
from vidnst.events import Cancelled, Event, OnEvent
from vidnst.formatting import format_clock, printable

_LINE_SECONDS = 10.0

_MESSAGES = (
    *(events.NodeFailed, events.WorkerDied, events.WorkerQuarantined, events.WorkerReinstated),
    *(events.Suspected, events.Warned, events.Measured, events.JobChanged),
)

_logger = logging.getLogger(__name__)


@contextmanager
def running(*, as_json: bool) -> Iterator[tuple[OnEvent, Cancelled]]:
    """Show the progress of a command that can be stopped; yield a receiver of events, and whether to stop."""
    with showing_progress(as_json=as_json) as on_event, orderly_stop() as stop:
        yield on_event, lambda: stop.requested


@contextmanager
def showing_progress(*, as_json: bool) -> Iterator[OnEvent]:
    """Yield a receiver of events that shows them as bars, as a plain line now and then, or as JSON lines on stdout."""
    if as_json:
        yield _write_event
        return
    with ExitStack() as stack:
        show: OnEvent
        if sys.stderr.isatty():
            show = bars = _Bars()
            stack.enter_context(bars.progress)
        else:
            show = _Lines()

        def on_event(event: Event) -> None:
            _logger.debug("%r", event)
            show(event)

        yield on_event


@contextmanager
def live_display() -> Iterator[Callable[[Any], None]]:
    """Yield a receiver of tables, each of which replaces the previous one."""
    with Live(console=Console(), auto_refresh=False) as live:
        yield lambda table: live.update(table, refresh=True)


@contextmanager
def download_bar() -> Iterator[Callable[[int, int | None], None]]:
    """Yield a receiver of the bytes done and the bytes in total, which shows them as a bar."""
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


def _write_event(event: Event) -> None:
    write_json_line({"event": event.name, "time": time.time(), **dataclasses.asdict(event)})


def _is_message(event: Event) -> bool:
    """Return True if an event is shown as a sentence; of nodes that are given up, only the one that failed."""
    return isinstance(event, _MESSAGES) or (isinstance(event, events.NodeGivenUp) and event.because is None)


class _FrameRate:
    """Frames per second and time left, from this session or, before its first frame, from the previous one."""

    def __init__(self) -> None:
        self.total = 0
        self.done = 0
        self._done_before = 0
        self._began = time.monotonic()
        self._previous: float | None = None

    def start(self, event: events.RunStarted) -> None:
        self.total, self.done = event.frames, event.frames_done
        self._done_before = event.frames_done
        self._previous = event.seconds_per_frame
        self._began = time.monotonic()

    def __str__(self) -> str:
        done_now = self.done - self._done_before
        elapsed = time.monotonic() - self._began
        if done_now and elapsed > 0:
            rate = done_now / elapsed
        elif self._previous:
            rate = 1 / self._previous
        else:
            return "-- frames/s, -- left"
        return f"{rate:.3g} frames/s, {format_clock((self.total - self.done) / rate)} left"


class _Bars:
    """Shows one bar for the clip and one line for each worker."""

    def __init__(self) -> None:
        self.progress = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
        )
        self._rate = _FrameRate()
        self._stages: dict[str, TaskID] = {}
        self._workers: dict[str, TaskID] = {}
        self._frames: TaskID | None = None

    def __call__(self, event: Event) -> None:
        match event:
            case events.Stage():
                self._stage(event)
            case events.RunStarted():
                self._rate.start(event)
                self._frames = self.progress.add_task(
                    "frames", total=event.frames, completed=event.frames_done, note=str(self._rate)
                )
            case events.FrameDone() if self._frames is not None:
                self._rate.done = event.frames_done
                self.progress.update(self._frames, completed=event.frames_done, note=str(self._rate))
            case events.NodeStarted():
                self._worker(event)
            case _ if _is_message(event):
                self.progress.console.print(f"vidnst: {printable(str(event))}", markup=False, highlight=False)
            case events.TrainingStepDone():
                self._stage(events.Stage("steps", event.step, event.steps), note=f"loss {event.loss:.4g}")
            case _:
                pass

    def _stage(self, event: events.Stage, note: str = "") -> None:
        task = self._stages.get(event.stage)
        if task is None:
            task = self._stages[event.stage] = self.progress.add_task(event.stage, total=event.total, note="")
        self.progress.update(task, completed=event.done, total=event.total, note=note)

    def _worker(self, event: events.NodeStarted) -> None:
        task = self._workers.get(event.worker)
        if task is None:
            task = self._workers[event.worker] = self.progress.add_task(event.worker, total=None, note="")
        self.progress.update(task, note=f"{event.role} {event.node}")


class _Lines:
    """Writes a plain line now and then, for log files."""

    def __init__(self) -> None:
        self._rate = _FrameRate()
        self._last = 0.0

    def __call__(self, event: Event) -> None:
        match event:
            case events.RunStarted():
                self._rate.start(event)
                self._write(f"{event.frames} frames, {event.frames_done} done before, {len(event.workers)} workers")
            case events.FrameDone():
                self._rate.done = event.frames_done
                if time.monotonic() - self._last >= _LINE_SECONDS:
                    self._write(f"frame {event.frames_done} of {self._rate.total}, {self._rate}")
            case _ if _is_message(event):
                self._write(str(event))
            case events.TrainingStepDone() if (
                event.step == event.steps or time.monotonic() - self._last >= _LINE_SECONDS
            ):
                self._write(str(event))
            case events.Stage(stage="filtering" | "finishing" | "encoding" | "measuring", done=0):
                self._write(event.stage)
            case events.Stage(stage="cells" | "evaluations" | "training") if (
                time.monotonic() - self._last >= _LINE_SECONDS
            ):
                self._write(f"{event.stage}: {event.done} of {event.total}")
            case _:
                pass

    def _write(self, text: str) -> None:
        self._last = time.monotonic()
        sys.stderr.write(f"vidnst: {printable(text)}\n")
        sys.stderr.flush()
