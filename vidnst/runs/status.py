"""How renders are getting on, read from their run folders while others work there: without locks, writing nothing."""

import os
import stat
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from vidnst.errors import RunError
from vidnst.runs import LogReader, Manifest, RunLayout, RunLog, RunPlan, holds_run, lock_holder
from vidnst.runs.layout import run_name
from vidnst.runs.run_log import Note

RunState = Literal["waiting", "running", "stopped", "finished", "failed", "damaged"]
_SIZE_SECONDS = 15.0
_MOST_FILES = 1_000_000
_EARLY = 48
"""Frames into an output at most, of the one that is shown."""


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A worker of a run's last session."""

    name: str
    frames: int
    nodes: int
    nodes_per_second: float | None
    """For each second of computing."""
    failures: int
    last: float
    """When it was heard of last, seconds since 1970."""


@dataclass(frozen=True, slots=True)
class RunStatus:
    """A run, as its folder shows it."""

    name: str
    folder: str
    state: RunState
    """waiting: nothing is there yet. stopped: it can be resumed, and nobody works on it."""
    message: str = ""
    """How its last session ended, or what is wrong with the folder."""
    holder: str = ""
    """Process and host that work here."""
    stage: str = ""
    """What it does besides rendering."""
    source: str = ""
    output: str = ""
    frames: int | None = None
    """Of the range; None while it is not known."""
    frames_done: int = 0
    per_second: float | None = None
    """Frames per second of the last session."""
    eta_seconds: float | None = None
    """Until the last frame is rendered; None where nobody works on it, or it is not known."""
    workers: tuple[WorkerStatus, ...] = ()
    failures: tuple[Note, ...] = ()
    """The last ones."""
    warnings: tuple[Note, ...] = ()
    failed_frames: tuple[int, ...] = ()
    """Given up."""
    repeated_frames: tuple[int, ...] = ()
    """Frames of the source that do not decode."""
    last_frame: int | None = None
    """The one that was finished last and is in the folder."""
    shown_frame: int | None = None
    """The one whose picture stands for the run: `last_frame`, or one of the output where the folder keeps none."""
    updated: float = 0.0
    """Time of the last event, seconds since 1970."""
    bytes: int | None = None
    """Of the folder."""
    report: bool = False
    """Whether there is a report.html."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


@dataclass(slots=True)
class _Watched:
    log: LogReader
    tally: RunLog = field(default_factory=RunLog)
    size: int | None = None
    sized: float = -1e9
    plan: tuple[int, tuple[int, int] | None] = (0, None)
    """Time of change of plan.json, and the range of frames that it has."""
    manifest: Manifest | None = None
    manifest_time: int = 0

    def catch_up(self) -> None:
        """Add up what the log has by now."""
        events: list[dict[str, Any]] = [{}]
        while events:
            anew, events = self.log.news()
            if anew:
                self.tally = RunLog()
            for event in events:
                self.tally.add(event)


class Watcher:
    """Looks at runs again and again; what was read once is not read again. Not to be shared by threads."""

    def __init__(self) -> None:
        self._seen: dict[Path, _Watched] = {}

    def look(self, folder: Path) -> RunStatus:
        """A run as it is now; a folder that is no run, or a damaged one, has a state that says so."""
        name = run_name(folder)
        if not holds_run(folder):
            return RunStatus(name, str(folder), "waiting")
        seen = self._seen.setdefault(folder, _Watched(LogReader(RunLayout(folder).log)))
        try:
            return self._status(folder, name, seen)
        except RunError as error:
            return RunStatus(name, str(folder), "damaged", message=str(error))

    def tally(self, folder: Path) -> RunLog:
        """The sum of a run's log, as the last `look` read it."""
        seen = self._seen.get(folder)
        return seen.tally if seen else RunLog()

    def forget(self, others_than: Iterable[Path]) -> None:
        """Remember only these folders."""
        kept = set(others_than)
        self._seen = {folder: seen for folder, seen in self._seen.items() if folder in kept}

    def _status(self, folder: Path, name: str, seen: _Watched) -> RunStatus:
        holder = lock_holder(RunLayout(folder).lock) or ""  # before the log: what it writes at its end is then read
        seen.catch_up()
        tally, manifest, range_ = seen.tally, _manifest(folder, seen), _range(folder, seen)
        frames = None if range_ is None else range_[1] - range_[0]
        state, message = _state(tally, holder)
        last = _last_frame(folder, tally)
        kept = state == "finished" and last is None and range_ is not None and holds_output(Path(manifest.output))
        pace = tally.frames_per_second
        left = None if frames is None else max(0, frames - len(tally.done_frames))
        return RunStatus(
            name,
            str(folder),
            state,
            message=message,
            holder=holder,
            stage=tally.stage if state == "running" else "",
            source=", ".join(manifest.sources[:3]) + (", ..." if len(manifest.sources) > 3 else ""),
            output=manifest.output,
            frames=frames,
            frames_done=len(tally.done_frames),
            per_second=pace,
            eta_seconds=left / pace if pace and left is not None and state == "running" else None,
            workers=_workers(tally),
            failures=tuple(tally.failures)[-8:],
            warnings=tuple(tally.warnings)[-8:],
            failed_frames=tuple(tally.failed_frames),
            repeated_frames=tuple(sorted(tally.repeated_frames)),
            last_frame=last,
            shown_frame=early_frame(*range_) if kept and range_ is not None else last,
            updated=tally.last_time,
            bytes=_bytes(folder, seen),
            report=is_plain(RunLayout(folder).report),
        )


