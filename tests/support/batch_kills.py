"""Kills the driver of a batch again and again, and goes on each time.

    python tests/support/batch_kills.py FOLDER [KILLS]

FOLDER is made, with one batch that nothing happens to and one that is killed; says what was found, as JSON.
"""

import json
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.job_files import done_nodes, pictures, states, write_jobs


@dataclass(frozen=True)
class Survived:
    """What a batch that was killed left, beside one that was not."""

    kills: int
    jobs: int
    nodes: int
    """That an undisturbed batch finishes."""
    twice: int
    """Completions of a node after the first."""
    missing: int
    """Nodes without a completion."""
    frames: int
    same_bytes: bool
    all_done: bool


def command(path: Path) -> list[str]:
    return [sys.executable, "-m", "vidnst", "batch", str(path)]


def count_done(path: Path) -> int:
    logs = (path.parent / "out").glob("*.vidnst/events.jsonl")
    return sum(log.read_bytes().count(b'"kind":"done"') for log in logs)


def kill_and_go_on(folder: Path, *, kills: int, seed: int = 0, frames: int = 5) -> Survived:
    """Render 4 clips in 2 styles twice, the second time with so many kills at random moments."""
    calm = write_jobs(folder / "calm", clips=4, styles=2, frames=frames)
    subprocess.run(command(calm), check=True, capture_output=True)
    nodes = done_nodes(calm)
    total = sum(map(len, nodes.values()))
    path = write_jobs(folder / "killed", clips=4, styles=2, frames=frames)
    moments = random.Random(seed)
    for kill in range(kills):
        until = total * kill // kills + moments.randrange(1, max(2, total // kills))
        process = subprocess.Popen(command(path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while count_done(path) < until and process.poll() is None:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.1))
        if process.poll() is not None:
            raise AssertionError(f"the batch ended before kill {kill + 1}, with status {process.returncode}")
        process.kill()
        assert process.wait() == -signal.SIGKILL
    subprocess.run(command(path), check=True, capture_output=True)
    again = done_nodes(path)
    return Survived(
        kills,
        len(again),
        total,
        twice=sum(len(done) - len(set(done)) for done in again.values()),
        missing=sum(len(set(nodes[name]) - set(again.get(name, ()))) for name in nodes),
        frames=len(pictures(path)),
        same_bytes=pictures(path) == pictures(calm),
        all_done=set(states(path).values()) == {"done"},
    )


if __name__ == "__main__":
    found = kill_and_go_on(Path(sys.argv[1]), kills=int(sys.argv[2]) if len(sys.argv) > 2 else 20)
    sys.stdout.write(json.dumps({name: getattr(found, name) for name in found.__dataclass_fields__}) + "\n")
