"""The parent: starts children for the parts, bounds the time of each part, and replaces a child that ends."""

import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from bench.gpu_check.findings import FAIL, LEFT_OUT, Findings, Row

START_SECONDS = 60.0
"""Most time in which a child begins its first part: it loads torch, and starts CUDA."""
_EXIT_SECONDS = 20.0
"""Most time in which a child ends after its last part."""


class _OverdueError(Exception):
    """A part, or the next one if it has no name, has had its time."""

    def __init__(self, part: str, seconds: float) -> None:
        super().__init__(part)
        self.part = part
        self.seconds = seconds


class Supervisor:
    """Runs parts in children until each has ended, failed or run out of time.

    Args:
        command: from parts, the end of all time and what was found so far to the command of a child.
        budgets: most seconds of each part, in the order of the parts.
        until: when, as `time.time` has it, everything must be over.
        log: receives what children print.
        start_seconds: most time in which a child begins a part.
        show: called with each row.
    """

    def __init__(
        self,
        command: Callable[[Sequence[str], Mapping[str, Any]], Sequence[str]],
        budgets: Mapping[str, float],
        *,
        until: float,
        log: Path,
        start_seconds: float = START_SECONDS,
        show: Callable[[Row], None],
    ) -> None:
        self.findings = Findings()
        self._command = command
        self._budgets = dict(budgets)
        self._until = until
        self._log = log
        self._start_seconds = start_seconds
        self._show = show
        self._pending = list(budgets)

    def run(self, save: Callable[[Findings], object]) -> Findings:
        """Run all parts; `save` is called after each."""
        with self._log.open("wb") as log:
            while self._pending:
                if time.time() > self._until:
                    self._end_pending("no time left", LEFT_OUT)
                    break
                self._run_child(log, save)
        save(self.findings)
        return self.findings

    def _run_child(self, log: IO[bytes], save: Callable[[Findings], object]) -> None:
        pending = list(self._pending)
        command = self._command(pending, self.findings.facts)
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True)
        assert child.stdout is not None
        lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        reader = threading.Thread(target=_read, args=(child.stdout, lines), daemon=True)
        reader.start()
        try:
            current, began = self._follow(lines, save)
            status = _end(child, grace_seconds=_EXIT_SECONDS)
            if current or self._pending == pending:
                why = f"its process ended with status {status}: see {self._log.name}"
                self._fail(current, why, time.time() - began)
        except _OverdueError as error:
            self._fail(error.part, f"not done after {error.seconds:.0f} s", error.seconds)
        finally:
            if child.returncode is None:
                _end(child, grace_seconds=0.0)
            reader.join(timeout=5)
            child.stdout.close()

    def _follow(self, lines: "queue.SimpleQueue[str | None]", save: Callable[[Findings], object]) -> tuple[str, float]:
        """Take what a child says until it says no more; returns the part in work, empty for none, and its begin.

        Raises:
            _OverdueError: a part took too long, or the child to begin one.
        """
        current, began = "", time.time()
        deadline = began + self._start_seconds
        while self._pending:
            try:
                line = lines.get(timeout=max(0.0, deadline - time.time()))
            except queue.Empty:
                raise _OverdueError(current, time.time() - began) from None
            if line is None:
                break
            message = json.loads(line)
            self._take(message)
            if "begin" in message:
                current, began = message["begin"], time.time()
                deadline = min(began + self._budgets[current], self._until)
            elif "end" in message:
                self._pending.remove(message["end"])
                current, began = "", time.time()
                deadline = began + self._start_seconds
                save(self.findings)
        return current, began

    def _take(self, message: Mapping[str, Any]) -> None:
        if "machine" in message:
            self.findings.machine = dict(message["machine"])
        elif "row" in message:
            self._add(Row(*message["row"]))
        elif "facts" in message:
            part, facts = message["facts"]
            self.findings.facts.setdefault(part, {}).update(facts)
        elif "end" in message:
            self.findings.seconds[message["end"]] = message["seconds"]

    def _fail(self, part: str, why: str, seconds: float) -> None:
        """Give up the part in work, or the next one if none had begun."""
        name = part or self._pending[0]
        self._add(Row(name, "the part", why, FAIL))
        self.findings.seconds[name] = round(seconds, 1)
        self._pending.remove(name)

    def _end_pending(self, why: str, verdict: str) -> None:
        for name in self._pending:
            self._add(Row(name, "the part", why, verdict))
        self._pending.clear()

    def _add(self, row: Row) -> None:
        self.findings.rows.append(row)
        self._show(row)


def _read(stream: IO[str], lines: "queue.SimpleQueue[str | None]") -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def _end(child: "subprocess.Popen[str]", *, grace_seconds: float) -> int:
    """End a child with what it started, once it has ended by itself or the time is up; returns its status."""
    until = time.monotonic() + grace_seconds
    # It is not reaped yet, so that no other process group can have its number.
    flags = os.WEXITED | os.WNOWAIT | os.WNOHANG
    while os.waitid(os.P_PID, child.pid, flags) is None and time.monotonic() < until:
        time.sleep(0.05)
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    return child.wait()
