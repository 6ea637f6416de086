"""The states of a batch's jobs, kept in a folder next to the job file: JOBS.batch for JOBS.yaml.

    jobs.json      every job with its state, rewritten when something has changed
    events.jsonl   every change of a state, one JSON object per line
    control/       commands from other processes, one file each, removed when they have been carried out
    lock           held by the process that renders

A job's frames are in its own run folder, which says what is finished. Losing this folder loses only which jobs were
paused or cancelled.
"""

import json
import os
import re
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from vidnst.errors import ConfigError, RunError
from vidnst.events import JobChanged, OnEvent
from vidnst.files.atomic_write import translate_os_errors, write_bytes_atomically
from vidnst.files.file_names import derived_name
from vidnst.files.part_files import remove_parts
from vidnst.rendering.batch.job_file import ClipSpec
from vidnst.runs.event_log import EventLog
from vidnst.runs.folder_lock import FolderLock
from vidnst.runs.plan_record import MAX_THREADS
from vidnst.runs.removal import remove_command
from vidnst.runs.safe_files import check_folder, read_file

JobStatus: TypeAlias = Literal["queued", "preparing", "rendering", "encoding", "done", "failed", "cancelled", "paused"]
Action: TypeAlias = Literal["pause", "resume", "cancel"]

FINAL_STATES: tuple[JobStatus, ...] = ("done", "failed", "cancelled")
_MAX_STATE_BYTES = 256 << 20
_MAX_COMMAND_BYTES = 1 << 16
_COMMAND_NAME = re.compile(r"[0-9]{20}-[0-9]{1,10}\.json")
_PART_SECONDS = 60.0
"""After that time nobody is still writing a command."""
_WRITE_SECONDS = 1.0
_WRITE_SECONDS_PER_JOB = 0.002
"""Added to the time between two writes for each job, so that thousands of jobs are not written all the time."""


@dataclass(eq=False, slots=True)
class JobState:
    """A job of a batch and its progress."""

    spec: ClipSpec
    order: int
    """Position in the job file."""
    state: JobStatus = "queued"
    message: str = ""
    frames: int = 0
    frames_done: int = 0
    paused: bool = False
    """True if its nodes are held back."""
    cancelled: bool = False

    @property
    def shown(self) -> JobStatus:
        """The state as users see it."""
        return "paused" if self.paused and self.state in ("queued", "preparing", "rendering") else self.state

    @property
    def urgency(self) -> tuple[int, int]:
        """The sort key: the most urgent job first."""
        return -self.spec.priority, self.order

    def row(self) -> dict[str, Any]:
        """Return the job as JSON values."""
        spec = self.spec
        return {
            "name": spec.name,
            "entry": spec.entry,
            "source": spec.source,
            "styles": list(map(str, spec.request.styles)),
            "preset": spec.preset,
            "priority": spec.priority,
            "output": str(spec.request.output),
            "run_folder": str(spec.request.folder),
            "state": self.shown,
            "message": self.message,
            "frames": self.frames,
            "frames_done": self.frames_done,
        }


def state_folder(jobs: Path) -> Path:
    """Return the folder with the batch state of a job file."""
    return jobs.with_name(derived_name(jobs.stem, suffix=".batch"))


