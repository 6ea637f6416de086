"""The processes of a Ray that is started on this machine: servers, agents and workers, none of which outlives it."""

import os
import signal
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from vidnst.errors import FarmError
from vidnst.processes.child_guard import CHILD_GUARD, ProcessKey, end_marked, family, lives

_END_SECONDS = 5.0
_PATIENT = {"RAY_health_check_failure_threshold": "100"}
"""Times that Ray asks whether its machine lives, at three to thirteen seconds each, before it gives it up. Five are for
clusters; on one machine, processes that were stopped for minutes (SIGSTOP) or are starved would count as dead."""


class LocalProcesses:
    """The processes of one local Ray, which end with it, and with this process in any case.

    A Ray that was running before is none of these, so a user's own cluster is never touched.
    """

    def __init__(self) -> None:
        self._mark = ""
        self._raylet: ProcessKey | None = None

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Let the processes that Ray starts in this block belong here; those of a failed start are ended."""
        with CHILD_GUARD.marking("ray") as self._mark, _in_environment(_PATIENT), _hangup_blocked():
            try:
                yield
            except BaseException:
                self._end()
                raise
            self._raylet = next(filter(_is_raylet, family(self._mark) if self._mark else ()), None)

    def check(self) -> None:
        """Check that the process that runs Ray's workers lives: without it, Ray would wait for minutes for nothing.

        Raises:
            FarmError: it has ended.
        """
        if self._raylet is None or lives(self._raylet):
            return
        how = end_of_child(self._raylet.pid)
        space = ": /dev/shm has no space left for its objects" if how == "SIGBUS" else ""
        raise FarmError(
            f"Ray has ended on this machine, by {how or 'an error of its own'}{space}",
            "free memory and space in /dev/shm, and give the same command again; everything that is finished is kept",
        )

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Let Ray end its processes in this block, and kill what is left: agents notice late that it is gone."""
        members = family(self._mark) if self._mark else set()
        yield
        self._end(members)

    def _end(self, members: Iterable[ProcessKey] = ()) -> None:
        self._raylet = None
        if self._mark:
            end_marked(self._mark, members, seconds=_END_SECONDS)
            self._mark = ""


def end_of_child(pid: int) -> str:
    """The name of the signal that ended a child process of this one; empty if none did, or it is not known."""
    with suppress(OSError, ValueError):
        status = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if status is not None and status.si_code in (os.CLD_KILLED, os.CLD_DUMPED):
            return signal.Signals(status.si_status).name
    return ""


def _is_raylet(process: ProcessKey) -> bool:
    try:
        return Path(os.readlink(f"/proc/{process.pid}/exe")).name == "raylet"
    except OSError:
        return False


@contextmanager
def _hangup_blocked() -> Iterator[None]:
    """Let no process that this thread starts in this block hear of a closed terminal, nor what such a process starts.

    A terminal tells all processes of its group. If Ray's raylet ended at that, Ray would end this process at once, with
    status 1. It blocks SIGINT in its servers by itself. This process still hears of it, at the latest after the block.
    """
    if not hasattr(signal, "pthread_sigmask"):  # not on Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _in_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables that the user has not set in this block."""
    added = [name for name in variables if name not in os.environ]
    os.environ.update({name: variables[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
