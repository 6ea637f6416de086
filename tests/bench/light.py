"""Render a time-lapse whose light swings by half.

    python tests/bench/light.py PICTURE STYLE [WEIGHTS [WIDTH [FOLDER]]]

A still picture is darkened to half its brightness and back over 12 frames, with a little noise, and rendered three
times at equal settings but for what is named: every frame on its own; with the time-lapse preset's `keys`; and the same
without following the light. All are painted in the light of their frames, and held as hard as that preset once did.
Printed are, in levels of 255: how far the mean brightness of a frame is from that of the same frame rendered on its own
(worst frame, and mean), how much the mean brightness swings, and how much the texture moves: what is left between
neighbouring frames after each one's mean and contrast are made equal.
"""

import itertools
import math
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import vidnst
from vidnst.config.loader import load_config
from vidnst.frames import to_float
from vidnst.media.images import read_image, write_png

FRAMES = 12
RENDERS = {
    "each on its own": ["schedule.kind=independent"],
    "keys, light followed": [],
    "keys, light not followed": ["motion.follow_light=false", "motion.static_lock=0"],
}


def write_source(picture: Path, folder: Path, *, width: int) -> None:
    """Write the time-lapse as PNG frames."""
    pixels = to_float(read_image(picture))
    height = round(pixels.shape[0] * width / pixels.shape[1])
    scene = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    noise = np.random.default_rng(1)
    for index in range(FRAMES):
        light = 0.75 + 0.25 * math.cos(2 * math.pi * index / FRAMES)
        frame = scene * light + noise.normal(0, 1 / 255, scene.shape)
        write_png(folder / f"{index:03d}.png", np.clip(np.rint(frame * 255), 0, 255).astype(np.uint8), bits=8)


def read(folder: Path) -> list[NDArray[np.float32]]:
    """Read the luma of every frame, in levels of 255."""
    weights = np.array([0.2126, 0.7152, 0.0722], np.float32) * 255
    return [to_float(read_image(path)) @ weights for path in sorted(folder.glob("*.png"))]


def texture_motion(frames: list[NDArray[np.float32]]) -> float:
    """Mean difference of neighbouring frames after each is brought to the same mean and contrast."""
    spread = float(np.mean([frame.std() for frame in frames]))
    level = [(frame - frame.mean()) / frame.std() * spread for frame in frames]
    return float(np.mean([np.abs(one - two).mean() for one, two in itertools.pairwise(level)]))


def main(picture: str, style: str, weights: str = "random", width: str = "96", place: str | None = None) -> None:
    """Render, measure, print."""
    folder = Path(place or tempfile.mkdtemp())
    source = folder / "source"
    source.mkdir(parents=True, exist_ok=True)
    write_source(Path(picture), source, width=int(width))
    found = {}
    for name, settings in RENDERS.items():
        out = folder / name.replace(" ", "_").replace(",", "")
        common = [f"model.weights={weights}", "input.deflicker=null", "farm.executor=inline", "farm.workers=1"]
        common += ["motion.light_share=null", "motion.renew_at=null", "losses.temporal_weight=300"]
        config = load_config(preset="timelapse", assignments=[*common, *settings])
        vidnst.render(source, style=style, output=out, config=config, overwrite=True, restart=True)
        found[name] = read(out)
    alone = [frame.mean() for frame in found["each on its own"]]
    sys.stdout.write("| render | brightness off, worst | mean | swing | texture moves |\n|---|---|---|---|---|\n")
    for name, frames in (("source", read(source)), *found.items()):
        means = [frame.mean() for frame in frames]
        off = [abs(one - two) for one, two in zip(means, alone, strict=True)]
        cells = (max(off), float(np.mean(off)), max(means) - min(means), texture_motion(frames))
        sys.stdout.write(f"| {name} | {' | '.join(f'{cell:.2f}' for cell in cells)} |\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
