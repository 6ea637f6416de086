"""Waiting for other threads and processes, and killing them at a moment that the test chooses."""

import signal
import subprocess
import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], *, timeout_seconds: float = 60.0, poll_seconds: float = 0.01) -> bool:
    """Wait until a condition is true; return False where it is not in time."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(poll_seconds)
    return True


def kill_when(
    command: list[str], condition: Callable[[], object], *, delay_seconds: float = 0.0, timeout_seconds: float = 240.0
) -> None:
    """Start a command and kill it with SIGKILL some time after a condition has become true.

    Raises:
        AssertionError: the command has ended by itself, or the condition has not become true in time.
    """
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        met = wait_until(lambda: process.poll() is not None or condition(), timeout_seconds=timeout_seconds)
        time.sleep(delay_seconds)
        assert met, "the moment for the kill did not come in time"
        assert process.poll() is None, f"the command ended with status {process.returncode} before it could be killed"
    finally:
        process.kill()
        status = process.wait()
    assert status == -signal.SIGKILL
