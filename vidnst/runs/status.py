"""The state of renders, read from their run folders while other processes work there: no locks, nothing is written."""

import stat
import time
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from vidnst.errors import RunError
from vidnst.media.input.frame_numbers import NumberPattern
from vidnst.runs import LogReader, Manifest, RunLayout, RunLog, RunPlan, holds_run, lock_holder
from vidnst.runs.disk_space import folder_bytes
from vidnst.runs.layout import run_name
from vidnst.runs.safe_files import is_file
from vidnst.runs.summaries import Note

_SHOWN_NOTES = 8
RunState = Literal["waiting", "running", "stopped", "finished", "failed", "damaged"]
_SIZE_SECONDS = 15.0
"""Time between two looks at the size of a folder."""
_MAX_PREVIEW_FRAME = 48
"""How far into an output the frame may lie that is its preview: a later one takes long to reach."""


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A worker of the last session of a run."""

    name: str
    frames: int
    nodes: int
    nodes_per_second: float | None
    """Finished nodes for each second of computing."""
    failures: int
    last: float
    """Time of its last event, seconds since 1970."""


@dataclass(frozen=True, slots=True)
class RunStatus:
    """The state of a run, as its folder shows it."""

    name: str
    folder: str
    state: RunState
    """waiting: the folder holds no run yet. stopped: it can be resumed, and no process works on it."""
    message: str = ""
    """The end of its last session in a sentence, or what is wrong with the folder."""
    holder: str = ""
    """Process and host that work on it."""
    stage: str = ""
    """The work besides rendering."""
    source: str = ""
    output: str = ""
    frames: int | None = None
    """Number of frames of the range; None while it is unknown."""
    frames_done: int = 0
    per_second: float | None = None
    """Frames per second of the last session."""
    eta_seconds: float | None = None
    """Time until the last frame is rendered; None if no process works on it, or it is unknown."""
    workers: tuple[WorkerStatus, ...] = ()
    failures: tuple[Note, ...] = ()
    """The latest ones."""
    warnings: tuple[Note, ...] = ()
    failed_frames: tuple[int, ...] = ()
    """Frames that were given up."""
    repeated_frames: tuple[int, ...] = ()
    """Frames of the source that do not decode."""
    last_frame: int | None = None
    """The frame that was finished last and is in the folder."""
    shown_frame: int | None = None
    """The frame whose image stands for the run: `last_frame`, or one of the output where the folder keeps none."""
    updated: float = 0.0
    """Time of the last event, seconds since 1970."""
    bytes: int | None = None
    """Size of the folder."""
    report: bool = False
    """True if the folder has a report.html."""

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


@dataclass(slots=True)
class _RunCache:
    """What was read of a run, and when the files changed that it was read from."""

    reader: LogReader
    log: RunLog = field(default_factory=RunLog)
    size_bytes: int | None = None
    size_read_at: float = float("-inf")
    range: tuple[int, int] | None = None
    plan_time: int = 0
    manifest: Manifest | None = None
    manifest_time: int = 0

    def read_log(self) -> None:
        """Fold in the events that were added to the log."""
        events: list[dict[str, Any]] = [{}]
        while events:
            is_new_log, events = self.reader.read_new()
            if is_new_log:
                self.log = RunLog()
            for event in events:
                self.log.add(event)

    def read_manifest(self, folder: Path) -> Manifest:
        """The run's manifest, read again if it has changed."""
        changed = modification_time_ns(RunLayout(folder).manifest)
        if self.manifest is None or changed != self.manifest_time:
            self.manifest, self.manifest_time = Manifest.read(folder), changed
        return self.manifest

    def read_range(self, folder: Path) -> tuple[int, int] | None:
        """The frames that the run has planned, read again if the plan has changed; None where nothing is planned."""
        changed = modification_time_ns(RunLayout(folder).plan)
        if changed != self.plan_time:
            plan = RunPlan.read(folder)
            self.range, self.plan_time = None if plan is None else (plan.start, plan.end), changed
        return self.range

    def read_size(self, folder: Path) -> int | None:
        """Bytes that the folder takes up, counted again from time to time."""
        if time.monotonic() - self.size_read_at > _SIZE_SECONDS:
            self.size_bytes, self.size_read_at = folder_bytes(folder), time.monotonic()
        return self.size_bytes


