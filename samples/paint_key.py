"""Paints over the frames in a folder by hand, so to speak: flat areas in a false palette, with dark outlines.

    python samples/paint_key.py keys painted --hue 0.3

It stands for a person with a brush: no style picture makes this look. Needs numpy and OpenCV, which come with vidnst.
"""

import argparse
import colorsys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

AREAS_PX = 14
"""Radius within which areas are made even."""
COLOURS = 7
INK = (28, 22, 40)


def paint(picture: NDArray[np.uint8], *, hue: float = 0.0) -> NDArray[np.uint8]:
    """Paint over a picture `(H, W, 3)` RGB; `hue` from 0 to 1 turns the palette."""
    smooth = cv2.pyrMeanShiftFiltering(picture, AREAS_PX, 28)
    grey = cv2.GaussianBlur(cv2.cvtColor(smooth, cv2.COLOR_RGB2GRAY), (0, 0), 1.2)
    limits = np.quantile(grey, np.linspace(0, 1, COLOURS + 1)[1:-1])
    level = np.digitize(grey, limits)
    canvas = _palette(hue)[level]
    hatching = np.add.outer(np.arange(len(grey)), np.arange(grey.shape[1])) % 9 < 2
    canvas[hatching & (level < 2)] = INK
    edges = cv2.morphologyEx(level.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8))
    canvas[edges > 0] = INK
    return canvas.astype(np.uint8)


def _palette(hue: float) -> NDArray[np.float64]:
    """Colours from dark to light that no photograph has."""
    steps = [number / (COLOURS - 1) for number in range(COLOURS)]
    colours = [colorsys.hls_to_rgb((0.75 + hue - 0.62 * step) % 1, 0.22 + 0.6 * step, 0.75) for step in steps]
    return np.rint(np.array(colours) * 255)


def main() -> None:
    """Read the frames of a folder, which are named by their numbers, paint them, write them."""
    parser = argparse.ArgumentParser(description="Paints over frames: flat areas, a false palette, outlines.")
    parser.add_argument("keys", type=Path, help="the folder of `vidnst keys`")
    parser.add_argument("painted", type=Path, help="folder of the paintings")
    parser.add_argument("--hue", type=float, default=0.0, help="0 to 1: turns the palette")
    given = parser.parse_args()
    frames = sorted(given.keys.glob("*.png"))
    if not frames:
        raise SystemExit(f"{given.keys} has no PNG files")
    given.painted.mkdir(parents=True, exist_ok=True)
    for frame in frames:
        picture = cv2.imread(str(frame))
        if picture is None:
            raise SystemExit(f"{frame} is no picture")
        painted = paint(np.asarray(picture[..., ::-1], np.uint8).copy(), hue=given.hue)
        cv2.imwrite(str(given.painted / frame.name), painted[..., ::-1])


if __name__ == "__main__":
    main()
