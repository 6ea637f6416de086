"""Brush strokes that follow a field of directions, laid down bristle by bristle as thick paint."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .texture import Field, Picture, blur, relief

_SHIFT = 3
"""Fraction bits of the coordinates that OpenCV draws lines with."""

Paths = NDArray[np.float32]
"""`(N, points, 2)`: N polylines of x, y."""


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The vectors at length 1; those of length 0 stay."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-6), np.float32)


def aligned(vectors: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """The vectors, turned about wherever they point against the others: a stroke has no front."""
    against = (vectors * others).sum(-1, keepdims=True) < 0
    return np.where(against, -vectors, vectors)


def along_contours(stream: Field) -> NDArray[np.float32]:
    """`(H, W, 2)` unit vectors along the lines on which `stream` is constant: a flow without sources or sinks."""
    dx = cv2.Sobel(stream, cv2.CV_32F, 1, 0, ksize=3)
    dy = cv2.Sobel(stream, cv2.CV_32F, 0, 1, ksize=3)
    return unit(np.stack([dy, -dx], -1))


def trace(directions: NDArray[np.float32], starts: NDArray[np.float32], *, points: int, step: float) -> Paths:
    """Polylines through `starts` along the field, half of each to either side.

    Args:
        directions: `(H, W, 2)` unit vectors.
        starts: `(N, 2)` of x, y.
        points: points of each polyline, odd.
        step: distance between them in pixels.
    """
    height, width = directions.shape[:2]
    half = points // 2
    paths = np.empty((len(starts), points, 2), np.float32)
    paths[:, half] = starts
    for sign, indices in ((1, range(half + 1, points)), (-1, range(half - 1, -1, -1))):
        at = starts.copy()
        heading = None
        for index in indices:
            column = np.clip(at[:, 0], 0, width - 1).astype(np.intp)
            row = np.clip(at[:, 1], 0, height - 1).astype(np.intp)
            turn = directions[row, column] * sign
            heading = turn = turn if heading is None else aligned(turn, heading)
            at = at + turn * step
            paths[:, index] = at
    return paths


@dataclass(frozen=True, slots=True)
class Brush:
    """One kind of stroke; lengths in pixels of the canvas.

    Attributes:
        width: across the stroke.
        length: along it.
        spread: how far one bristle's brightness is from the next's, in [0, 1].
        load: how thick the paint is, in [0, 1].
    """

    width: float
    length: float
    spread: float = 0.05
    load: float = 0.8


class Canvas:
    """A canvas that keeps the colour and the thickness of its paint."""

    def __init__(self, ground: Picture) -> None:
        """Begin on an underpainting of `(H, W, 3)`."""
        height, width = ground.shape[:2]
        self._paint = np.zeros((height, width, 4), np.uint8)
        self._paint[..., :3] = np.rint(np.clip(ground, 0, 1) * 255)
        self._paint[..., 3] = 40

    def stroke(self, rng: np.random.Generator, path: NDArray[np.float32], colour: Picture, brush: Brush) -> None:
        """Lay one stroke along a polyline `(points, 2)` in a colour of three numbers in [0, 1]."""
        ahead = np.gradient(path, axis=0)
        across = unit(np.stack([-ahead[:, 1], ahead[:, 0]], -1))
        bristles = max(3, round(brush.width / 2.2))
        pressure = np.sin(np.linspace(0.30, np.pi - 0.22, len(path))) ** 0.6
        places = np.linspace(-0.5, 0.5, bristles) + rng.normal(0, 0.03, bristles)
        shades = 1 + rng.normal(0, brush.spread, bristles)
        thickness = brush.load * (0.55 + 0.45 * np.abs(2 * places)) * rng.uniform(0.6, 1.0, bristles)
        ends = rng.integers(0, max(1, len(path) // 5) + 1, (bristles, 2))
        for place, shade, thick, (skip, stop) in zip(places, shades, thickness, ends, strict=True):
            line = path + across * (place * brush.width * pressure)[:, None].astype(np.float32)
            line = line[skip : len(line) - stop]
            points = np.rint(line * (1 << _SHIFT)).astype(np.int32)
            tone = np.clip(colour * shade, 0, 1) * 255
            paint = (float(tone[0]), float(tone[1]), float(tone[2]), float(np.clip(thick, 0, 1) * 255))
            cv2.polylines(self._paint, [points], False, paint, 3, cv2.LINE_AA, _SHIFT)

    def picture(self, *, depth: float) -> Picture:
        """The painting in a light from the upper left; `depth` is how much the paint stands out."""
        colour = self._paint[..., :3].astype(np.float32) / 255
        thickness = blur(self._paint[..., 3].astype(np.float32) / 255, 0.9)
        turn = relief(thickness, strength=depth)[..., None]
        shine = np.maximum(turn - 0.35, 0) ** 2
        return np.asarray(np.clip(colour * (1 + 0.42 * turn) + 0.22 * shine, 0, 1), np.float32)
