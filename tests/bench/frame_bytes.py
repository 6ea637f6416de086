"""Prints the SHA-256 of every frame of five small renders, to prove that a refactoring changes none.

    python tests/bench/frame_bytes.py [--weights FILE] [--package FOLDER] > after.json

The renders cover the defaults, a time-lapse, every control at once, a registered burst, and a batch of two clips in
two styles. `--package` names another checkout, whose `vidnst` then renders this checkout's samples. On a CPU the bytes
depend on the processor and its number of threads, so compare only lists made on one machine.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "samples"
STYLES = SAMPLES / "styles"
KINDS = ("gram", "moments", "mmd_linear", "mmd_polynomial", "mmd_gaussian", "wasserstein", "sliced")
INLINE = ["--executor", "inline", "--set", "farm.threads=1", "--keep-frames"]

EVERYTHING: dict[str, Any] = {
    "input": {"deflicker": 5, "size": 96, "end": 12},
    "regions": {"feather": 0.05},
    "model": {"pooling": "average", "padding": "replicate", "unit": True},
    "styles": {"scale": 0.9, "scales": [0.7, 1], "turns": [0, 90], "mirror": True},
    "losses": {
        "style_layers": {"relu1_1": 1, "relu2_1": 2},
        "content_layers": {"relu1_2": 0.5, "relu2_1": 1},
        "style_kinds": dict.fromkeys(KINDS, 1),
        "edges_weight": 0.5,
        "edges_cells": {2: 1, 4: 1},
    },
    "optimize": {"iterations": 10, "init": "blend", "match_init": True, "stop_at_loss": 0.01, "seed": 3},
    "schedule": {"spacing": 4, "passes": 3, "loop": True},
    "motion": {"follow_light": True, "static_lock": 2},
    "colour": {"keep": "luminance", "transfer": "optimal"},
    "photo": {"enabled": True},
    "filters": {"before": ["superpixels:200"], "after": ["superpixels:150", "palette:20"]},
    "output": {"bits": 16},
}


def write_mask(path: Path) -> None:
    """Writes a mask whose left third is white."""
    mask = Image.new("L", (640, 360))
    mask.paste(255, (0, 0, 200, 360))
    mask.save(path)


def jobs(folder: Path, weights: str) -> list[list[str]]:
    """Returns the arguments of each render; its frames go below `folder`."""
    write_mask(folder / "left.png")
    everything = {**EVERYTHING, "regions": {"masks": {"left": str(folder / "left.png")}, "feather": 0.05}}
    (folder / "everything.yaml").write_text(json.dumps(everything))
    clip, swirls, mosaic = str(SAMPLES / "timelapse.mp4"), str(STYLES / "swirls.jpg"), str(STYLES / "mosaic.jpg")
    network = ["--weights", weights, *INLINE]
    batch = {
        "defaults": {
            "folder": "batch",
            "set": {
                "input.size": 96,
                "model.weights": weights,
                "optimize.iterations": 20,
                "farm.executor": "inline",
                "farm.threads": 1,
                "output.keep_frames": True,
            },
        },
        "jobs": [
            {"sources": [str(SAMPLES / "burst")], "styles": [swirls, mosaic]},
            {"sources": [clip], "styles": [swirls, mosaic], "set": {"input.end": 10}},
        ],
    }
    (folder / "jobs.yaml").write_text(json.dumps(batch))
    timelapse = ["--preset", "timelapse", "--size", "96", "--end", "9"]
    in_time_and_space = ["-s", f"{swirls}:2@0s", "-s", f"{mosaic}@0.3s", "-s", f"{STYLES / 'woodcut.jpg'}#left"]
    everything_on = ["--config", str(folder / "everything.yaml")]
    burst = ["--preset", "burst", "--register", "ecc", "--fps", "8", "--size", "96"]
    return [
        ["render", clip, "-s", swirls, "--size", "96", "--end", "9", "-o", str(folder / "default"), *network],
        ["render", clip, "-s", mosaic, *timelapse, "-o", str(folder / "timelapse.mp4"), *network],
        ["render", clip, *in_time_and_space, *everything_on, "-o", str(folder / "everything"), *network],
        ["render", str(SAMPLES / "burst"), "-s", swirls, *burst, "-o", str(folder / "burst.gif"), *network],
        ["batch", str(folder / "jobs.yaml")],
    ]


def main() -> None:
    """Renders everything and prints one JSON object: path of a frame or output, to its SHA-256."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="random", help="weights file, or `random`")
    parser.add_argument("--package", type=Path, default=ROOT, help="checkout whose vidnst renders")
    options = parser.parse_args()
    weights = options.weights if options.weights == "random" else str(Path(options.weights).resolve())
    environment = {**os.environ, "PYTHONPATH": str(options.package.resolve())}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for job in jobs(folder, weights):
            command = [sys.executable, "-m", "vidnst", *job]
            subprocess.run(command, check=True, env=environment, cwd=folder, stdout=sys.stderr)
        (folder / "left.png").unlink()
        found = (path for path in sorted(folder.rglob("*")) if path.suffix in {".png", ".mp4", ".gif"})
        hashes = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}
    json.dump(hashes, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
