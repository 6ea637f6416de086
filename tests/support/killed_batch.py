"""Kills the driver of a batch again and again, resumes it each time, and compares it with an undisturbed batch.

    python tests/support/killed_batch.py FOLDER [KILLS]

makes FOLDER with both batches, and prints what differs as JSON.
"""

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.batches import batch_command, batch_differences, done_nodes_by_job, run_folders, write_jobs
from support.processes import kill_when


def count_done(path: Path) -> int:
    """Count the nodes that all jobs of a batch have finished."""
    return sum((run / "events.jsonl").read_bytes().count(b'"kind":"done"') for run in run_folders(path))


def kill_and_resume(folder: Path, *, kills: int, seed: int = 0, frames: int = 5) -> dict[str, Any]:
    """Render 4 clips in 2 styles twice, the second time with some kills at random moments; see `batch_differences`."""
    undisturbed, killed = (
        write_jobs(folder / name, clips=4, styles=2, frames=frames) for name in ("undisturbed", "killed")
    )
    subprocess.run(batch_command(undisturbed), check=True, capture_output=True)
    total = sum(map(len, done_nodes_by_job(undisturbed).values()))
    moments = random.Random(seed)
    for kill in range(kills):
        nodes = total * kill // kills + moments.randrange(1, max(2, total // kills))
        delay_seconds = moments.uniform(0, 0.1)
        kill_when(batch_command(killed), lambda nodes=nodes: count_done(killed) >= nodes, delay_seconds=delay_seconds)
    subprocess.run(batch_command(killed), check=True, capture_output=True)
    return batch_differences(undisturbed, killed)


if __name__ == "__main__":
    differences = kill_and_resume(Path(sys.argv[1]), kills=int(sys.argv[2]) if len(sys.argv) > 2 else 20)
    sys.stdout.write(json.dumps(differences) + "\n")
