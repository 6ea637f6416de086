"""Measure the overhead of a render: everything is real, but a stylizing worker sleeps instead of optimising.

    python tests/bench/standin.py [--frames 120] [--size 640x360] [--ms 7] [--workers 1] [--concurrency 2]
        [--executor ray] [--set key=value ...]

A worker sleeps `--ms` milliseconds for each evaluation of the loss, as if a GPU did them, and returns the source's
frame as its result; probing, decoding, flow, the scheduler, transport, the quality gate, storing, encoding and
measuring are real. Prints one line of JSON: when stages began and the last frame was finished, in seconds; the share of
the wall time, and of the time from the first node to the last, in which a worker slept; and the milliseconds between
two sleeps.

By default a frame has some 360 ms of sleep; 900 frames in five minutes leave 333. Each of two cores has twice as much
to do for a frame of 640x360 as each of 16 has for one of 1280x720.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from vidnst.api import render
from vidnst.config.loader import load_config
from vidnst.events import Event, FrameDone, Stage
from vidnst.farm.jobs import Stylized, StylizeJob
from vidnst.farm.memory_fallback import MemoryLadder
from vidnst.farm.workers import StyleWorker, StyleWorkerFactory
from vidnst.frames import to_16_bits
from vidnst.style.memory.modes import MemoryMode
from vidnst.tools.bench.full_renders import synthetic_clip


@dataclass(frozen=True)
class SleepingFactory(StyleWorkerFactory):
    """Makes sleeping workers."""

    seconds: float = 0.0
    """For each evaluation."""
    log: Path = Path()
    """Folder for the times at which they slept."""

    def __call__(self) -> StyleWorker:
        return SleepingWorker(self)


class SleepingWorker(StyleWorker):
    """Sleeps instead of optimising, and logs from when to when."""

    def __init__(self, made_by: SleepingFactory) -> None:
        stylizer: Any = self  # anything but None
        super().__init__(stylizer, torch.device("cpu"), MemoryLadder(made_by.config, None))
        self._seconds = made_by.seconds
        self._notes = (made_by.log / f"{time.monotonic_ns()}.txt").open("w", buffering=1)

    def _paint(self, stylizer: Any, job: StylizeJob, memory_mode: MemoryMode, **watching: Any) -> Stylized:
        began = time.monotonic()
        time.sleep(self._seconds * job.iterations)
        self._notes.write(f"{began} {time.monotonic()}\n")
        losses = dict.fromkeys(("total", "content", "style", "tv", "temporal"), 1.0)
        return Stylized(to_16_bits(job.content), losses, job.iterations, 0.0)


class Timeline:
    """Records when stages began and the last frame was finished, in seconds since the beginning."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.stages: dict[str, float] = {}
        self.last_frame = 0.0

    def __call__(self, event: Event) -> None:
        now = time.monotonic() - self.began
        if isinstance(event, Stage):
            self.stages.setdefault(event.stage, round(now, 2))
        if isinstance(event, FrameDone):
            self.last_frame = now


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """Render, and sum up where the time went."""
    width, height = map(int, asked.size.split("x"))
    settings = [f"farm.executor={asked.executor}", f"farm.workers={asked.workers}", "model.backbone=slim", *asked.set]
    config = load_config(assignments=settings)
    with synthetic_clip((width, height), frames=asked.frames) as clip, tempfile.TemporaryDirectory() as folder:
        made = partial(SleepingFactory, seconds=asked.ms / 1000, log=Path(folder))
        timeline = Timeline()
        with (
            patch("vidnst.farm.workers.StyleWorkerFactory", made),
            patch("vidnst.farm.provisioning._concurrency", return_value=asked.concurrency),
        ):
            output = Path(folder) / "out.mp4"
            render(clip.clip, style=clip.style, output=output, config=config, on_event=timeline)
        wall = time.monotonic() - timeline.began
        spans = [read_spans(path) for path in Path(folder).glob("*.txt")]
    found = {"wall": round(wall, 2), "stages": timeline.stages, "last_frame": round(timeline.last_frame, 2)}
    return found | shares(spans, wall)


def read_spans(path: Path) -> list[tuple[float, float]]:
    """Read when a worker slept."""
    return [(float(one), float(two)) for one, two in map(str.split, path.read_text().splitlines())]


def shares(spans: list[list[tuple[float, float]]], wall: float) -> dict[str, Any]:
    """Compute the share of the time in which workers slept, and the gaps between."""
    slept = sum(end - begin for worker in spans for begin, end in worker)
    painting = max(end for worker in spans for _, end in worker) - min(begin for worker in spans for begin, _ in worker)
    gaps = sorted(1000 * (after[0] - before[1]) for worker in spans for before, after in pairwise(worker))
    return {
        "nodes": sum(map(len, spans)),
        "slept": round(slept / len(spans), 2),
        "of_wall": round(slept / len(spans) / wall, 4),
        "of_painting": round(slept / len(spans) / painting, 4),
        "gap_median_ms": round(statistics.median(gaps), 2),
        "gap_p90_ms": round(gaps[len(gaps) * 9 // 10], 2),
        "gap_mean_ms": round(statistics.fmean(gaps), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--ms", type=float, default=7.0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--concurrency", type=int, default=2)
    parser.add_argument("--executor", default="ray", choices=("ray", "inline"))
    parser.add_argument("--set", action="append", default=[])
    asked = parser.parse_args()
    sys.stdout.write(json.dumps(vars(asked) | run(asked)) + "\n")


if __name__ == "__main__":
    main()
