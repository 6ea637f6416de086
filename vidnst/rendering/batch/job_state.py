"""What a batch keeps of itself, beside its file of jobs: JOBS.batch for JOBS.yaml.

    jobs.json      every job with its state, written anew whenever something has changed
    events.jsonl   every change of a state, one JSON object per line
    control/       wishes of other processes, one file each, removed when they are heard
    lock           held by the process that renders

A job's frames live in its own run folder, and what is finished there is known from there: losing this folder loses
nothing but who was paused or cancelled.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from vidnst.atomic_write import translate_os_errors, write_bytes_atomically
from vidnst.errors import ConfigError, RunError
from vidnst.events import JobChanged, OnEvent
from vidnst.rendering.batch.job_file import ClipSpec
from vidnst.runs.event_log import EventLog
from vidnst.runs.folder_lock import FolderLock

JobStatus: TypeAlias = Literal["queued", "preparing", "rendering", "encoding", "done", "failed", "cancelled", "paused"]
Action: TypeAlias = Literal["pause", "resume", "cancel"]

OVER: tuple[JobStatus, ...] = ("done", "failed", "cancelled")
_LONGEST_BOARD = 256 << 20
_LONGEST_WISH = 1 << 16
_WRITE_SECONDS = 1.0
_WRITE_SECONDS_PER_JOB = 0.002
"""So that thousands of jobs are not written anew all the time."""


@dataclass(eq=False, slots=True)
class Ticket:
    """A job of a batch, and how far it is."""

    spec: ClipSpec
    order: int
    """Place in the file."""
    state: JobStatus = "queued"
    message: str = ""
    frames: int = 0
    frames_done: int = 0
    paused: bool = False
    """Its nodes are held back."""
    cancelled: bool = False

    @property
    def shown(self) -> JobStatus:
        """The state that others are told."""
        return "paused" if self.paused and self.state in ("queued", "preparing", "rendering") else self.state

    @property
    def urgency(self) -> tuple[int, int]:
        """What sorts jobs: the most urgent first."""
        return -self.spec.priority, self.order

    def row(self) -> dict[str, Any]:
        """Itself, as JSON values."""
        spec = self.spec
        return {
            "name": spec.name,
            "entry": spec.entry,
            "source": spec.source,
            "styles": list(spec.request.styles),
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
    """Where the batch of a file of jobs keeps its state."""
    return jobs.with_suffix(".batch")


class JobStates:
    """All jobs of a running batch. May be used from several threads; close it.

    Args:
        jobs: the file of jobs.
        on_event: hears of every change.

    Raises:
        RunError: another process renders this batch, or what it left is damaged.
    """

    def __init__(self, jobs: Path, on_event: OnEvent) -> None:
        self.folder = state_folder(jobs)
        self.tickets: dict[str, Ticket] = {}
        self.lock = threading.RLock()
        self.threads: int | None = None
        """Threads of a worker, which the bytes of frames made on CPUs depend on."""
        self._jobs = jobs
        self._on_event = on_event
        self._changed = True
        self._closed = False
        self._written = -_WRITE_SECONDS
        with translate_os_errors(self.folder):
            (self.folder / "control").mkdir(parents=True, exist_ok=True)
        self._lock = FolderLock(self.folder / "lock")
        try:
            self._before = read_board(self.folder) or {}
            self._log = EventLog(self.folder / "events.jsonl")
        except BaseException:
            self._lock.release()
            raise
        threads = self._before.get("threads")
        self.threads = threads if isinstance(threads, int) and threads > 0 else None
        self.record("session", process=os.getpid(), host=socket.gethostname())

    @property
    def over(self) -> bool:
        """Whether nothing more will come of any job by itself."""
        with self.lock:
            return all(ticket.state in OVER for ticket in self.tickets.values())

    def update(self, clips: Sequence[ClipSpec]) -> None:
        """Take in what the file says now: new jobs come, ones that nobody has begun change or go."""
        states = {row["name"]: row["state"] for row in self._before.get("jobs", ()) if isinstance(row, dict)}
        wanted = {clip.name for clip in clips}
        with self.lock:
            for name in [name for name, old in self.tickets.items() if name not in wanted and old.state == "queued"]:
                del self.tickets[name]
            for order, clip in enumerate(clips):
                ticket = self.tickets.get(clip.name)
                if ticket is None:
                    before = states.get(clip.name)
                    ticket = self.tickets[clip.name] = Ticket(clip, order, paused=before == "paused")
                    if before == "cancelled":
                        ticket.state, ticket.cancelled = "cancelled", True
                elif ticket.state in ("queued", "failed") and ticket.spec != clip:
                    ticket.spec = clip
                    self.change(ticket, "queued")
                ticket.order = order
            self._changed = True

    def change(self, ticket: Ticket, state: JobStatus, message: str = "") -> None:
        """Let a job come into a state; after the end, whoever was not waited for changes nothing."""
        with self.lock:
            if self._closed:
                return
            ticket.state, ticket.message = state, message
            self._tell(ticket)

    def count_frame(self, ticket: Ticket) -> None:
        """Note that a frame of a job is finished."""
        with self.lock:
            ticket.frames_done += 1
            self._changed = True

    def obey(self) -> None:
        """Do what other processes wish."""
        for action, name in _wishes(self.folder / "control"):
            with self.lock:
                for ticket in matching(self.tickets.values(), name):
                    self._apply(action, ticket)

    def write(self, *, now: bool = False) -> None:
        """Write `jobs.json` where something has changed, at most once a second, with many jobs less often."""
        with self.lock:
            pause = max(_WRITE_SECONDS, len(self.tickets) * _WRITE_SECONDS_PER_JOB)
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
                "jobs": [ticket.row() for ticket in self.tickets.values()],
            }
            write_bytes_atomically(self.folder / "jobs.json", json.dumps(values, indent=1).encode())

    def record(self, kind: str, **facts: Any) -> None:
        """Add an event to the log."""
        with self.lock:
            self._log.append(kind, facts, durable=False)

    def close(self) -> None:
        """Write the last state and let others have the folder."""
        with self.lock:
            with suppress(Exception):  # a full disk must not hide what filled it
                self.write(now=True)
            self._closed = True
            self._log.close()
            self._lock.release()

    def _apply(self, action: Action, ticket: Ticket) -> None:
        if action == "resume":
            again = ticket.state in ("cancelled", "failed")
            ticket.paused = ticket.cancelled = False
            if again:
                self.change(ticket, "queued")
                return
        elif ticket.state in OVER:
            return
        elif action == "pause":
            ticket.paused = True
        else:
            ticket.cancelled, ticket.paused = True, False
            if ticket.state == "queued":
                self.change(ticket, "cancelled")
                return
        self._tell(ticket)

    def _tell(self, ticket: Ticket) -> None:
        self._changed = True
        self.record("job", job=ticket.spec.name, state=ticket.shown, message=ticket.message)
        event = JobChanged(ticket.spec.name, ticket.shown, ticket.message, ticket.frames, ticket.frames_done)
        self._on_event(event)


def matching(tickets: Iterable[Ticket], name: str) -> list[Ticket]:
    """The jobs that a name means: `all`, a job's, an entry's, or a pattern of jobs' names."""
    return [ticket for ticket in tickets if fits(name, ticket.spec.name, ticket.spec.entry)]


