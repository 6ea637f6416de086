"""Measure the overhead of a render: everything is real, but a stylizing worker sleeps instead of optimising.

    python tests/bench/standin.py [--frames 120] [--size 640x360] [--ms 7 | --paint-ms 20] [--blend-ms 150]
        [--workers 1] [--flow-workers N] [--concurrency 2] [--blend-in-turn] [--executor ray] [--set key=value ...]

A worker sleeps `--ms` milliseconds for each evaluation of the loss, or `--paint-ms` for each node, as if a GPU did
them, and returns the source's frame as its result. Before that it sleeps `--blend-ms` for a node with starts, as if a
core blended them: outside its turn at the device, or inside, as once, with `--blend-in-turn`. Probing, decoding, flow,
the scheduler, transport, the quality gate, storing, encoding and measuring are real. Prints one line of JSON: when
stages began and the last frame was finished, in seconds; the share of the wall time, and of the time from the first
node to the last, in which a worker painted; the milliseconds between two paintings; and the milliseconds of processor
time that the driver takes to make a job and to submit it.

By default a frame has some 360 ms of sleep; 900 frames in five minutes leave 333. Each of two cores has twice as much
to do for a frame of 640x360 as each of 16 has for one of 1280x720.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
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
from vidnst.farm.provisioning import WorkerCounts
from vidnst.farm.ray.actor_pool import RayPool
from vidnst.farm.thread_pool import InlinePool
from vidnst.farm.workers import StyleWorker, StyleWorkerFactory
from vidnst.frames import to_16_bits
from vidnst.motion.quality_gate import thumbnail_luma
from vidnst.rendering.node_jobs import RenderHost
from vidnst.tools.bench.full_renders import synthetic_clip


@dataclass(frozen=True)
class SleepingFactory(StyleWorkerFactory):
    """Makes sleeping workers."""

    seconds: float = 0.0
    """For each evaluation."""
    paint_seconds: float | None = None
    """For each node; None counts evaluations."""
    blend_seconds: float = 0.0
    """For each node with starts."""
    blend_in_turn: bool = False
    """Whether it blends while it has the device."""
    log: Path = Path()
    """Folder for the times at which they slept."""

    def __call__(self) -> StyleWorker:
        return SleepingWorker(self)


class SleepingWorker(StyleWorker):
    """Sleeps instead of optimising, and logs from when to when."""

    def __init__(self, made_by: SleepingFactory) -> None:
        stylizer: Any = self  # anything but None
        super().__init__(stylizer, torch.device("cpu"), MemoryLadder(made_by.config, None))
        self._made_by = made_by
        self._notes = (made_by.log / f"{time.monotonic_ns()}.txt").open("w", buffering=1)

    def _stylize(self, stylizer: Any, job: StylizeJob, place: int, watching: Any) -> Stylized:
        made_by = self._made_by
        blending = made_by.blend_seconds if job.starts else 0.0
        painting = made_by.paint_seconds
        if painting is None:
            painting = made_by.seconds * job.iterations
        if not made_by.blend_in_turn:
            time.sleep(blending)
        with self._turn.held(place) as turn:
            if made_by.blend_in_turn:
                time.sleep(blending)
            began = time.monotonic()
            time.sleep(painting)
            self._notes.write(f"{began} {time.monotonic()}\n")
        state = to_16_bits(job.content)
        return Stylized(
            state,
            dict.fromkeys(("total", "content", "style", "tv", "temporal"), 1.0),
            job.iterations,
            0.0,
            thumbnail_luma=None if job.source_thumbnails is None else thumbnail_luma(state),
            device_seconds=turn.seconds,
        )


class DriverCost:
    """Adds up the processor time of a function in the thread that calls it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.calls = 0
        self.seconds = 0.0

    def counted(self) -> Callable[..., Any]:
        """Return the function, counting."""

        def call(*arguments: Any, **options: Any) -> Any:
            began = time.thread_time()
            result = self._function(*arguments, **options)
            self.seconds += time.thread_time() - began
            self.calls += 1
            return result

        return call

    @property
    def mean_ms(self) -> float:
        """Milliseconds of a call."""
        return round(1000 * self.seconds / max(1, self.calls), 3)


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
        made = partial(
            SleepingFactory,
            seconds=asked.ms / 1000,
            paint_seconds=None if asked.paint_ms is None else asked.paint_ms / 1000,
            blend_seconds=asked.blend_ms / 1000,
            blend_in_turn=asked.blend_in_turn,
            log=Path(folder),
        )
        counts = WorkerCounts(asked.workers, asked.flow_workers or max(1, asked.workers // 2), 1, asked.concurrency)
        timeline = Timeline()
        pool = RayPool if asked.executor == "ray" else InlinePool
        submitting, making = DriverCost(pool.submit), DriverCost(RenderHost.job)
        with (
            patch("vidnst.rendering.style_cache.StyleWorkerFactory", made),
            patch("vidnst.farm.provisioning.choose_worker_counts", return_value=counts),
            patch.object(pool, "submit", submitting.counted()),
            patch.object(RenderHost, "job", making.counted()),
        ):
            output = Path(folder) / "out.mp4"
            render(clip.clip, style=clip.style, output=output, config=config, on_event=timeline)
        wall = time.monotonic() - timeline.began
        spans = [read_spans(path) for path in Path(folder).glob("*.txt")]
    found = {"wall": round(wall, 2), "stages": timeline.stages, "last_frame": round(timeline.last_frame, 2)}
    return found | {"submit_ms": submitting.mean_ms, "job_ms": making.mean_ms} | shares(spans, wall)


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
    parser.add_argument("--paint-ms", type=float)
    parser.add_argument("--blend-ms", type=float, default=0.0)
    parser.add_argument("--blend-in-turn", action="store_true")
    parser.add_argument("--flow-workers", type=int)
    parser.add_argument("--concurrency", type=int, default=2)
    parser.add_argument("--executor", default="ray", choices=("ray", "inline"))
    parser.add_argument("--set", action="append", default=[])
    asked = parser.parse_args()
    sys.stdout.write(json.dumps(vars(asked) | run(asked)) + "\n")


if __name__ == "__main__":
    main()
