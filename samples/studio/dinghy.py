"""A sailing dinghy of some four metres, seen from abeam: hull, tan mainsail, white jib, and a pennant at the mast."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .sheet import Points, Sheet, curve
from .texture import Field, Picture

_METRES_ACROSS = 13.2
"""Width of the scene in metres."""

_Placed = Callable[[ArrayLike], Points]


@dataclass(frozen=True, slots=True)
class Pose:
    """How the boat lies: angle of its roll in radians, and where the middle of its waterline is in pixels."""

    roll: float
    x: float
    y: float


def dinghy(shape: tuple[int, int], pose: Pose, *, time: float) -> tuple[Picture, Field]:
    """Colour and alpha of the boat in a scene of that height and width; `time` in seconds moves sails and pennant."""
    sheet = Sheet(shape, fine=2)
    cos, sin = np.cos(pose.roll), np.sin(pose.roll)

    def placed(points: ArrayLike) -> Points:
        """Points in pixels from points in the boat's own metres: x ahead of its middle, y above the water."""
        local = np.asarray(points, np.float64) * (shape[1] / _METRES_ACROSS)
        turned = np.stack([local[:, 0] * cos + local[:, 1] * sin, local[:, 0] * sin - local[:, 1] * cos], -1)
        return np.asarray(turned + np.array([pose.x, pose.y]), np.float64)

    billow = float(0.10 * np.sin(1.9 * time))
    sheet.line(placed([(0.35, 0.1), (0.35, 4.75)]), "8a6238", width=9)
    sheet.line(placed([(0.30, 0.1), (0.30, 4.75)]), "b98a55", width=3)
    _mainsail(sheet, placed, billow)
    _jib(sheet, placed, billow)
    for foot in ((2.02, 0.62), (-2.05, 0.55)):
        sheet.line(placed([(0.37, 4.6), foot]), "4a4640", width=1.5)
    _pennant(sheet, placed, time)
    _hull(sheet, placed)
    return sheet.parts()


def _mainsail(sheet: Sheet, placed: _Placed, billow: float) -> None:
    foot = curve([(0.25, 0.95), (-0.7, 0.80 + billow * 0.3), (-1.75, 0.86)], steps=8)
    leech = curve([(-1.75, 0.86), (-1.50 - billow, 2.1), (-1.05, 3.45)], steps=8)
    head = curve([(-1.05, 3.45), (-0.4, 3.75), (0.25, 3.95)], steps=8)
    sheet.polygon(placed([*foot, *leech, *head]), "b5512f")
    for share, shade in ((0.25, "a4462a"), (0.5, "c05a35"), (0.75, "a94a2c")):
        low, high = (0.25 - 2.0 * share, 0.9), (0.25 - 1.3 * share, 3.95 - 0.5 * share)
        belly = ((low[0] + high[0]) / 2 - 0.10 - billow, (low[1] + high[1]) / 2)
        sheet.line(placed(curve([low, belly, high])), shade, width=7)
    for up in (1.45, 2.0):
        sheet.line(placed(curve([(0.25, up), (-0.8, up - 0.12), (-1.62, up - 0.02)])), "8f3d24", width=2.5)
    sheet.line(placed([(0.30, 0.92), (-1.95, 0.80)]), "9b6f40", width=7)
    sheet.line(placed([(0.30, 3.98), (-1.15, 3.42)]), "9b6f40", width=6)


def _jib(sheet: Sheet, placed: _Placed, billow: float) -> None:
    leech = curve([(0.55, 4.15), (0.74 + billow, 2.2), (0.46, 0.82)], steps=8)
    foot = curve([(0.46, 0.82), (1.15, 0.70), (1.90, 0.80)], steps=8)
    sheet.polygon(placed([*leech, *foot]), "ece2cb")
    sheet.line(placed(leech), "cfc3a6", width=3)
    sheet.line(placed([(0.60, 3.0), (1.02, 2.85)]), "d8cdb2", width=2)
    sheet.line(placed([(0.66, 1.7), (1.50, 1.66)]), "d8cdb2", width=2)


def _pennant(sheet: Sheet, placed: _Placed, time: float) -> None:
    along = np.linspace(0, 1, 14)
    wave = 0.085 * np.sin(along * 8.5 - 9.0 * time) * (0.25 + along)
    upper = np.stack([0.35 - 1.05 * along, 4.72 + wave], -1)
    lower = np.stack([0.35 - 1.05 * along, 4.72 - 0.34 * (1 - along) + wave], -1)
    sheet.polygon(placed([*upper, *lower[::-1]]), "d8352a")
    sheet.line(placed((upper + lower)[:-2] / 2), "f6e9cf", width=6)


def _hull(sheet: Sheet, placed: _Placed) -> None:
    sheer = curve([(-2.15, 0.60), (-1.0, 0.44), (0.6, 0.46), (2.15, 0.80)], steps=10)
    keel = curve([(2.15, 0.80), (1.75, 0.12), (1.35, -0.12), (0.0, -0.16), (-1.6, -0.14), (-2.02, 0.0)], steps=8)
    sheet.polygon(placed(sheer + np.array([0, 0.05])), "5b3f26")
    sheet.polygon(placed([*sheer, *keel]), "eef0ea")
    for drop, shade in ((0.13, "c9d0cf"), (0.27, "b9c3c4"), (0.40, "aab6b9")):
        plank = np.stack([sheer[:, 0] * (1 - 0.10 * drop), sheer[:, 1] * (1 - drop) - drop * 0.12], -1)
        sheet.line(placed(plank), shade, width=3)
    waterline = curve([(1.62, 0.05), (0, -0.02), (-2.02, 0.04)])
    sheet.polygon(placed([*waterline, (-1.7, -0.16), (1.35, -0.14)]), "2f6f74")
    sheet.line(placed(sheer), "8a5a2e", width=9)
    sheet.line(placed(sheer + np.array([0, 0.03])), "c08a50", width=3)
