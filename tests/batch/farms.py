"""Files of jobs for tests: small clips, a cheap look, and what a batch left of them."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

LOOK: dict[str, Any] = {
    "losses": {"style_layers": {"relu1_1": 1}, "content_layers": {"relu1_1": 1}},
    "optimize": {"iterations": 4, "scales": 1},
    "model": {"weights": "random"},
    "farm": {"executor": "inline", "threads": 1},
    "output": {"keep_frames": True, "measure": False},
}


def write_clip(folder: Path, seed: int, frames: int) -> Path:
    """Pictures of a texture that moves."""
    folder.mkdir(parents=True)
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    big = cv2.resize(noise, (48, 32), interpolation=cv2.INTER_CUBIC)
    for number in range(frames):
        cv2.imwrite(str(folder / f"{number:03}.png"), np.roll(big, 2 * number, axis=1))
    return folder


def write_style(path: Path, seed: int) -> Path:
    """Coloured blocks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    cv2.imwrite(str(path), np.kron(blocks, np.ones((6, 6, 1), np.uint8)))
    return path


def write_jobs(folder: Path, *, clips: int = 2, styles: int = 2, frames: int = 5, **more: Any) -> Path:
    """A folder with clips, styles, and `jobs.yaml` that renders all of them into `out`."""
    for number in range(clips):
        write_clip(folder / "clips" / f"clip{number}", number, frames)
    for number in range(styles):
        write_style(folder / "styles" / f"style{number}.png", 100 + number)
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
