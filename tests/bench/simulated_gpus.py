"""Simulate many GPUs in virtual time: the real scheduler and plans, workers that only take time.

    python tests/bench/simulated_gpus.py [GPUS ...] [--paint-ms 20] [--blend-ms 150] [--frames 200]

There is a shot of `--frames` frames for each GPU. Blending takes a core of its own, as many as there are jobs in work.
Prints a Markdown table: for so many GPUs and jobs in work at each, the share of the time in which GPUs paint, from the
first node to the last, and the processor time of the scheduler for each node, hosts that do nothing included.
"""

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.fake_workers import Task, VirtualPool

from vidnst.config import ScheduleConfig
from vidnst.farm.component_window import default_window
from vidnst.farm.interfaces import Component
from vidnst.farm.plan import Lane, Node, NodeId
from vidnst.farm.scheduler import run_plan
from vidnst.farm.schedules import by_shot
from vidnst.frames import Shot

_FLOW_SECONDS = 0.04
_TRANSIT_SECONDS = 0.005


class EmptyHost:
    """Makes jobs without values and stores nothing."""

    def is_done(self, node: Node) -> bool:
        return False

    def load(self, node: NodeId) -> Any:
        raise AssertionError("nothing is done before")

    def job(self, node: Node, inputs: Mapping[NodeId, Any], *, attempt: int, last_error: BaseException | None) -> Task:
        return Task(node, {}, attempt)

    def store(self, node: Node, result: Any, *, worker: str, attempt: int) -> Any:
        return result

    def is_durable(self, node: Node, *, timeout_seconds: float = 0.0) -> bool:
        return True

    def give_up(self, node: Node, error: str, because: NodeId | None) -> None:
        raise AssertionError("nothing fails")

    def release(self, node: NodeId) -> None:
        pass


def simulate(gpus: int, concurrency: int, asked: argparse.Namespace) -> tuple[float, float]:
    """The share of the time in which GPUs paint, and the scheduler's microseconds for each node."""
    pool = VirtualPool(
        gpus,
        4 * gpus,
        cost=lambda node: _FLOW_SECONDS if node.lane is Lane.FLOW else asked.paint_ms / 1000,
        prepare=lambda node: asked.blend_ms / 1000 if node.sources else 0.0,
        transit=_TRANSIT_SECONDS,
        concurrency=concurrency,
        prefetch=concurrency,
    )
    shots = [Shot(asked.frames * number, asked.frames * (number + 1)) for number in range(gpus)]
    plans = [list(plan) for plan in by_shot(ScheduleConfig(kind="keys"), shots)]
    began = time.process_time()
    with patch("support.fake_workers.expected_value", return_value=""):  # it would take longer than the scheduler
        run_plan(
            [Component(plan, EmptyHost()) for plan in plans],
            pool,
            clock=pool.clock,
            prefetch=concurrency,
            window=default_window(gpus, prefetch=concurrency),
        )
    micros = 1e6 * (time.process_time() - began) / sum(map(len, plans))
    painting = sum(seconds for name, seconds in pool.device_seconds.items() if name.startswith("style"))
    return painting / gpus / pool.now, micros


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("gpus", nargs="*", type=int, default=[1, 4, 16, 64])
    parser.add_argument("--paint-ms", type=float, default=20.0)
    parser.add_argument("--blend-ms", type=float, default=150.0)
    parser.add_argument("--frames", type=int, default=200)
    asked = parser.parse_args()
    sys.stdout.write("| GPUs | jobs in work | GPUs paint | µs of the scheduler a node |\n|---|---|---|---|\n")
    for gpus in asked.gpus:
        for concurrency in (1, 2, 10):
            share, micros = simulate(gpus, concurrency, asked)
            sys.stdout.write(f"| {gpus} | {concurrency} | {share:.3f} | {micros:.0f} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