class RunMonitor:
    """Reads the status of runs repeatedly, and only what has changed since the last time. Not thread-safe."""

    def __init__(self) -> None:
        self._caches: dict[Path, _RunCache] = {}

    def status(self, folder: Path) -> RunStatus:
        """The present state of a run; a folder that is no run, or a damaged one, has a state that says so."""
        if not holds_run(folder):
            return RunStatus(run_name(folder), str(folder), "waiting")
        cache = self._caches.setdefault(folder, _RunCache(LogReader(RunLayout(folder).log)))
        try:
            return _read_status(folder, cache)
        except RunError as error:
            return RunStatus(run_name(folder), str(folder), "damaged", message=str(error))

    def log(self, folder: Path) -> RunLog:
        """The sum of a run's log, as the last call of `status` read it."""
        cache = self._caches.get(folder)
        return cache.log if cache else RunLog()

    def keep_only(self, folders: Collection[Path]) -> None:
        """Forget all other folders."""
        self._caches = {folder: self._caches[folder] for folder in folders if folder in self._caches}


def _read_status(folder: Path, cache: _RunCache) -> RunStatus:
    layout = RunLayout(folder)
    holder = lock_holder(layout.lock) or ""  # before the log, so that what a process writes at its end is read
    cache.read_log()
    log, manifest, frame_range = cache.log, cache.read_manifest(folder), cache.read_range(folder)
    frames = None if frame_range is None else frame_range[1] - frame_range[0]
    state, message = _state(log, holder)
    last = next((index for index in reversed(log.latest_frames) if layout.find_frame(index)), None)
    preview = last
    if state == "finished" and last is None and frame_range is not None and _is_there(Path(manifest.output)):
        preview = preview_frame(*frame_range)
    pace, left = log.frames_per_second, None if frames is None else max(0, frames - len(log.done_frames))
    return RunStatus(
        run_name(folder),
        str(folder),
        state,
        message=message,
        holder=holder,
        stage=log.stage if state == "running" else "",
        source=", ".join(manifest.sources[:3]) + (", ..." if len(manifest.sources) > 3 else ""),
        output=manifest.output,
        frames=frames,
        frames_done=len(log.done_frames),
        per_second=pace,
        eta_seconds=left / pace if pace and left is not None and state == "running" else None,
        workers=_workers(log),
        failures=tuple(log.failures)[-_SHOWN_NOTES:],
        warnings=tuple(log.warnings)[-_SHOWN_NOTES:],
        failed_frames=tuple(log.failed_frames),
        repeated_frames=tuple(sorted(log.repeated_frames)),
        last_frame=last,
        shown_frame=preview,
        updated=log.last_time,
        bytes=cache.read_size(folder),
        report=is_file(layout.report),
    )


def _state(log: RunLog, holder: str) -> tuple[RunState, str]:
    """The state of a run, and a message."""
    if holder:
        return "running", ""
    match log.session_end:
        case "finished":
            return "finished", ""
        case "failed" | "stopped" as end:
            return end, log.end_message
        case _:
            return "stopped", "its process was killed or lost its machine" if log.sessions else ""


def _workers(log: RunLog) -> tuple[WorkerStatus, ...]:
    return tuple(
        WorkerStatus(name, worker.frames, worker.nodes, worker.nodes_per_second, worker.failures, worker.last_seen)
        for name, worker in sorted(log.workers.items())
    )


def modification_time_ns(path: Path) -> int:
    """Time of the last change of a file, in nanoseconds since 1970; 0 if it cannot be read."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def preview_frame(start: int, end: int) -> int:
    """A frame of a range that shows what it is of, and is soon decoded: the middle one, or an earlier one."""
    return start + min(max(0, end - start - 1) // 2, _MAX_PREVIEW_FRAME)


def _is_there(output: Path) -> bool:
    """True if an output exists, or the first file of one that is a sequence of image files."""
    pattern = NumberPattern.parse(output)
    return is_file_or_folder(output) or (pattern is not None and pattern.has_files())


def is_file_or_folder(path: Path) -> bool:
    """True if a path is a file or a folder, and itself no link."""
    try:
        kind = path.lstat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(kind) or stat.S_ISDIR(kind)
