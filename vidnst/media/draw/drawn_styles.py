"""Drawn styles: random marks in random colours, so that a predictor sees more textures than there are paintings."""

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.frames import Pixels

_SIDE_PX = 384
_COVERAGE = (1.5, 4.0)
"""Sum of the marks' areas over the picture's: the ground shows through the fewest."""

_MOST_MARKS = 8000


def drawn_style(generator: np.random.Generator) -> Pixels:
    """Draw lines, dots or tiles along a smooth field of angles; `(384, 384, 3)` uint8."""
    side = _SIDE_PX
    palette = generator.integers(0, 256, (int(generator.integers(3, 7)), 3))
    angles = _smooth(generator, int(generator.integers(2, 6))) * generator.uniform(0, 2 * np.pi)
    regions = _smooth(generator, int(generator.integers(2, 9)))
    kind = ("line", "dot", "tile")[int(generator.integers(3))]
    length, width = generator.uniform(6, 48), generator.uniform(1.5, 12)
    if kind != "line":
        length = width = generator.uniform(4, 28)
    jitter, outline = generator.uniform(0, 0.4), bool(generator.random() < 0.4)
    count = min(_MOST_MARKS, int(generator.uniform(*_COVERAGE) * side * side / (length * width)))
    canvas = np.empty((side, side, 3), np.uint8)
    canvas[:] = palette[0]
    for x, y, noise in zip(
        generator.integers(0, side, count),
        generator.integers(0, side, count),
        generator.normal(0, jitter, count),
        strict=True,
    ):
        place = int(np.clip(regions[y, x] + noise, 0, 0.999) * len(palette))
        colour = np.clip(palette[place] + 60 * noise, 0, 255).tolist()
        corners = _corners(x, y, float(angles[y, x]), length, width)
        if kind == "dot":
            cv2.circle(canvas, (int(x), int(y)), round(width / 2), colour, -1, cv2.LINE_AA)
        else:
            cv2.fillConvexPoly(canvas, corners, colour, cv2.LINE_AA)
        if outline:
            cv2.polylines(canvas, [corners], isClosed=True, color=palette[-1].tolist(), lineType=cv2.LINE_AA)
    return canvas


def _smooth(generator: np.random.Generator, cells: int) -> NDArray[np.float32]:
    """Smooth noise from 0 to 1 over the whole picture."""
    noise = generator.random((cells + 2, cells + 2)).astype(np.float32)
    grown = cv2.resize(noise, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_CUBIC)
    result: NDArray[np.float32] = cv2.normalize(grown, None, 0, 1, cv2.NORM_MINMAX)  # type: ignore[call-overload]
    return result


def _corners(x: int, y: int, angle: float, length: float, width: float) -> NDArray[np.int32]:
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-along[1], along[0]])
    signs = ((1, 1), (1, -1), (-1, -1), (-1, 1))
    corners = [np.array([x, y]) + (a * length * along + b * width * across) / 2 for a, b in signs]
    return np.round(corners).astype(np.int32)
