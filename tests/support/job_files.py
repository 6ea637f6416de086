"""Files of jobs for tests: small clips, a cheap look, and what a batch left of them."""

import json
from pathlib import Path
from typing import Any

from support.bursts import write_blocks, write_burst

LOOK: dict[str, Any] = {
    "losses": {"style_layers": {"relu1_1": 1}, "content_layers": {"relu1_1": 1}},
    "optimize": {"iterations": 4, "scales": 1},
    "model": {"weights": "random"},
    "farm": {"executor": "inline", "threads": 1},
    "output": {"keep_frames": True, "measure": False},
}


def write_jobs(folder: Path, *, clips: int = 2, styles: int = 2, frames: int = 5, **more: Any) -> Path:
    """A folder with clips, styles, and `jobs.yaml` that renders all of them into `out`."""
    for number in range(clips):
        write_burst(folder / "clips" / f"clip{number}", frames, seed=number)
    for number in range(styles):
        write_blocks(folder / "styles" / f"style{number}.png", seed=100 + number, block_px=6)
    entry = {
        "sources": [f"clips/clip{number}" for number in range(clips)],
        "styles": [f"styles/style{number}.png" for number in range(styles)],
    }
    defaults = {"set": LOOK, "folder": "out", "output": "{source}-{style}"}
    path = folder / "jobs.yaml"
    path.write_text(json.dumps({"defaults": defaults, "jobs": [entry | more]}))  # JSON is YAML
    return path


def edit(path: Path, **entry: Any) -> None:
    """Add an entry to a file of jobs."""
    values = json.loads(path.read_text())
    values["jobs"].append(entry)
    path.write_text(json.dumps(values))


def states(path: Path) -> dict[str, str]:
    """The state of every job."""
    board = json.loads((path.with_suffix(".batch") / "jobs.json").read_text())
    return {row["name"]: row["state"] for row in board["jobs"]}


def done_nodes(path: Path) -> dict[str, list[str]]:
    """For each job the nodes that were finished, in the order of their logs."""
    found = {}
    for log in sorted((path.parent / "out").glob("*.vidnst/events.jsonl")):
        lines = log.read_text().splitlines(keepends=True)
        events = [json.loads(line) for line in lines if line.endswith("\n")]
        found[log.parent.stem] = [event["node"] for event in events if event["kind"] == "done"]
    return found


def pictures(path: Path) -> dict[str, bytes]:
    """All frames of all outputs."""
    out = path.parent / "out"
    return {str(file.relative_to(out)): file.read_bytes() for file in sorted(out.glob("*[0-9]/*.png"))}
