"""Time the first command of README: its first sign of life, first work, first time left, first frame, its end.

    python tests/bench/time_line.py [CHECKOUT ...] [--runs 3] [--until work|left|frame|end] [--set key=value ...]

Runs the command from each checkout in turn, so that what else the machine does falls on all of them, and prints a
Markdown table of medians in seconds.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MOMENTS = ("sign", "work", "left", "frame", "end")


def moments_of(event: dict[str, Any]) -> Iterator[str]:
    """Yield the moments that an event marks. `work` is the end of the first piece of work."""
    if event["event"] == "paced":
        if event["seconds_left"] is not None:
            yield "left"
        if not event["is_forecast"]:
            yield "work"
    elif event["event"] in (marks := {"stage": "sign", "frame_done": "frame", "run_finished": "end"}):
        yield marks[event["event"]]


def run_once(checkout: Path, until: str, more: list[str], folder: Path) -> dict[str, float]:
    """Run the command, until a moment and all before it have come, and return when its moments came, in seconds."""
    words = ["render", str(ROOT / "samples/timelapse.mp4"), "--style", str(ROOT / "samples/styles/swirls.jpg")]
    words += ["--preset", "draft", "-o", str(folder / "out.mp4"), "--json", *more]
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    began = time.monotonic()
    found: dict[str, float] = {}
    with subprocess.Popen(
        [sys.executable, "-m", "vidnst", *words], stdout=subprocess.PIPE, text=True, env=environment, cwd=folder
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            for moment in moments_of(json.loads(line)):
                found.setdefault(moment, time.monotonic() - began)
            if until != "end" and found.keys() >= set(MOMENTS[: MOMENTS.index(until) + 1]):
                process.send_signal(signal.SIGINT)
                break
        process.communicate()
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("checkouts", nargs="*", type=Path, default=[ROOT])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--until", choices=MOMENTS, default="end")
    parser.add_argument("--set", action="append", default=[])
    asked = parser.parse_args()
    more = [word for text in asked.set for word in ("--set", text)]
    found: dict[Path, list[dict[str, float]]] = {checkout.resolve(): [] for checkout in asked.checkouts}
    for _ in range(asked.runs):
        for checkout, runs in found.items():
            with tempfile.TemporaryDirectory() as folder:
                runs.append(run_once(checkout, asked.until, more, Path(folder)))
                sys.stderr.write(f"{checkout}: {runs[-1]}\n")
    head = ["checkout", *MOMENTS]
    sys.stdout.write(f"| {' | '.join(head)} |\n|{'---|' * len(head)}\n")
    for checkout, runs in found.items():
        cells = [str(checkout)]
        for moment in MOMENTS:
            seconds = [run[moment] for run in runs if moment in run]
            cells.append(f"{statistics.median(seconds):.1f}" if seconds else "-")
        sys.stdout.write(f"| {' | '.join(cells)} |\n")


if __name__ == "__main__":
    main()
