"""Compare the time left that is shown with the time that a render then takes.

    python tests/bench/time_left.py [CLIP] [STYLE] [--frames 24] [--size 128] [--only default chain ...]
        [--set key=value ...]

Renders the beginning of a clip by the default preset, `timelapse`, `chain`, a network trained on the clip, and twice in
a batch, all with `slim` in this process. Prints a Markdown table: at 10, 30, 50, 70 and 90 % of the work, the first
time left that was shown then over the time in which the last frame was finished. 1 is right.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import vidnst
from vidnst.events import BatchProgress, Event, FrameDone, Paced

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
KINDS: dict[str, tuple[str | None, dict[str, Any]]] = {
    "default": (None, {}),
    "timelapse": ("timelapse", {}),
    "chain": (None, {"schedule.kind": "chain"}),
    "network": (None, {"schedule.kind": "network", "schedule.passes": 2, "schedule.training.steps": 120}),
    "batch of two": (None, {}),
}


class Times:
    """Records what was shown, and when frames were finished."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.shown: list[tuple[float, float, float]] = []
        """Seconds since the beginning, share of the work, and seconds left."""
        self.last_frame = 0.0
        self.in_batch = False
        self._frames = 0

    def __call__(self, event: Event) -> None:
        now = time.monotonic() - self.began
        frames = event.frames_done if isinstance(event, FrameDone | BatchProgress) else 0
        if frames > self._frames:
            self._frames, self.last_frame = frames, now
        if isinstance(event, BatchProgress if self.in_batch else Paced) and event.seconds_left is not None:
            self.shown.append((now, event.share, event.seconds_left))

    def ratios(self) -> list[float | None]:
        """The time left over the true one, at each of `SHARES`; None if nothing was shown between it and the next."""
        ends = (*SHARES[1:], 1.0)
        found: list[float | None] = []
        for share, end in zip(SHARES, ends, strict=True):
            first = next(((at, left) for at, done, left in self.shown if share <= done < end), None)
            found.append(None if first is None else first[1] / (self.last_frame - first[0]))
        return found


def measure(kind: str, asked: argparse.Namespace, folder: Path) -> Times:
    """Render by one kind of schedule."""
    preset, changes = KINDS[kind]
    settings = {
        "model.backbone": "slim",
        "farm.executor": "inline",
        "farm.workers": 1,
        "input.size": asked.size,
        "input.end": str(asked.frames),
        **changes,
        **dict(text.split("=", 1) for text in asked.set),
    }
    times = Times()
    if kind.startswith("batch"):
        times.in_batch = True
        _batch(asked, folder, settings, times)
    else:
        vidnst.render(
            asked.clip, style=asked.style, output=folder / "o.mp4", preset=preset, config=settings, on_event=times
        )
    return times


def _batch(
    asked: argparse.Namespace, folder: Path, settings: dict[str, Any], on_event: Callable[[Event], object]
) -> None:
    looks = {key: value for key, value in settings.items() if not key.startswith("farm.")}
    job = {"sources": [asked.clip], "styles": [asked.style]}
    jobs = [{**job, "output": f"{number}.mp4", "set": {**looks, "optimize.seed": number}} for number in range(2)]
    path = folder / "jobs.yaml"
    path.write_text(json.dumps({"defaults": {"folder": "."}, "jobs": jobs}))  # which is YAML, too
    farm = {key.removeprefix("farm."): value for key, value in settings.items() if key.startswith("farm.")}
    vidnst.batch(path, farm=farm, on_event=on_event)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("clip", nargs="?", default=str(SAMPLES / "street.mp4"))
    parser.add_argument("style", nargs="?", default=str(next((SAMPLES / "styles").glob("*.[jp][pn]g"))))
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--only", nargs="*", default=list(KINDS), choices=KINDS)
    parser.add_argument("--set", action="append", default=[])
    asked = parser.parse_args()
    head = ["render", *(f"{share:.0%}" for share in SHARES), "seconds"]
    sys.stdout.write(f"| {' | '.join(head)} |\n|{'---|' * len(head)}\n")
    for kind in asked.only:
        with tempfile.TemporaryDirectory() as folder:
            times = measure(kind, asked, Path(folder))
        cells = ["-" if ratio is None else f"{ratio:.2f}" for ratio in times.ratios()]
        sys.stdout.write(f"| {' | '.join([kind, *cells, f'{times.last_frame:.0f}'])} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
