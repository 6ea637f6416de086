"""Threads that nobody waits for any more, because what they wait for cannot be interrupted.

Each of them ends by itself and undoes what it has done. A process that does not wait for that may end itself, and all
that it has started, with `end_process`. Standard library only.
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress

from vidnst.processes.child_guard import CHILD_GUARD

_lock = threading.Lock()
_threads: list[threading.Thread] = []
_removals: list[Callable[[], None]] = []


def abandon(thread: threading.Thread) -> None:
    """Wait no longer for a thread."""
    with _lock:
        _threads.append(thread)


def is_any_left() -> bool:
    """True if an abandoned thread is still at work."""
    with _lock:
        return any(thread.is_alive() for thread in _threads)


def wait_for_abandoned() -> None:
    """Wait for the end of all abandoned threads but this one, before work begins that they would disturb."""
    with _lock:
        threads = [thread for thread in _threads if thread is not threading.current_thread()]
    for thread in threads:
        thread.join()
    with _lock:
        _threads[:] = [thread for thread in _threads if thread.is_alive()]


def add_removal(remove: Callable[[], None]) -> None:
    """Let `end_process` call this, for files that would be left: once at most, and from any thread."""
    with _lock:
        _removals.append(remove)


def drop_removal(remove: Callable[[], None]) -> None:
    """Undo `add_removal`."""
    with _lock, suppress(ValueError):
        _removals.remove(remove)


def end_process(status: int) -> None:
    """End this process at once with all guarded children, whatever its threads do; never returns."""
    try:
        removals = []
        if _lock.acquire(timeout=1):
            removals, _removals[:] = _removals[:], []
            _lock.release()
        for remove in removals:
            with suppress(Exception):
                remove()
        CHILD_GUARD.kill_unmarked()
    finally:
        os._exit(status)
