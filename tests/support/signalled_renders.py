"""Renders in processes of their own that get signals at chosen moments, and what is left of them afterwards."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from support.processes import wait_until
from support.renders import quick_settings, write_settings

MARK = "VIDNST_TEST_RENDER"
"""Environment variable that every process of a render inherits, however it is started."""
PHASES = ("start-up", "probing", "painting", "encoding")


@dataclass
class SignalledRender:
    """A running render, with the moments at which it entered its phases."""

    process: subprocess.Popen[str]
    mark: str
    began: float
    entered: dict[str, float] = field(default_factory=dict)
    """Seconds after its start at which it entered each phase."""
    events: list[dict[str, object]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    ended: float = 0.0
    """The moment of its end, in seconds of `time.monotonic`."""
    threads: list[threading.Thread] = field(default_factory=list)

    @classmethod
    def start(cls, arguments: Sequence[str], *, environment: dict[str, str] | None = None) -> "SignalledRender":
        """Start `vidnst` with some arguments; `--json` is added."""
        mark = uuid.uuid4().hex
        process = subprocess.Popen(
            [sys.executable, "-m", "vidnst", *arguments, "--json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", **(environment or {}), MARK: mark},
            preexec_fn=_default_interrupt,
            cwd=Path(__file__).resolve().parents[2],
        )
        render = cls(process, mark, time.monotonic(), {"start-up": 0.0})
        for target in (render._read_events, render._read_errors):
            thread = threading.Thread(target=target, daemon=True)
            thread.start()
            render.threads.append(thread)
        return render

    def wait_for(self, phase: str, *, timeout_seconds: float = 240.0) -> bool:
        """Wait until a phase has begun; False if the render ended before."""
        ended = wait_until(
            lambda: phase in self.entered or self.process.poll() is not None, timeout_seconds=timeout_seconds
        )
        return ended and phase in self.entered

    def signal(self, number: signal.Signals, *, to_group: bool = False) -> None:
        """Send a signal to the driver alone, as `kill` does, or to its process group, as a terminal does."""
        if to_group:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)

    def end(self, *, timeout_seconds: float = 240.0) -> int:
        """Wait for the end; returns its status, with signals as 128 and their number, as shells have it."""
        try:
            status = self.process.wait(timeout_seconds)
            self.ended = time.monotonic()
        finally:
            if self.process.poll() is None:
                self.process.kill()
        for thread, pipe in zip(self.threads, (self.process.stdout, self.process.stderr), strict=True):
            thread.join(60)  # a child that is left holds the other end
            if pipe is not None and not thread.is_alive():
                pipe.close()
        return status if status >= 0 else 128 - status

    def left(self) -> dict[int, str]:
        """Return the command lines of processes that it started and that still live, by their ids."""
        return marked_processes(f"{MARK}={self.mark}")

    def kill_left(self) -> None:
        """Kill what is left of it."""
        for pid in self.left():
            os.kill(pid, signal.SIGKILL)

    def _read_events(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event = json.loads(line)
            self.events.append(event)
            phase = _phase_of(event)
            if phase is not None:
                self.entered.setdefault(phase, time.monotonic() - self.began)

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self.errors.extend(self.process.stderr)


def _default_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell inherits that it is ignored


def _phase_of(event: dict[str, object]) -> str | None:
    name, stage = event.get("event"), event.get("stage")
    if name == "Stage" or stage is not None:
        return {"starting": None, "encoding": "encoding"}.get(str(stage), "probing")
    return {"NodeStarted": "painting", "node_started": "painting"}.get(str(name))


def marked_processes(mark: str) -> dict[int, str]:
    """Return the command lines of living processes whose environment holds a mark, by their ids; zombies aside."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (entry / "environ").read_bytes().split(b"\0"):
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                if state != "Z":
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return found


def write_render_settings(path: Path, *, executor: str, iterations: int = 40) -> Path:
    """Write settings of a small render that paints for some seconds."""
    settings = quick_settings(
        optimize={"iterations": iterations},
        farm={"executor": executor, "workers": 2},
        output={"keep_frames": False},
    )
    return write_settings(path, settings)


def render_arguments(folder: Path, executor: str, name: str) -> tuple[list[str], Path]:
    """Return the arguments of a render, and its output: of `burst` with `style.png` and the executor's settings."""
    output = folder / f"{name}.mp4"
    words = ["render", str(folder / "burst"), "--style", str(folder / "style.png")]
    return [*words, "-o", str(output), "--config", str(folder / f"{executor}.json")], output
