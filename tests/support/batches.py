"""Batches: files of jobs over small clips and styles, and what a batch leaves behind."""

import json
import sys
from pathlib import Path
from typing import Any

from support.media import write_burst, write_style
from support.renders import QUICK, done_nodes


def write_jobs(folder: Path, *, clips: int = 2, styles: int = 2, frames: int = 5, **keys: Any) -> Path:
    """Write clips, styles, and a `jobs.yaml` that renders each clip in each style into the folder `out`.

    Args:
        keys: further keys of the file's entry.

    Returns:
        The path of `jobs.yaml`.
    """
    for number in range(clips):
        write_burst(folder / "clips" / f"clip{number}", frames, seed=number)
    for number in range(styles):
        write_style(folder / "styles" / f"style{number}.png", number, block_px=6)
    entry = {
        "sources": [f"clips/clip{number}" for number in range(clips)],
        "styles": [f"styles/style{number}.png" for number in range(styles)],
    }
    defaults = {"set": QUICK, "folder": "out", "output": "{source}-{style}"}
    path = folder / "jobs.yaml"
    path.write_text(json.dumps({"defaults": defaults, "jobs": [entry | keys]}))  # JSON is YAML
    return path


def add_entry(path: Path, **entry: Any) -> None:
    """Add an entry to a file of jobs."""
    values = json.loads(path.read_text())
    values["jobs"].append(entry)
    path.write_text(json.dumps(values))


def batch_command(path: Path) -> list[str]:
    """Return the command line that renders a file of jobs in a process of its own."""
    return [sys.executable, "-m", "vidnst", "batch", str(path)]


def job_states(path: Path) -> dict[str, str]:
    """Return the state of every job."""
    board = json.loads((path.with_suffix(".batch") / "jobs.json").read_text())
    return {row["name"]: row["state"] for row in board["jobs"]}


def run_folders(path: Path) -> list[Path]:
    """Return the run folders of all jobs that have begun."""
    return [log.parent for log in sorted((path.parent / "out").glob("*.vidnst/events.jsonl"))]


def done_nodes_by_job(path: Path) -> dict[str, list[str]]:
    """Return for each job the nodes that were finished, in the order of its event log."""
    return {run.stem: done_nodes(run) for run in run_folders(path)}


def output_frames(path: Path) -> dict[str, bytes]:
    """Return the bytes of all frames of all outputs, by their paths in the output folder."""
    out = path.parent / "out"
    return {str(file.relative_to(out)): file.read_bytes() for file in sorted(out.glob("*[0-9]/*.png"))}


def batch_differences(undisturbed: Path, disturbed: Path) -> dict[str, Any]:
    """Compare a batch that something happened to with an undisturbed one of the same clips and styles.

    Returns:
        `nodes` that the undisturbed batch finished, `repeated` completions of a node and `missing` nodes in the other
        one, its `frames`, whether their bytes are the same, and whether all its jobs are done.
    """
    expected, nodes = done_nodes_by_job(undisturbed), done_nodes_by_job(disturbed)
    return {
        "jobs": len(nodes),
        "nodes": sum(map(len, expected.values())),
        "repeated": sum(len(done) - len(set(done)) for done in nodes.values()),
        "missing": sum(len(set(expected[name]) - set(nodes.get(name, ()))) for name in expected),
        "frames": len(output_frames(disturbed)),
        "same_bytes": output_frames(disturbed) == output_frames(undisturbed),
        "all_done": set(job_states(disturbed).values()) == {"done"},
    }
