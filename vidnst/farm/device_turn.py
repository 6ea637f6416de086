"""Whose turn it is at a worker's device: jobs are prepared side by side and computed one after the other.

Imports no torch.
"""

import heapq
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Lock


class DeviceTurn:
    """A lock for threads that each take a place in the line before they are ready.

    Among the threads that wait, the one with the earliest place goes first. One that is not ready yet keeps nobody
    waiting. So results come nearly in the order of jobs, and the device never waits for a job while another is ready.
    """

    def __init__(self) -> None:
        self._places = 0
        self._places_lock = Lock()
        self._changed = Condition()
        self._waiting: list[int] = []
        self._taken = False

    def place(self) -> int:
        """Take the next place in the line."""
        with self._places_lock:
            self._places += 1
            return self._places

    @contextmanager
    def held(self, place: int) -> Iterator["Stopwatch"]:
        """Wait for the turn of a place, and have the device for the block. The same place may be used again."""
        with self._changed:
            heapq.heappush(self._waiting, place)
            self._changed.wait_for(lambda: not self._taken and self._waiting[0] == place)
            heapq.heappop(self._waiting)
            self._taken = True
        stopwatch = Stopwatch()
        try:
            yield stopwatch
        finally:
            stopwatch.stop()
            with self._changed:
                self._taken = False
                self._changed.notify_all()


class Stopwatch:
    """Measures seconds from when it is made."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self.seconds = 0.0
        """0 until it is stopped."""

    def stop(self) -> None:
        """Note the seconds so far."""
        self.seconds = time.perf_counter() - self._began
