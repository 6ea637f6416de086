"""Runs a batch on two raylets as two nodes, kills one of them halfway, and compares it with an undisturbed batch.

    python tests/support/lost_node.py FOLDER [CLIPS STYLES FRAMES]

makes FOLDER with both batches, and prints what differs as JSON. Each node has room for one stylizing worker, so one of
the two goes with its node, and nothing can replace it.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.batches import batch_differences, done_nodes_by_job, run_folders, write_jobs
from support.renders import logged_events
from vidnst.rendering.batch.run import run_batch


@contextmanager
def two_nodes() -> Iterator[tuple[Any, Any]]:
    """Start a cluster of two raylets of one CPU slot each; yields the cluster and the second raylet."""
    # Ray reads this on import. Without it, Ray reports the end of the raylet on stdout.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    from ray.cluster_utils import Cluster

    room = {"num_cpus": 1, "object_store_memory": 100 << 20}
    cluster: Any = Cluster(initialize_head=True, head_node_args={**room, "include_dashboard": False})  # type: ignore[no-untyped-call]
    try:
        yield cluster, cluster.add_node(**room)
    finally:
        cluster.shutdown()


def lose_node(folder: Path, *, clips: int, styles: int, frames: int, iterations: int = 20) -> dict[str, Any]:
    """Render a batch twice, the second time on two nodes, one of which is killed when a third is finished.

    Returns:
        `batch_differences`, with `nodes_before` the loss, the nodes that `died` with their worker, and the
        `seconds_after` the loss until the end.
    """
    settings = {"optimize.iterations": iterations}
    undisturbed, path = (
        write_jobs(folder / name, clips=clips, styles=styles, frames=frames, set=settings)
        for name in ("undisturbed", "lost")
    )
    run_batch(undisturbed)
    total = sum(map(len, done_nodes_by_job(undisturbed).values()))
    killed: list[tuple[int, float]] = []

    with two_nodes() as (cluster, second):

        def kill_once() -> bool:
            done = sum(map(len, done_nodes_by_job(path).values()))
            if done >= total // 3 and not killed:
                killed.append((done, time.monotonic()))
                cluster.remove_node(second, allow_graceful=False)
            return False

        run_batch(path, farm={"executor": "ray", "address": cluster.address, "workers": 2}, cancelled=kill_once)
        ended = time.monotonic()
    ((before, moment),) = killed
    return batch_differences(undisturbed, path) | {
        "nodes_before": before,
        "died": sum(len(logged_events(run, "died")) for run in run_folders(path)),
        "seconds_after": round(ended - moment, 1),
    }


if __name__ == "__main__":
    clips, styles, frames = map(int, sys.argv[2:5]) if len(sys.argv) > 2 else (2, 2, 12)
    sys.stdout.write(json.dumps(lose_node(Path(sys.argv[1]), clips=clips, styles=styles, frames=frames)) + "\n")
