"""Two raylets as two nodes, one of which is killed in mid-batch.

    python tests/support/raylets.py FOLDER [CLIPS STYLES FRAMES]

FOLDER is made, with one batch that nothing happens to, in threads, and one that loses a node; says what was found, as
JSON. Each node has room for one stylizing worker, so one of the two goes with its node, and nothing can replace it.
"""

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.job_files import done_nodes, pictures, states, write_jobs
from vidnst.rendering.batch.run import run_batch
from vidnst.runs import read_events


@dataclass(frozen=True)
class Torn:
    """What a batch that lost a node left, beside one that did not."""

    jobs: int
    nodes: int
    """That an undisturbed batch finishes."""
    nodes_before: int
    """Finished when the node was killed."""
    died: int
    """Nodes whose worker was gone before they were finished."""
    twice: int
    """Completions of a node after the first."""
    missing: int
    """Nodes without a completion."""
    frames: int
    same_bytes: bool
    all_done: bool
    seconds_after: float
    """From the kill to the end."""


@contextmanager
def two_nodes() -> Iterator[tuple[Any, Any]]:
    """A cluster of two raylets of one CPU slot each, and the second of them."""
    os.environ.setdefault(
        "RAY_DEDUP_LOGS_SKIP_REGEX", "."
    )  # else Ray tells of the raylet's end on stdout; read on import
    from ray.cluster_utils import Cluster

    room = {"num_cpus": 1, "object_store_memory": 100 << 20}
    cluster: Any = Cluster(initialize_head=True, head_node_args={**room, "include_dashboard": False})  # type: ignore[no-untyped-call]
    try:
        yield cluster, cluster.add_node(**room)
    finally:
        cluster.shutdown()


def lose_a_node(folder: Path, *, clips: int, styles: int, frames: int, iterations: int = 20) -> Torn:
    """Render a batch twice, the second time on two nodes, one of which is killed when a third is finished."""
    settings = {"optimize.iterations": iterations}
    calm, path = (
        write_jobs(folder / name, clips=clips, styles=styles, frames=frames, set=settings) for name in ("calm", "torn")
    )
    run_batch(calm)
    nodes = done_nodes(calm)
    total = sum(map(len, nodes.values()))
    killed: list[tuple[int, float]] = []

    with two_nodes() as (cluster, second):

        def kill_once() -> bool:
            done = sum(map(len, done_nodes(path).values()))
            if done >= total // 3 and not killed:
                killed.append((done, time.monotonic()))
                cluster.remove_node(second, allow_graceful=False)
            return False

        farm = {"executor": "ray", "address": cluster.address, "workers": 2}
        run_batch(path, farm=farm, cancelled=kill_once)
        ended = time.monotonic()
    ((before, moment),) = killed
    again = done_nodes(path)
    kinds = Counter(
        event["kind"] for log in (path.parent / "out").glob("*.vidnst/events.jsonl") for event in read_events(log)
    )
    return Torn(
        len(again),
        total,
        before,
        died=kinds["died"],
        twice=sum(len(done) - len(set(done)) for done in again.values()),
        missing=sum(len(set(nodes[name]) - set(again.get(name, ()))) for name in nodes),
        frames=len(pictures(path)),
        same_bytes=pictures(path) == pictures(calm),
        all_done=set(states(path).values()) == {"done"},
        seconds_after=round(ended - moment, 1),
    )


if __name__ == "__main__":
    clips, styles, frames = map(int, sys.argv[2:5]) if len(sys.argv) > 2 else (2, 2, 12)
    found = lose_a_node(Path(sys.argv[1]), clips=clips, styles=styles, frames=frames)
    sys.stdout.write(json.dumps(asdict(found)) + "\n")
