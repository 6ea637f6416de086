"""Time the first command of README: its first sign of life, first work, first time left, first frame, its end.

    python tests/bench/time_line.py [CHECKOUT ...] [--runs 3] [--until left|frame|end] [--set key=value ...]

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
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MOMENTS = ("sign", "work", "left", "frame", "end")


def moment_of(event: dict[str, Any]) -> str | None:
    """The moment that an event marks."""
    if event["event"] == "paced" and event.get("seconds_left") is not None:
        return "left"
    return {"stage": "sign", "node_started": "work", "frame_done": "frame", "run_finished": "end"}.get(event["event"])


def run_once(checkout: Path, until: str, more: list[str], folder: Path) -> dict[str, float]:
    """Run the command, up to a moment, and return when its moments came, in seconds."""
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
            if (moment := moment_of(json.loads(line))) is not None:
                found.setdefault(moment, time.monotonic() - began)
            if until in found and until != "end":
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
