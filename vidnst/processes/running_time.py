"""Clocks for long runs: limits that stand still while the process is stopped, times that no setting of a clock moves.

A limit in ordinary time would be over when a process that was stopped (SIGSTOP, Ctrl-Z) continues, before what it waits
for had a chance.
"""

import threading
import time
from collections.abc import Callable

_LONGEST_GAP_SECONDS = 2.0
"""Between two looks at a clock that looks more often, unless the process was stopped."""


class RunningClock:
    """Counts seconds from its making. It must be asked at least every two seconds: longer gaps count as two.

    Args:
        clock: returns seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()
        self._seconds = 0.0

    def __call__(self) -> float:
        """Return the seconds that this process has run."""
        now = self._clock()
        self._seconds += min(now - self._last, _LONGEST_GAP_SECONDS)
        self._last = now
        return self._seconds


class SteadyTime:
    """The time of day when this was made, plus the time that has passed since; setting the clock does not change it.

    It goes on while the machine sleeps.

    Args:
        wall: returns seconds since 1970.
        steady: returns seconds that never jump.
    """

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] | None = None) -> None:
        self._steady = steady or _seconds_since_boot
        self._offset = wall() - self._steady()

    def __call__(self) -> float:
        """Return seconds since 1970."""
        return self._offset + self._steady()


class RunningTimer(threading.Thread):
    """Calls a function in a thread of its own after some seconds in which this process runs, unless it is cancelled.

    Args:
        seconds: how long it waits.
        function: what it calls.
    """

    def __init__(self, seconds: float, function: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._wait_seconds = seconds
        self._function = function
        self._is_cancelled = threading.Event()

    def cancel(self) -> None:
        """Call nothing."""
        self._is_cancelled.set()

    def run(self) -> None:
        """Wait, and call the function."""
        clock = RunningClock()
        while (left := self._wait_seconds - clock()) > 0:
            if self._is_cancelled.wait(min(left, _LONGEST_GAP_SECONDS / 2)):
                return
        if not self._is_cancelled.is_set():
            self._function()


def _seconds_since_boot() -> float:
    """Seconds since the system was started, or since another moment where it does not count the time asleep."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
