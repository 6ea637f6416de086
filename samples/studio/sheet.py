"""Flat shapes with smooth edges, to be laid over a picture."""

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from .texture import Field, Picture

Points = NDArray[np.float64]
"""`(N, 2)` of x, y in pixels."""


class Sheet:
    """A transparent sheet; what is drawn later covers what is there."""

    def __init__(self, shape: tuple[int, int], *, fine: int = 4) -> None:
        """A sheet of that height and width, drawn `fine` times larger and averaged down to smooth its edges."""
        self._fine = fine
        self._shape = shape
        self._rgba = np.zeros((shape[0] * fine, shape[1] * fine, 4), np.uint8)

    def polygon(self, points: ArrayLike, colour: str) -> None:
        """Fill a polygon `(N, 2)` of x, y in pixels with a colour such as `"f4c430"`."""
        corners = np.rint(np.asarray(points, np.float64) * self._fine).astype(np.int32)
        cv2.fillPoly(self._rgba, [corners], (*bytes.fromhex(colour), 255))

    def box(self, left: float, top: float, right: float, bottom: float, colour: str) -> None:
        """Fill an upright rectangle."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def line(self, points: ArrayLike, colour: str, *, width: float) -> None:
        """Draw a polyline `(N, 2)`, `width` pixels thick."""
        corners = np.rint(np.asarray(points, np.float64) * self._fine).astype(np.int32)
        thick = max(1, round(width * self._fine))
        cv2.polylines(self._rgba, [corners], False, (*bytes.fromhex(colour), 255), thick)

    def parts(self) -> tuple[Picture, Field]:
        """Colour `(H, W, 3)` and alpha `(H, W)`, both in [0, 1]."""
        height, width = self._shape
        small = cv2.resize(self._rgba, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        alpha = np.asarray(small[..., 3], np.float32)
        return np.asarray(small[..., :3] / np.maximum(alpha, 1e-3)[..., None], np.float32), alpha


def curve(points: ArrayLike, *, steps: int = 10, closed: bool = False) -> Points:
    """A smooth line through points (Catmull and Rom's spline), `steps` for each stretch."""
    knots = np.asarray(points, np.float64)
    ends = (knots[-1:], knots[:2]) if closed else (knots[:1], knots[-1:])
    loop = np.concatenate([ends[0], knots, ends[1]])
    before, start, end, after = loop[:-3], loop[1:-2], loop[2:-1], loop[3:]
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    cubic = 3 * start - before - 3 * end + after
    square = 2 * before - 5 * start + 4 * end - after
    line = (start[:, None] * 2 + (end - before)[:, None] * t + square[:, None] * t**2 + cubic[:, None] * t**3) / 2
    smooth = line.reshape(-1, 2)
    return smooth if closed else np.concatenate([smooth, knots[-1:]])
