"""Renders with a store, the scheduler and threads, but a stylizer that only adds numbers; resumes where FOLDER exists.

python tests/support/killable_render.py FOLDER
"""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidnst.config import ScheduleConfig
from vidnst.farm.interfaces import Component
from vidnst.farm.jobs import WorkerDiedError, WorkerGroup
from vidnst.farm.plan import FlowId, Lane, Node, NodeId, StateId
from vidnst.farm.scheduler import run_plan
from vidnst.farm.schedules import by_shot
from vidnst.farm.thread_pool import InlinePool
from vidnst.frames import Shot
from vidnst.runs import DoneRecord, Look, Manifest, NodeResult, RunStore, Writer, holds_run

HEIGHT, WIDTH = 12, 20
CHAIN = ScheduleConfig(kind="chain")
SHOTS = (Shot(0, 25), Shot(25, 26), Shot(26, 60))
MANIFEST = Manifest(
    versions={"vidnst": "0"},
    config={},
    look=Look(config={"optimize": {"seed": 0}}, source="s", styles=(), backbone="vgg19", weights="w"),
    sources=("clip",),
    output="out",
)


class SumWorker:
    """A worker that adds up what it reads in some milliseconds, and dies at the first attempt of some nodes."""

    def run(self, job: tuple[Node, list[NDArray[np.uint16]], int]) -> NDArray[np.uint16]:
        node, inputs, attempt = job
        time.sleep(0.004)
        if attempt == 1 and node.id.frame % 13 == 7:
            raise WorkerDiedError("as planned")
        picture = np.full((HEIGHT, WIDTH, 3), node.id.frame * 977 % 65536, np.uint16)
        for number, other in enumerate(inputs, start=3):
            picture = picture * np.uint16(31) + other * np.uint16(number) + np.uint16(1)
        return picture


class StoreHost:
    """A host that keeps states and frames in a run folder."""

    def __init__(self, store: RunStore, writer: Writer, done: set[StateId]) -> None:
        self.run_store = store
        self.writer = writer
        self.done = done

    def is_done(self, node: Node) -> bool:
        return node.id in self.done

    def load(self, node: NodeId) -> NDArray[np.uint16]:
        assert isinstance(node, StateId)
        return self.run_store.read_state(node, width=WIDTH, height=HEIGHT)

    def job(
        self, node: Node, inputs: Mapping[NodeId, Any], *, attempt: int, last_error: BaseException | None
    ) -> tuple[Node, list[NDArray[np.uint16]], int]:
        return node, [inputs[need] for need in node.needs], attempt

    def store(self, node: Node, result: NDArray[np.uint16], *, worker: str, attempt: int) -> NDArray[np.uint16]:
        if isinstance(node.id, FlowId):
            return result
        done = DoneRecord(node, worker, attempt, losses={"total": 1.0}, evaluations=1, seconds=0.004)
        state = result if node.uses else None
        self.writer.keep(
            NodeResult(done, state, lambda path: path.write_bytes(result.tobytes()), size_bytes=result.nbytes)
        )
        return result

    def is_durable(self, node: Node, *, timeout_seconds: float = 0.0) -> bool:
        return self.writer.lasts(node.id, timeout_seconds=timeout_seconds)

    def give_up(self, node: Node, error: str, because: NodeId | None) -> None:
        raise AssertionError(f"{node.id} failed: {error}")

    def release(self, node: NodeId) -> None:
        self.writer.release(node)


def main(folder: Path) -> None:
    """Render into a new run folder, or resume an existing one."""
    exists = holds_run(folder)
    with RunStore.open(folder) if exists else RunStore.create(folder, MANIFEST) as store:
        assert not store.manifest.changes(MANIFEST)
        done: set[StateId] = set()
        for nodes in by_shot(CHAIN, SHOTS):
            done |= store.finished_nodes(nodes)
        pool = InlinePool({Lane.STYLE: WorkerGroup(SumWorker, 2), Lane.FLOW: WorkerGroup(SumWorker, 1)})
        with Writer(store) as writer:
            host = StoreHost(store, writer, done)
            run_plan((Component(nodes, host) for nodes in by_shot(CHAIN, SHOTS)), pool)
        pool.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
