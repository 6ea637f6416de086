"""Stop renders by signals at random moments, and look at what they leave.

    python tests/bench/signals.py [--count N] [--seed N] [--executor inline|ray ...] [--phase NAME ...]

Each render gets SIGINT, SIGTERM or SIGHUP at a moment within its start-up, the probing of its source, painting or
encoding, drawn with the seed. Prints a Markdown table: the status, the seconds until the process had ended, whether
processes were left ten seconds later, and whether the resumed render has the bytes of an undisturbed one.
"""

import argparse
import itertools
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.media import write_burst, write_style
from support.signalled_renders import PHASES, SignalledRender, render_arguments, write_render_settings

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LIMIT_SECONDS = 8.0
LEFT_SECONDS = 10.0
STOPPED = 130
NO_WORKERS = 7
START_ATTEMPTS = 5


@dataclass(frozen=True)
class Trial:
    """A signal at a moment of a render, and what came of it."""

    executor: str
    phase: str
    number: signal.Signals
    at: float
    status: int
    seconds: float
    left: int
    same: bool

    @property
    def passes(self) -> bool:
        """True if it ended as promised; a render that was over before the signal came has status 0."""
        return self.status in (0, STOPPED) and self.seconds < LIMIT_SECONDS and not self.left and self.same

    def row(self) -> str:
        """Return a row of the table."""
        verdict = ("yes" if self.status else "void") if self.passes else "**no**"  # void: it had ended before
        same = "same" if self.same else "**differ**"
        cells = (self.executor, self.phase, self.number.name, f"{self.at:.1f}", self.status, f"{self.seconds:.1f}")
        return f"| {' | '.join(map(str, cells))} | {self.left} | {same} | {verdict} |"


def finished(arguments: list[str]) -> SignalledRender:
    """Render to the end; a Ray that does not start on a busy machine within its 30 seconds gets more chances."""
    for _ in range(START_ATTEMPTS):
        render = SignalledRender.start(arguments)
        if render.end(timeout_seconds=900) != NO_WORKERS:
            break
    return render


def undisturbed(folder: Path, executor: str) -> tuple[bytes, dict[str, float], float]:
    """Render without a signal; return the bytes, the moments at which phases began, and the length."""
    arguments, output = render_arguments(folder, executor, "undisturbed")
    render = finished(arguments)
    if render.process.returncode:
        sys.exit("".join(render.errors))
    return output.read_bytes(), render.entered, render.ended - render.began


def lengths(entered: dict[str, float], end: float) -> dict[str, float]:
    """Return the length of each phase."""
    moments = [*(entered[phase] for phase in PHASES), end]
    return {phase: after - before for phase, (before, after) in zip(PHASES, itertools.pairwise(moments), strict=True)}


def disturb(
    folder: Path, executor: str, name: str, phase: str, delay: float, number: signal.Signals, truth: bytes
) -> Trial:
    """Send a signal some seconds after the beginning of a phase, wait for the end, and resume."""
    arguments, output = render_arguments(folder, executor, name)
    render = SignalledRender.start(arguments)
    render.wait_for(phase, timeout_seconds=900)
    time.sleep(delay)
    at = time.monotonic() - render.began
    began = time.monotonic()
    if render.process.poll() is None:
        render.signal(number, to_group=number != signal.SIGTERM)  # as Ctrl-C and a closed terminal
    status = render.end(timeout_seconds=120)
    seconds = render.ended - began
    while render.left() and time.monotonic() - began < seconds + LEFT_SECONDS:
        time.sleep(0.2)
    left = render.left()
    render.kill_left()
    if not output.exists():
        again = finished(arguments)
        if again.process.returncode:
            sys.stderr.write(f"{name} does not resume: {''.join(again.errors)}")
    same = output.exists() and output.read_bytes() == truth
    return Trial(executor, phase, number, at, status, seconds, len(left), same)


def write(text: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Run the trials of each executor and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20, help="moments per executor")
    parser.add_argument("--seed", type=int, default=18)
    parser.add_argument("--executor", nargs="+", default=["inline", "ray"], choices=["inline", "ray"])
    parser.add_argument("--phase", nargs="+", default=PHASES, choices=PHASES)
    options = parser.parse_args()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # below nohup it is ignored, which the renders would inherit
    write(f"Load average at the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.\n")
    write("| executor | phase | signal | at (s) | status | seconds | left | resumed bytes | as promised |")
    write("|---|---|---|---|---|---|---|---|---|")
    trials = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "burst").mkdir()
        write_burst(folder / "burst", 12, size=(96, 64), cells=(12, 16))
        write_style(folder / "style.png")
        for executor in options.executor:
            write_render_settings(folder / f"{executor}.json", executor=executor)
            chance = random.Random(options.seed)
            truth, entered, end = undisturbed(folder, executor)
            spans = lengths(entered, end)
            for turn in range(options.count):
                phase = options.phase[turn % len(options.phase)]
                delay = chance.uniform(0.5 if phase == "start-up" else 0.0, max(0.5, spans[phase]))
                number = SIGNALS[turn % len(SIGNALS)]
                for attempt in range(START_ATTEMPTS):
                    name = f"trial-{executor}-{turn}-{attempt}"
                    trial = disturb(folder, executor, name, phase, delay, number, truth)
                    if trial.status != NO_WORKERS:  # else Ray had not started, and the signal came too late
                        break
                trials.append(trial)
                write(trial.row())
    write(f"\n{sum(trial.passes for trial in trials)} of {len(trials)} as promised.")


if __name__ == "__main__":
    main()