def fits(name: str, job: str, entry: str) -> bool:
    """Whether a name as a user gives it means a job."""
    return name in ("all", job, entry) or fnmatchcase(job, name)


def read_board(folder: Path) -> dict[str, Any] | None:
    """What `jobs.json` in a state folder says, read without the lock; None where there is none.

    Raises:
        RunError: it is damaged.
    """
    path = folder / "jobs.json"
    try:
        if path.stat().st_size > _LONGEST_BOARD:
            raise ValueError("over 256 MiB")
        values = json.loads(path.read_bytes())
        if not isinstance(values, dict) or not isinstance(values.get("jobs"), list):
            raise ValueError("no list of jobs")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged: {error}", "delete it; frames that are finished stay") from error
    return values


def ask(jobs: Path, action: Action, name: str) -> list[str]:
    """Leave a wish for the batch of a file of jobs, running now or later; the names of the jobs that it means.

    Raises:
        ConfigError: no job has such a name.
        RunError: the file's batch has never been begun.
    """
    folder = state_folder(jobs)
    board = read_board(folder)
    if board is None:
        raise RunError(f"the batch of {jobs} has never been begun", f"begin it with: vidnst batch {jobs}")
    rows = [row for row in board["jobs"] if isinstance(row, dict)]
    meant = [str(row["name"]) for row in rows if fits(name, str(row.get("name")), str(row.get("entry")))]
    if not meant:
        raise ConfigError(f"no job of {jobs} is called {name!r}", "see --dry-run for their names; `all` means all")
    wish = json.dumps({"action": action, "name": name}).encode()
    write_bytes_atomically(folder / "control" / f"{time.time_ns():020d}-{os.getpid()}.json", wish)
    return meant


def _wishes(folder: Path) -> Iterator[tuple[Action, str]]:
    """Wishes in the order of their times; a file that is none is removed and means nothing."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name.startswith(".") or not entry.is_file(follow_symlinks=False):
            continue
        path = Path(entry.path)
        with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            wish = json.loads(path.read_bytes()[:_LONGEST_WISH])
            action, name = wish["action"], wish["name"]
            if action in get_args(Action) and isinstance(name, str):
                yield action, name
        with suppress(OSError):
            path.unlink(missing_ok=True)