class JobStates:
    """All jobs of a running batch. May be used from several threads; close it.

    Args:
        jobs: the job file.
        on_event: hears of every change.

    Raises:
        RunError: another process renders this batch, or the state folder is damaged or has links in it.
    """

    def __init__(self, jobs: Path, on_event: OnEvent) -> None:
        self.folder = state_folder(jobs)
        self.by_name: dict[str, JobState] = {}
        self.lock = threading.RLock()
        self.threads: int | None = None
        """Threads of each worker; on CPUs the bytes of frames depend on it."""
        self._jobs = jobs
        self._on_event = on_event
        self._changed = True
        self._closed = False
        self._written = -_WRITE_SECONDS
        control = _checked_control(self.folder)
        with translate_os_errors(self.folder):
            control.mkdir(parents=True, exist_ok=True)
            remove_parts(control, min_age_seconds=_PART_SECONDS)
        self._lock = FolderLock(self.folder / "lock")
        try:
            self._before = read_job_states(self.folder) or {}
            self._log = EventLog(self.folder / "events.jsonl")
        except BaseException:
            self._lock.release()
            raise
        threads = self._before.get("threads")
        self.threads = threads if type(threads) is int and 0 < threads <= MAX_THREADS else None
        self.record("session", process=os.getpid(), host=socket.gethostname())

    @property
    def all(self) -> list[JobState]:
        """All jobs, in the order in which they came."""
        return list(self.by_name.values())

    @property
    def over(self) -> bool:
        """True if every job is in a final state."""
        with self.lock:
            return all(job.state in FINAL_STATES for job in self.by_name.values())

    def update(self, clips: Sequence[ClipSpec]) -> None:
        """Update the jobs from the job file: add new ones, change or remove those that have not begun."""
        rows = (row for row in self._before.get("jobs", ()) if isinstance(row, dict))
        states = {str(row.get("name")): row.get("state") for row in rows}
        wanted = {clip.name for clip in clips}
        with self.lock:
            for name in [name for name, old in self.by_name.items() if name not in wanted and old.state == "queued"]:
                del self.by_name[name]
            for order, clip in enumerate(clips):
                job = self.by_name.get(clip.name)
                if job is None:
                    before = states.get(clip.name)
                    job = self.by_name[clip.name] = JobState(clip, order, paused=before == "paused")
                    if before == "cancelled":
                        job.state, job.cancelled = "cancelled", True
                elif job.state in ("queued", "failed") and job.spec != clip:
                    job.spec = clip
                    self.change(job, "queued")
                job.order = order
            self._changed = True

    def change(self, job: JobState, state: JobStatus, message: str = "") -> None:
        """Set a job's state; after `close`, threads that were not waited for change nothing."""
        with self.lock:
            if self._closed:
                return
            job.state, job.message = state, message
            self._report(job)

    def count_frame(self, job: JobState) -> None:
        """Count a finished frame of a job."""
        with self.lock:
            job.frames_done += 1
            self._changed = True

    def obey(self) -> None:
        """Do what other processes command."""
        for action, name in _commands(self.folder / "control"):
            with self.lock:
                for job in matching(self.by_name.values(), name):
                    self._apply(action, job)

    def write(self, *, now: bool = False) -> None:
        """Write `jobs.json` if something has changed, at most once a second, and less often for many jobs."""
        with self.lock:
            pause = max(_WRITE_SECONDS, len(self.by_name) * _WRITE_SECONDS_PER_JOB)
            if not now and (not self._changed or time.monotonic() - self._written < pause):
                return
            self._changed, self._written = False, time.monotonic()
            values = {
                "format": 1,
                "file": os.path.abspath(self._jobs),
                "process": os.getpid(),
                "host": socket.gethostname(),
                "time": round(time.time(), 3),
                "threads": self.threads,
                "jobs": [job.row() for job in self.by_name.values()],
            }
            write_bytes_atomically(self.folder / "jobs.json", json.dumps(values, indent=1).encode())

    def record(self, kind: str, **facts: Any) -> None:
        """Add an event to the log."""
        with self.lock:
            self._log.append(kind, facts, durable=False)

    def close(self) -> None:
        """Write the last state and unlock the folder."""
        with self.lock:
            with suppress(Exception):  # a full disk must not hide what filled it
                self.write(now=True)
            self._closed = True
            self._log.close()
            self._lock.release()

    def _apply(self, action: Action, job: JobState) -> None:
        if action == "resume":
            again = job.state in ("cancelled", "failed")
            job.paused = job.cancelled = False
            if again:
                self.change(job, "queued")
                return
        elif job.state in FINAL_STATES:
            return
        elif action == "pause":
            job.paused = True
        else:
            job.cancelled, job.paused = True, False
            if job.state == "queued":
                self.change(job, "cancelled")
                return
        self._report(job)

    def _report(self, job: JobState) -> None:
        self._changed = True
        self.record("job", job=job.spec.name, state=job.shown, message=job.message)
        event = JobChanged(job.spec.name, job.shown, job.message, job.frames, job.frames_done)
        self._on_event(event)


def matching(_jobs_by_name: Iterable[JobState], name: str) -> list[JobState]:
    """Return the jobs that a name selects: `all`, a job, an entry, or a pattern of job names."""
    return [job for job in _jobs_by_name if fits(name, job.spec.name, job.spec.entry)]


def fits(name: str, job: str, entry: str) -> bool:
    """Return True if a name that a user gives selects a job."""
    return name in ("all", job, entry) or fnmatchcase(job, name)


def read_job_states(folder: Path) -> dict[str, Any] | None:
    """Read `jobs.json` in a state folder, without the lock; None if there is none.

    Raises:
        RunError: it is damaged.
    """
    path = folder / "jobs.json"
    try:
        values = json.loads(read_file(path, max_bytes=_MAX_STATE_BYTES))
        if not isinstance(values, dict) or not isinstance(values.get("jobs"), list):
            raise ValueError("no list of jobs")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged: {error}", "delete it; frames that are finished stay") from error
    return values


def ask(jobs: Path, action: Action, name: str) -> list[str]:
    """Leave a command for the batch of a file of jobs, running now or later; the names of the jobs that it means.

    Raises:
        ConfigError: no job has such a name.
        RunError: the batch has never been started.
    """
    folder = state_folder(jobs)
    states = read_job_states(folder)
    if states is None:
        raise RunError(f"the batch of {jobs} has never been started", f"start it with: vidnst batch {jobs}")
    rows = [row for row in states["jobs"] if isinstance(row, dict)]
    meant = [str(row["name"]) for row in rows if fits(name, str(row.get("name")), str(row.get("entry")))]
    if not meant:
        raise ConfigError(f"no job of {jobs} is called {name!r}", "see --dry-run for their names; `all` means all")
    command = json.dumps({"action": action, "name": name}).encode()
    write_bytes_atomically(_checked_control(folder) / f"{time.time_ns():020d}-{os.getpid()}.json", command)
    return meant


def _commands(folder: Path) -> Iterator[tuple[Action, str]]:
    """Yield the commands in the order in which they were given, and delete them; any other file stays."""
    check_folder(folder)
    names = os.listdir(folder) if folder.is_dir() else []
    for name in sorted(filter(_COMMAND_NAME.fullmatch, names)):
        path = folder / name
        with suppress(OSError, RunError, ValueError, KeyError, TypeError, RecursionError):
            command = json.loads(read_file(path, max_bytes=_MAX_COMMAND_BYTES))
            action, name = command["action"], command["name"]
            if action in get_args(Action) and isinstance(name, str):
                yield action, name
        remove_command(path)


def _checked_control(folder: Path) -> Path:
    """The folder of commands in a state folder, neither of which is a link or a file."""
    control = folder / "control"
    check_folder(folder)
    check_folder(control)
    return control
