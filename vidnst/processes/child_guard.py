"""Ends the child processes of this process when it ends, however it does: SIGKILL included. Linux only.

A child that is to be guarded gets a mark in its environment, which its own children inherit. A small process watches
this one, and when it is gone, kills whatever carries the mark and nothing else. Standard library only: the watching
process runs this file as a script.
"""

import errno
import os
import secrets
import select
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

VARIABLE = "VIDNST_CHILD_OF"
"""The environment variable that holds the mark."""
_END_SECONDS = 10.0
_PAUSE_SECONDS = 0.05
_FAMILY_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 60.0)
"""Seconds between two looks at what the marked processes have started themselves."""
_PROC = Path("/proc")


class ChildGuard:
    """The mark of this process's children, and the process that watches over them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner = 0
        self._mark = ""
        self._watcher: int | None = None
        self._pipe: int | None = None

    def environment(self) -> dict[str, str] | None:
        """Return the environment of a child that is to end with this process; None is the usual one."""
        mark = self.mark()
        return {**_environment(), VARIABLE: mark} if mark else None

    def mark(self) -> str:
        """Return the mark, and start the watching process if there is none; empty if there can be none."""
        with self._lock:
            if self._owner != os.getpid():  # also in a process that was forked from a guarded one
                self._owner = os.getpid()
                self._mark = self._start()
            return self._mark

    @contextmanager
    def marking(self, kind: str) -> Iterator[str]:
        """Let the children that are started in this block by others carry a mark of their own; yield it."""
        mark = self.mark()
        if not mark:
            yield ""
            return
        mark = f"{mark}.{kind}-{secrets.token_hex(4)}"
        before = os.environ.get(VARIABLE)
        os.environ[VARIABLE] = mark
        try:
            yield mark
            self._remember_family()
        finally:
            if before is None:
                del os.environ[VARIABLE]
            else:
                os.environ[VARIABLE] = before

    def kill_unmarked(self) -> None:
        """Kill what descends from guarded children and has overwritten its mark; for a process that ends right after.

        Then the watching process kills the others, by their mark; it would not know these. The others live on until
        then, since Ray ends the process whose servers it misses, with a status of its own.
        """
        if self._mark and self._owner == os.getpid():
            for member in family(self._mark):
                if not _carries(member.pid, self._mark):
                    _kill(member)

    def close(self) -> None:
        """End all guarded children, and the watching process."""
        with self._lock:
            if self._owner != os.getpid() or self._pipe is None or self._watcher is None:
                return
            os.close(self._pipe)
            with suppress(ChildProcessError):
                os.waitpid(self._watcher, 0)
            self._owner, self._pipe, self._watcher = 0, None, None

    def _remember_family(self) -> None:
        """Let the watching process note from now on what the marked ones start, while their ancestors tell of them."""
        with self._lock, suppress(OSError):
            if self._pipe is not None:
                os.write(self._pipe, b"+")

    def _start(self) -> str:
        if not sys.platform.startswith("linux") or not sys.executable or not (_PROC / "self" / "environ").exists():
            return ""
        mark = f"{os.getpid()}-{secrets.token_hex(8)}"
        readable, self._pipe = os.pipe()
        command = [sys.executable, "-I", "-S", __file__, mark, str(os.getpid())]
        nowhere = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]
        environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
        try:
            self._watcher = os.posix_spawn(
                sys.executable,
                command,
                environment,
                file_actions=[(os.POSIX_SPAWN_DUP2, readable, 0), *nowhere],
                setsid=True,  # what a terminal sends to this process's group is not for it
            )
        except (OSError, NotImplementedError):  # no memory for another process: then there is no guard
            os.close(self._pipe)
            self._pipe = self._watcher = None
            return ""
        finally:
            os.close(readable)
        return mark


CHILD_GUARD = ChildGuard()
"""The guard of this process."""


def _environment() -> dict[str, str]:
    """A copy of the environment, which a thread that starts Ray may be changing."""
    while True:
        try:
            return dict(os.environ)
        except KeyError:  # a variable was removed between its name and its value
            continue


class ProcessKey(NamedTuple):
    """A process, which its number alone does not name for good."""

    pid: int
    began: int
    """Ticks from the start of the system to its own."""


def family(mark: str) -> set[ProcessKey]:
    """Return the processes with a mark, or one that begins with it and a dot, and all that descend from them.

    A process that changes its title, as Ray's do, may overwrite its mark; then its ancestors tell whose it is.
    """
    parents: dict[int, int] = {}
    began: dict[int, int] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdecimal() and (facts := _facts(int(entry.name))) is not None:
            parents[int(entry.name)], began[int(entry.name)] = facts
    found = {pid for pid in parents if pid != os.getpid() and _carries(pid, mark)}
    while more := {pid for pid, parent in parents.items() if parent in found and pid not in found}:
        found |= more
    return {ProcessKey(pid, began[pid]) for pid in found}


def end_marked(mark: str, known: Iterable[ProcessKey] = (), *, seconds: float = _END_SECONDS) -> bool:
    """Kill the family of a mark, and what is known to have been part of it; False if some live on after the time."""
    deadline = time.monotonic() + seconds
    members = set(known)
    while True:
        members |= family(mark)
        members = {member for member in members if lives(member)}
        if not members:
            return True
        for member in members:
            _kill(member)
        if time.monotonic() >= deadline:
            return False
        time.sleep(_PAUSE_SECONDS)


def _facts(pid: int) -> tuple[int, int] | None:
    """The parent and the start of a process; None if it has ended."""
    try:
        words = (_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if words[0] in b"ZX" else (int(words[1]), int(words[19]))


def _carries(pid: int, mark: str) -> bool:
    own = f"{VARIABLE}={mark}".encode()
    try:
        variables = (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:  # it has gone, or belongs to another user
        return False
    return any(variable == own or variable.startswith(own + b".") for variable in variables)


def lives(member: ProcessKey) -> bool:
    """True if a process has not ended."""
    facts = _facts(member.pid)
    return facts is not None and facts[1] == member.began


def _kill(member: ProcessKey) -> None:
    """Kill a process, and no other that got its number."""
    with suppress(OSError):
        handle = _handle_of(member.pid)
        try:
            if not lives(member):
                return
            if handle is None:
                os.kill(member.pid, signal.SIGKILL)
            else:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            if handle is not None:
                os.close(handle)


def _handle_of(pid: int) -> int | None:
    """Open a process so that its number cannot pass to another unnoticed; None where the system cannot."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        if error.errno == errno.ENOSYS:
            return None
        raise


def _watch(mark: str, owner: int) -> None:
    """Wait until the process that was started by `owner` closes its end of the pipe, or is gone; end its children."""
    known: set[ProcessKey] = set()
    pauses: list[float] = []
    waited_for = select.poll()
    waited_for.register(0, select.POLLIN | select.POLLHUP)
    with suppress(OSError):
        handle = _handle_of(owner)
        if handle is not None:  # else the pipe alone must do, which a forked child may hold open
            waited_for.register(handle, select.POLLIN)
        while os.getppid() == owner:  # else it is gone, and its number may be another's
            ready = waited_for.poll(None if not pauses else 1000 * pauses[0])
            if [number for number, _ in ready] == [0] and os.read(0, 1):
                pauses = list(_FAMILY_PAUSES)
            elif ready:
                break
            elif len(pauses) > 1:
                del pauses[0]
            known = {member for member in known | family(mark) if lives(member)}
    end_marked(mark, known)


if __name__ == "__main__":
    _watch(sys.argv[1], int(sys.argv[2]))
