"""What the scheduler costs by itself: plans of growing length on workers that are done at once.

    python tests/bench/scheduler.py [FRAMES ...] [--workers N] [--schedule KIND]

Prints a Markdown table: for each schedule and length, the nodes, microseconds of processor time per node (the making of
the plan included), and the peak of memory that Python has in use meanwhile, from a second run: tracing slows it down.
"""

import argparse
import sys
import time
import tracemalloc
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from vidnst.config import ScheduleConfig
from vidnst.farm.host import Component
from vidnst.farm.jobs import Outcome
from vidnst.farm.scheduler import run_plan
from vidnst.frames import Shot
from vidnst.plan import Lane, Node, NodeId, by_shot

SHOT = 240
"""Frames of a shot where there are many: ten seconds."""


class ImmediatePool:
    """Workers whose jobs are done when they are waited for, the oldest first."""

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
    """Makes jobs of nothing and keeps nothing."""

    def is_done(self, node: Node) -> bool:
        return False

    def recall(self, node: NodeId) -> Any:
        raise AssertionError("nothing is done before")

    def job(self, node: Node, inputs: Mapping[NodeId, Any], *, attempt: int, last_error: BaseException | None) -> Any:
        return node

    def keep(self, node: Node, result: Any, *, worker: str, attempt: int) -> Any:
        return result

    def give_up(self, node: Node, error: str, because: NodeId | None) -> None:
        raise AssertionError("nothing fails")

    def release(self, node: NodeId) -> None:
        pass


def run_once(kind: str, frames: int, workers: int, *, whole: bool) -> int:
    """Run the plan of a clip, of one shot or of many; how many nodes that were."""
    shots = [Shot(0, frames)] if whole else [Shot(at, min(frames, at + SHOT)) for at in range(0, frames, SHOT)]
    host = EmptyHost()
    schedule = ScheduleConfig(kind=kind)  # type: ignore[arg-type]
    components = (Component(nodes, host) for nodes in by_shot(schedule, shots))
    return run_plan(components, ImmediatePool(workers)).done


def measure(kind: str, frames: int, workers: int, *, whole: bool) -> tuple[int, float, float]:
    """Nodes, microseconds per node, and peak MiB."""
    began = time.process_time()
    nodes = run_once(kind, frames, workers, whole=whole)
    micros = 1e6 * (time.process_time() - began) / nodes
    tracemalloc.start()
    run_once(kind, frames, workers, whole=whole)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return nodes, micros, peak


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("frames", nargs="*", type=int, default=[1_000, 10_000, 100_000])
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--schedule", action="append", choices=("keys", "chain", "independent"))
    asked = parser.parse_args()
    print("| schedule | shots | frames | nodes | µs per node | peak MiB |\n|---|---|---|---|---|---|")  # noqa: T201
    for kind, whole in product(asked.schedule or ("keys", "chain"), (True, False)):
        for frames in asked.frames:
            nodes, micros, peak = measure(kind, frames, asked.workers, whole=whole)
            shots = "one" if whole else f"of {SHOT}"
            print(f"| {kind} | {shots} | {frames} | {nodes} | {micros:.1f} | {peak:.2f} |", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
