"""What a person sees while something goes on: bars on a terminal, plain lines in a log, JSON for programs."""

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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

from vidnst.cli.tables import plain
from vidnst.events import (
    Event,
    FrameDone,
    JobChanged,
    LessonDone,
    Measured,
    NodeFailed,
    NodeGivenUp,
    NodeStarted,
    OnEvent,
    RunStarted,
    Stage,
    Suspected,
    Warned,
    WorkerDied,
    WorkerSetAside,
    WorkerTakenBack,
)

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
def showing() -> Iterator[Callable[[Any], None]]:
    """A receiver of tables, each of which takes the place of the one before."""
    with Live(console=Console(), auto_refresh=False) as live:
        yield lambda shown: live.update(shown, refresh=True)


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
    sys.stdout.write(json.dumps({"event": event.name, "time": time.time(), **fields}, default=plain) + "\n")
    sys.stdout.flush()


def _is_told(event: Event) -> bool:
    """Whether an event is told in words, at once. Of what is given up, what failed itself stands for the rest."""
    told = NodeFailed | WorkerDied | WorkerSetAside | WorkerTakenBack | Suspected | Warned | Measured | JobChanged
    return isinstance(event, told) or (isinstance(event, NodeGivenUp) and event.because is None)


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
            case _ if _is_told(event):
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
            case _ if _is_told(event):
                self._say(str(event))
            case LessonDone() if event.step == event.steps or time.monotonic() - self._last >= _PLAIN_SECONDS:
                self._say(str(event))
            case Stage(stage="filtering" | "finishing" | "encoding" | "measuring", done=0):
                self._say(event.stage)
            case Stage(stage="cells" | "evaluations") if time.monotonic() - self._last >= _PLAIN_SECONDS:
                self._say(f"{event.stage}: {event.done} of {event.total}")
            case _:
                pass

    def _say(self, text: str) -> None:
        self._last = time.monotonic()
        sys.stderr.write(f"vidnst: {text}\n")
        sys.stderr.flush()