def _state(tally: RunLog, holder: str) -> tuple[RunState, str]:
    if holder:
        return "running", ""
    if tally.session_end == "finished":
        return "finished", ""
    if tally.session_end == "failed":
        return "failed", tally.end_message
    if tally.session_end == "stopped":
        return "stopped", tally.end_message
    return "stopped", "its process ended without a word" if tally.sessions else ""


def _workers(tally: RunLog) -> tuple[WorkerStatus, ...]:
    return tuple(
        WorkerStatus(name, found.frames, found.nodes, found.nodes_per_second, found.failures, found.last_seen)
        for name, found in sorted(tally.workers.items())
    )


def _manifest(folder: Path, seen: _Watched) -> Manifest:
    changed = modified_ns(RunLayout(folder).manifest)
    if seen.manifest is None or changed != seen.manifest_time:
        seen.manifest, seen.manifest_time = Manifest.read(folder), changed
    return seen.manifest


def _range(folder: Path, seen: _Watched) -> tuple[int, int] | None:
    changed = modified_ns(RunLayout(folder).plan)
    if changed != seen.plan[0]:
        plan = RunPlan.read(folder)
        seen.plan = changed, None if plan is None else (plan.start, plan.end)
    return seen.plan[1]


def modified_ns(path: Path) -> int:
    """When a file was last changed, in nanoseconds since 1970; 0 where it cannot be seen."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _last_frame(folder: Path, tally: RunLog) -> int | None:
    """The finished frame that is in the folder and was rendered last, as far as the log's end tells."""
    for index in reversed(tally.latest_frames):
        if frame_file(folder, index):
            return index
    return None


def early_frame(start: int, end: int) -> int:
    """A frame of a range that shows what it is of, and is soon reached: its middle, if that is near."""
    return start + min(max(0, end - start - 1) // 2, _EARLY)


def holds_output(output: Path) -> bool:
    """Whether an output is there: a file or a folder, itself no link."""
    try:
        kind = output.lstat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(kind) or stat.S_ISDIR(kind)


def frame_file(folder: Path, index: int) -> Path | None:
    """Where a run has frame `index` of its source as the viewer sees it, else as it was rendered; None where it has
    neither. Nothing that a link stands for.
    """
    layout = RunLayout(folder)
    for path in (layout.frame(index, "finished"), layout.frame(index)):
        if is_plain(path):
            return path
    return None


def is_plain(path: Path) -> bool:
    """Whether it is a file, itself and its folder no links."""
    try:
        return stat.S_ISDIR(path.parent.lstat().st_mode) and stat.S_ISREG(path.lstat().st_mode)
    except (OSError, ValueError):
        return False


def _bytes(folder: Path, seen: _Watched) -> int | None:
    if time.monotonic() - seen.sized > _SIZE_SECONDS:
        seen.size, seen.sized = folder_bytes(folder), time.monotonic()
    return seen.size


def folder_bytes(folder: Path) -> int | None:
    """What a folder takes up, links not followed; None where it cannot be read or has more than a million files."""
    total = files = 0
    try:
        for _, _, names, descriptor in os.fwalk(folder):
            files += len(names)
            if files > _MOST_FILES:
                return None
            for name in names:
                try:
                    total += os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_size
                except FileNotFoundError:  # a render deletes as it goes
                    continue
    except OSError:
        return None
    return total
