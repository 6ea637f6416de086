"""Measure the cost of the scheduler alone: plans of growing length on workers that finish immediately.

    python tests/bench/scheduler.py [FRAMES ...] [--workers N] [--schedule KIND]

Prints a Markdown table: for each schedule and length, the nodes, microseconds of processor time per node (including
the making of the plan), and the growth of the peak resident memory since a short plan that is not counted.
"""

import argparse
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from vidnst.config import ScheduleConfig
from vidnst.farm.interfaces import Component
from vidnst.farm.jobs import Outcome
from vidnst.farm.plan import Lane, Node, NodeId
from vidnst.farm.scheduler import run_plan
from vidnst.farm.schedules import by_shot
from vidnst.frames import Shot

SHOT = 240
"""Frames of a shot of a clip with many shots: ten seconds."""


class ImmediatePool:
    """Workers whose jobs finish when they are waited for, the oldest first."""

    def __init__(self, styles: int) -> None:
        self._names = {
            Lane.STYLE: [f"style-{number}" for number in range(styles)],
            Lane.FLOW: [f"flow-{number}" for number in range(max(1, styles // 2))],
        }
        self._given: deque[str] = deque()

    def workers(self, lane: Lane) -> Sequence[str]:
        return self._names[lane]

    def submit(self, worker: str, job: Any) -> None:
        self._given.append(worker)

    def wait(self, timeout_seconds: float) -> list[Outcome]:
        return [Outcome(self._given.popleft(), value=0)] if self._given else []

    def close(self) -> None:
        self._given.clear()


class EmptyHost:
    """Makes empty jobs and stores nothing."""

    def is_done(self, node: Node) -> bool:
        return False

    def load(self, node: NodeId) -> Any:
        raise AssertionError("nothing is done before")

    def job(self, node: Node, inputs: Mapping[NodeId, Any], *, attempt: int, last_error: BaseException | None) -> Any:
        return node

    def store(self, node: Node, result: Any, *, worker: str, attempt: int) -> Any:
        return result

    def is_durable(self, node: Node, *, timeout_seconds: float = 0.0) -> bool:
        return True

    def give_up(self, node: Node, error: str, because: NodeId | None) -> None:
        raise AssertionError("nothing fails")

    def release(self, node: NodeId) -> None:
        pass


def run_once(kind: str, frames: int, workers: int, *, whole: bool) -> int:
    """Run the plan of a clip, of one shot or of many; how many nodes that were."""
    shots = [Shot(0, frames)] if whole else [Shot(at, min(frames, at + SHOT)) for at in range(0, frames, SHOT)]
    host = EmptyHost()
    schedule = ScheduleConfig(kind=kind)
    components = (Component(nodes, host) for nodes in by_shot(schedule, shots))
    return run_plan(components, ImmediatePool(workers)).done


def measure(kind: str, frames: int, workers: int, *, whole: bool) -> tuple[int, float, float]:
    """Nodes, microseconds per node, and MiB by which the process has grown; to be run in a fresh one."""
    run_once(kind, SHOT, workers, whole=True)
    before = getrusage(RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    nodes = run_once(kind, frames, workers, whole=whole)
    micros = 1e6 * (time.process_time() - began) / nodes
    return nodes, micros, (getrusage(RUSAGE_SELF).ru_maxrss - before) / 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("frames", nargs="*", type=int, default=[1_000, 10_000, 100_000])
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--schedule", action="append", choices=("keys", "chain", "independent"))
    asked = parser.parse_args()
    print("| schedule | shots | frames | nodes | µs per node | grown by, MiB |\n|---|---|---|---|---|---|")  # noqa: T201
    for kind, whole in product(asked.schedule or ("keys", "chain"), (True, False)):
        for frames in asked.frames:
            with get_context("spawn").Pool(1) as fresh:
                nodes, micros, peak = fresh.apply(measure, (kind, frames, asked.workers), {"whole": whole})
            shots = "one" if whole else f"of {SHOT}"
            print(f"| {kind} | {shots} | {frames} | {nodes} | {micros:.1f} | {peak:.1f} |", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
