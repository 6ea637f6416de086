"""A wooden pier that leads from the lower right out to the water, with a crate and a bucket on its planks."""

from itertools import pairwise

import numpy as np

from .sheet import Sheet
from .texture import Field, Picture

_NEAR = np.array([(0.60, 1.06), (1.16, 1.06)])
_FAR = np.array([(0.615, 0.655), (0.715, 0.650)])
"""Left and right end of the first and of the last plank, as shares of the scene's width and height."""

_PLANKS = ("a58a68", "b39773", "98805f", "bda27c", "8f7758")


class _Deck:
    """The planks in perspective."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._scale = np.array([shape[1], shape[0]])

    def at(self, across: float, away: float, up: float = 0.0) -> tuple[float, float]:
        """A point in pixels: `across` 0 left to 1 right, `away` 0 near to 1 far, `up` in widths of the pier there."""
        depth = away / (away + (1 - away) * 0.30)
        left, right = _NEAR + (_FAR - _NEAR) * depth
        point = left + (right - left) * across - np.array([0, up * (right - left)[0] * 1.3])
        x, y = point * self._scale
        return float(x), float(y)

    def thickness(self, across: float, away: float) -> float:
        """Thickness of a post there, in pixels."""
        return self.at(across + 0.058, away)[0] - self.at(across - 0.058, away)[0]


def pier(shape: tuple[int, int], rng: np.random.Generator) -> tuple[Picture, Field]:
    """Colour and alpha of the pier in a scene of that height and width."""
    sheet, deck = Sheet(shape, fine=2), _Deck(shape)
    at = deck.at
    for away in (1.0, 0.72, 0.46, 0.24):
        for across in (0.04, 0.96):
            (x, y), thick = at(across, away), deck.thickness(across, away)
            sheet.box(x - thick / 2, y, x + thick / 2, y + 3.4 * thick, "4d3b2c")
    sheet.polygon([at(0, 0), at(0, 1), at(0, 1, -0.10), at(0, 0, -0.10)], "3f3025")
    sheet.polygon([at(0, 1), at(1, 1), at(1, 1, -0.10), at(0, 1, -0.10)], "54412f")
    for start, stop in pairwise(np.linspace(0, 1, 34).tolist()):
        plank = [at(-0.01, start), at(1.01, start), at(1.01, stop), at(-0.01, stop)]
        sheet.polygon(plank, str(rng.choice(_PLANKS)))
        sheet.line(plank[:2], "5a4733", width=2.2 * (1 - start) + 0.7)
    for across, away, tall in ((0.04, 1.0, 0.75), (0.04, 0.46, 0.62), (0.96, 0.72, 0.70)):
        (x, y), (_, top), thick = at(across, away), at(across, away, tall), deck.thickness(across, away)
        sheet.box(x - thick / 2, top, x + thick / 2, y, "6a5440")
        sheet.box(x - thick / 2, top, x - thick / 6, y, "8d7357")
        wide, slim = 0.56 * thick, 0.42 * thick
        sheet.polygon([(x - wide, top + 4), (x + wide, top + 4), (x + slim, top - 7), (x - slim, top - 7)], "d9d5ca")
    _crate(sheet, np.array(at(0.62, 0.50)), side=62)
    _bucket(sheet, np.array(at(0.30, 0.26)), side=52)
    return sheet.parts()


def _crate(sheet: Sheet, foot: np.ndarray, *, side: float) -> None:
    for corners, colour in (
        ([(0, 0), (1.25, 0), (1.25, -0.8), (0, -0.8)], "c39a54"),
        ([(0, -0.8), (1.25, -0.8), (1.5, -1.05), (0.28, -1.05)], "e0bd78"),
        ([(1.25, 0), (1.5, -0.25), (1.5, -1.05), (1.25, -0.8)], "8b6a38"),
    ):
        sheet.polygon(np.array(corners) * side + foot, colour)
    for up in (0.27, 0.53):
        sheet.line(np.array([(0, -up), (1.25, -up)]) * side + foot, "7c5c2f", width=3)
    for across in (0.06, 1.19):
        sheet.line(np.array([(across, 0), (across, -0.8)]) * side + foot, "a27d42", width=6)


def _bucket(sheet: Sheet, foot: np.ndarray, *, side: float) -> None:
    turn = np.linspace(0, 2 * np.pi, 41)
    circle = np.stack([np.cos(turn), np.sin(turn)], -1)
    rim = (circle * (0.5, 0.16) - (0, 0.95)) * side + foot
    base = circle * (0.36, 0.11) * side + foot
    sheet.polygon([*base[:21], *rim[20::-1]], "2e6fa3")
    sheet.polygon([*base[13:21], *rim[20:12:-1]], "5c9ccb")
    sheet.polygon(rim, "1f4f77")
    sheet.line(rim, "8fc0e2", width=3)
    sheet.line((circle[20:] * (0.5, 0.62) - (0, 0.95)) * side + foot, "c9c9c4", width=3)
