"""Progress of a running command: bars on a terminal, plain lines in a log file, JSON lines for programs."""

import dataclasses
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from rich.live import Live
from rich.progress import DownloadColumn, MofNCompleteColumn, Task, TaskID, TimeRemainingColumn
from rich.text import Text

from vidnst import events
from vidnst.cli import terminal
from vidnst.cli.stop_signals import orderly_stop
from vidnst.cli.tables.basics import write_json_line
from vidnst.errors import CancelledError
from vidnst.events import Cancelled, Event, OnEvent
from vidnst.formatting import format_clock, time_left_in_words

if TYPE_CHECKING:  # they bring numpy
    from vidnst.rendering.node_times import SecondsOf
    from vidnst.rendering.prepare import CheckedRequest

_LINE_SECONDS = 10.0
_TOLD_STAGES = ("filtering", "finishing", "encoding", "measuring", "measuring file")
"""Stages whose beginning is worth a line in a log file."""

_MESSAGES = (
    *(events.NodeFailed, events.WorkerDied, events.WorkerQuarantined, events.WorkerReinstated),
    *(events.Suspected, events.Warned, events.Measured, events.JobChanged, events.RunFinished),
)

_logger = logging.getLogger(__name__)


@contextmanager
def running(*, as_json: bool) -> Iterator[tuple[OnEvent, Cancelled]]:
    """Show the progress of a command that can be stopped; yield a receiver of events, and whether to stop."""
    with showing_progress(as_json=as_json) as on_event, orderly_stop() as stop:
        try:
            yield on_event, lambda: stop.requested
        except KeyboardInterrupt as error:  # typer would make a status of it, without a word
            raise CancelledError("stopped", str(error)) from error


@contextmanager
def showing_progress(*, as_json: bool) -> Iterator[OnEvent]:
    """Yield a receiver of events that shows them as bars, as a plain line now and then, or as JSON lines on stdout."""
    if as_json:
        yield _write_event
        return
    with ExitStack() as stack:
        show: OnEvent
        if terminal.err.is_terminal:
            show = bars = _Bars()
            stack.enter_context(bars.progress)
        else:
            show = _Lines()

        def on_event(event: Event) -> None:
            _logger.debug("%r", event)
            show(event)

        yield on_event


def is_watched() -> bool:
    """True if a person sees what is written to standard error: in a terminal or a notebook."""
    if terminal.err.is_terminal:
        return True
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


def foresee(checked: "CheckedRequest") -> "SecondsOf | None":
    """Estimate what the nodes of a render take, for a time left before the first is done; loads torch."""
    from vidnst.tools.forecast.early import foresee_nodes

    return foresee_nodes(checked)


@contextmanager
def live_display() -> Iterator[Callable[[Any], None]]:
    """Yield a receiver of tables, each of which replaces the previous one."""
    with Live(console=terminal.out.console(), auto_refresh=False) as live:
        yield lambda table: live.update(table, refresh=True)


@contextmanager
def download_bar() -> Iterator[Callable[[int, int | None], None]]:
    """Yield a receiver of the bytes done and the bytes in total, which shows them as a bar."""
    description = terminal.plain_column("{task.description}")
    bar = terminal.err.bars(description, terminal.bar_column(), DownloadColumn(), TimeRemainingColumn())
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


class _PaceText:
    """Frames per second and time left, in words; before the first frame, from the pace of an earlier session."""

    def __init__(self) -> None:
        self.total = 0
        self.done = 0
        self._done_before = 0
        self._began = time.monotonic()
        self._share: float | None = None
        self._is_forecast = False
        self._end: float | None = None
        """The clock's time at which all frames will be rendered."""

    def start(self, event: events.RunStarted) -> None:
        self.total, self.done = event.frames, event.frames_done
        self._done_before = event.frames_done
        self._began = time.monotonic()
        if event.seconds_per_frame is not None:
            self._end = self._began + event.seconds_per_frame * (self.total - self.done)

    def update(self, event: events.Paced) -> None:
        self._share, self._is_forecast = event.share, event.is_forecast
        if event.seconds_left is not None:
            self._end = time.monotonic() + event.seconds_left

    def __str__(self) -> str:
        now = time.monotonic()
        if (
            self._is_forecast and not self.total and self._end is not None
        ):  # no worker is up, and their start is not in it
            return f"about {format_clock(max(0.0, self._end - now))} of painting, while the workers start"
        done = self.done - self._done_before
        parts = [] if self._share is None else [f"{self._share:.0%} of the work"]
        parts += [f"{done / (now - self._began):.3g} frames/s"] if done and now > self._began else []
        left = None if self._end is None else self._end - now
        return ", ".join([*parts, time_left_in_words(left, is_forecast=self._is_forecast)])


