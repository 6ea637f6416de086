"""What tests of whole renders share: small clips that move, styles of blocks, and what a render's folder tells."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np


def write_burst(
    folder: Path,
    count: int,
    *,
    seed: int = 0,
    size: tuple[int, int] = (48, 32),
    cells: tuple[int, int] = (6, 8),
    pattern: str = "{:03}.png",
) -> Path:
    """Pictures of a texture that moves by two pixels a frame.

    Args:
        folder: where they are; it is made.
        size: width and height in pixels.
        cells: rows and columns of noise that the texture is drawn from.
    """
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (*cells, 3), np.uint8)
    texture = cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC)
    for number in range(count):
        assert cv2.imwrite(str(folder / pattern.format(number)), np.roll(texture, 2 * number, axis=1))
    return folder


def write_blocks(path: Path, *, seed: int = 1, block_px: int = 8) -> Path:
    """A style of eight by eight coloured blocks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    assert cv2.imwrite(str(path), np.kron(blocks, np.ones((block_px, block_px, 1), np.uint8)))
    return path


def kept_frames(folder: Path) -> dict[int, bytes]:
    """The files of the frames that a run folder has, by their numbers."""
    return {int(path.stem): path.read_bytes() for path in sorted((folder / "frames").glob("*.png"))}


def logged(folder: Path, kind: str) -> list[dict[str, Any]]:
    """The lines of one kind in a run's log."""
    lines = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


def done_nodes(folder: Path) -> list[str]:
    """The nodes that were finished, in the order of the run's log."""
    return [line["node"] for line in logged(folder, "done")]
