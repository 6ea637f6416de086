"""Child processes whose time and output are bounded: what a hostile file does to one ends there."""

import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vidnst.processes.child_guard import CHILD_GUARD
from vidnst.processes.running_time import RunningTimer

_MAX_ERROR_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ChildResult:
    """How a child process ended, and what it wrote."""

    status: int
    """Exit status; negative if a signal ended it, also that of a limit."""
    output: bytes
    """Its standard output, up to the limit."""
    error_output: str
    """The beginning of its standard error."""


def run_child(command: Sequence[str | Path], *, max_bytes: int, seconds: float | None = None) -> ChildResult:
    """Run a command without a shell or input, and kill it when it takes too long or writes too much.

    Args:
        command: the program and its arguments.
        max_bytes: most bytes of standard output.
        seconds: most seconds of wall time in which this process runs; None is no limit.
    """
    with subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=CHILD_GUARD.environment(),
        start_new_session=True,  # Ctrl-C in the terminal must reach the parent only
    ) as process:
        timer = RunningTimer(seconds or 0, process.kill)
        if seconds is not None:
            timer.start()
        chunks: list[bytes] = []
        error_reader = threading.Thread(target=_drain_errors, args=(process, chunks), daemon=True)
        error_reader.start()
        try:
            assert process.stdout is not None
            output = process.stdout.read(max_bytes)
            if len(output) == max_bytes:
                process.kill()
        except BaseException:
            process.kill()
            raise
        finally:
            error_reader.join()
            process.wait()
            timer.cancel()
    return ChildResult(process.returncode, output, b"".join(chunks).decode(errors="replace"))


def _drain_errors(process: subprocess.Popen[bytes], chunks: list[bytes]) -> None:
    """Drain the standard error of a process, so that it never blocks, and keep the beginning."""
    assert process.stderr is not None
    kept_bytes = 0
    while block := process.stderr.read(1 << 16):
        if kept_bytes < _MAX_ERROR_BYTES:
            chunks.append(block)
            kept_bytes += len(block)