class _CountColumn(MofNCompleteColumn):
    """The number of pieces that are done of how many; empty where that is not counted."""

    def render(self, task: Task) -> Text:
        """See `MofNCompleteColumn`."""
        return Text() if task.total is None else super().render(task)


class _Bars:
    """Shows one bar for the clip and one line for each worker."""

    def __init__(self) -> None:
        self.progress = terminal.err.bars(
            terminal.plain_column("{task.description:<10}"),
            terminal.bar_column(),
            _CountColumn(),
            terminal.plain_column("{task.fields[note]}"),
        )
        self._pace = _PaceText()
        self._stages: dict[str, TaskID] = {}
        self._workers: dict[str, TaskID] = {}
        self._frames: TaskID | None = None
        self._clips: TaskID

    def __call__(self, event: Event) -> None:
        match event:
            case events.Stage():
                self._stage(event)
            case events.RunStarted():
                self._pace.start(event)
                if self._frames is None:
                    self._frames = self.progress.add_task("frames", total=None, note="")
                self.progress.update(
                    self._frames, total=event.frames, completed=event.frames_done, note=str(self._pace)
                )
            case events.FrameDone() if self._frames is not None:
                self._pace.done = event.frames_done
                self.progress.update(self._frames, completed=event.frames_done, note=str(self._pace))
            case events.Paced():
                self._pace.update(event)
                if self._frames is None:  # a forecast may come before the workers
                    self._frames = self.progress.add_task("frames", total=None, note="")
                self.progress.update(self._frames, note=str(self._pace))
            case events.NodeStarted():
                self._worker(event)
            case events.BatchProgress():
                self._batch(event)
            case _ if _is_message(event):
                terminal.err.message(str(event))
            case events.TrainingStepDone():
                self._stage(events.Stage("steps", event.step, event.steps), note=f"loss {event.loss:.4g}")
            case _:
                pass

    def _stage(self, event: events.Stage, note: str = "") -> None:
        task = self._stages.get(event.stage)
        if task is None:
            task = self._stages[event.stage] = self.progress.add_task(event.stage, total=event.total, note="")
        self.progress.update(task, completed=event.done, total=event.total, note=note)

    def _batch(self, event: events.BatchProgress) -> None:
        if self._frames is None:
            self._clips = self.progress.add_task("clips", note="")
            self._frames = self.progress.add_task("frames", note="")
        failures = event.clips_in_words.partition(", ")[2]
        over = event.clips_done + event.clips_failed
        self.progress.update(self._clips, total=event.clips, completed=over, note=failures)
        note = ", ".join(filter(None, (event.unopened_in_words, event.pace_in_words)))
        total = event.frames or None  # nothing is counted yet
        self.progress.update(self._frames, total=total, completed=event.frames_done, note=note)

    def _worker(self, event: events.NodeStarted) -> None:
        task = self._workers.get(event.worker)
        if task is None:
            task = self._workers[event.worker] = self.progress.add_task(event.worker, total=None, note="")
        self.progress.update(task, note=event.work)


class _Lines:
    """Writes a plain line now and then, for log files."""

    def __init__(self) -> None:
        self._pace = _PaceText()
        self._last = 0.0
        self._told = -_LINE_SECONDS
        """When the progress of a batch was written: messages about its clips must not hold it back."""

    def __call__(self, event: Event) -> None:
        match event:
            case events.RunStarted():
                self._pace.start(event)
                self._write(f"{event.frames} frames, {event.frames_done} done before, {len(event.workers)} workers")
            case events.FrameDone():
                self._pace.done = event.frames_done
            case events.Paced():
                self._pace.update(event)
                if event.is_forecast and not self._pace.total:
                    self._write(str(self._pace))
                elif time.monotonic() - self._last >= _LINE_SECONDS:
                    self._write(f"{self._pace.done} of {self._pace.total} frames, {self._pace}")
            case events.BatchProgress() if (
                time.monotonic() - self._told >= _LINE_SECONDS or event.clips_done + event.clips_failed == event.clips
            ):
                self._told = time.monotonic()
                self._write(str(event))
            case _ if _is_message(event):
                self._write(str(event))
            case events.TrainingStepDone() if (
                event.step == event.steps or time.monotonic() - self._last >= _LINE_SECONDS
            ):
                self._write(str(event))
            case events.Stage(stage=stage, done=0) if stage in _TOLD_STAGES:
                self._write(event.stage)
            case events.Stage(stage="cells" | "evaluations" | "training") if (
                time.monotonic() - self._last >= _LINE_SECONDS
            ):
                self._write(f"{event.stage}: {event.done} of {event.total}")
            case _:
                pass

    def _write(self, text: str) -> None:
        self._last = time.monotonic()
        terminal.err.message(text)
