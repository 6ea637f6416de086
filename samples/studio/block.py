"""Cutting a drawing into a block of wood, and printing it.

A block begins all ink; light is cut out of it. The cuts are evenly spaced lines along the drawing's directions (after
B. Jobard and W. Lefer, "Creating evenly-spaced streamlines of arbitrary density", 1997; here each place starts a line
in random order, which leaves the uneven ends of work by hand), and the lighter the place, the wider the cut.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from .strokes import unit
from .texture import Field, Picture, blur, grid, hex_colours, mix, noise_like, smoothstep

_PAPER = hex_colours("f3e9d3")[0]
_INK = hex_colours("1b1a1d")[0]
_RED = hex_colours("c9432b")[0]
_OCHRE = hex_colours("e8b04f")[0]


@dataclass(frozen=True, slots=True)
class Drawing:
    """The drawing on the block.

    Attributes:
        tone: `(H, W)`, 0 stays black, 1 is cut away.
        directions: `(H, W, 2)`, unit vectors along which the gouge runs.
        spacing: `(H, W)`, distance from cut to cut in pixels.
        part: `(H, W)` int32; a cut ends where the part does.
        colour: `(H, W, 2)`, how much the second block prints of red and of ochre.
    """

    tone: Field
    directions: NDArray[np.float32]
    spacing: Field
    part: NDArray[np.int32]
    colour: NDArray[np.float32]

    def with_part(
        self,
        inside: NDArray[np.bool_],
        tone: Field,
        along: tuple[ArrayLike, ArrayLike],
        spacing: float,
        *,
        red: ArrayLike = 0.0,
        ochre: ArrayLike = 0.0,
    ) -> "Drawing":
        """The drawing with one more part on top; `along` is the direction of its cuts as x and y."""
        size = tone.shape
        turn = unit(np.stack([np.broadcast_to(np.asarray(a, np.float32), size) for a in along], -1))
        ink = np.stack([np.broadcast_to(np.asarray(c, np.float32), size) for c in (red, ochre)], -1)
        return Drawing(
            np.where(inside, tone, self.tone).astype(np.float32),
            np.where(inside[..., None], turn, self.directions).astype(np.float32),
            np.where(inside, np.float32(spacing), self.spacing).astype(np.float32),
            np.where(inside, self.part.max() + 1, self.part).astype(np.int32),
            np.where(inside[..., None], ink, self.colour).astype(np.float32),
        )


def blank(size: tuple[int, int]) -> Drawing:
    plain = np.zeros(size, np.float32)
    flat = np.zeros((*size, 2), np.float32)
    return Drawing(plain, flat, plain + 8, plain.astype(np.int32), flat)


class _Gouge:
    """Cuts evenly spaced lines into a block."""

    def __init__(self, drawing: Drawing) -> None:
        self._drawing = drawing
        self._height, self._width = drawing.tone.shape
        self._taken = np.zeros(drawing.tone.shape, np.uint8)
        self._step = 2.5

    def _free(self, x: float, y: float, part: int) -> bool:
        if not (0 <= x < self._width and 0 <= y < self._height):
            return False
        column, row = int(x), int(y)
        return not self._taken[row, column] and int(self._drawing.part[row, column]) == part

    def _half(self, x: float, y: float, part: int, sign: float, limit: int) -> Iterator[tuple[float, float]]:
        """Points from (x, y) on one way, until something is in the way."""
        directions = self._drawing.directions
        before = None
        for _ in range(limit):
            dx, dy = (float(v) * sign for v in directions[int(y), int(x)])
            if before is not None and dx * before[0] + dy * before[1] < 0:
                dx, dy = -dx, -dy
            before = (dx, dy)
            x, y = x + dx * self._step, y + dy * self._step
            if not self._free(x, y, part):
                return
            yield x, y

    def cuts(self, rng: np.random.Generator, *, shortest: int) -> Iterator[NDArray[np.float32]]:
        """Polylines `(points, 2)` that fill every part of the drawing."""
        cell = 3
        rows, columns = np.mgrid[0 : self._height : cell, 0 : self._width : cell]
        seeds = rng.permutation(np.stack([columns.ravel(), rows.ravel()], -1)) + rng.random((rows.size, 2)) * cell
        lengths = rng.integers(18, 90, len(seeds))
        for (x, y), limit in zip(seeds.tolist(), lengths.tolist(), strict=True):
            if not (x < self._width and y < self._height):
                continue
            part = int(self._drawing.part[int(y), int(x)])
            if not self._free(x, y, part):
                continue
            back = list(self._half(x, y, part, -1.0, limit))[::-1]
            path = np.array([*back, (x, y), *self._half(x, y, part, 1.0, limit)], np.float32)
            if len(path) < shortest:
                continue
            spacing = self._drawing.spacing[int(y), int(x)]
            points = np.rint(path).astype(np.int32)
            cv2.polylines(self._taken, [points], False, 1, max(1, round(2 * 0.80 * float(spacing)) - 1))
            yield path


def carved(rng: np.random.Generator, drawing: Drawing) -> Field:
    """What of the black block still prints: `(H, W)`, 1 is ink."""
    height, width = drawing.tone.shape
    cut = np.zeros((height, width), np.uint8)
    cut[drawing.tone >= 0.985] = 255
    sway = noise_like(rng, (height, width), slope=1.2, low=30)
    for path in _Gouge(drawing).cuts(rng, shortest=3):
        columns, rows = path[:, 0].astype(np.intp), path[:, 1].astype(np.intp)
        tone = np.convolve(np.pad(drawing.tone[rows, columns], 2, "edge"), np.full(5, 0.2), "valid")
        taper = np.minimum(np.arange(1, len(path) + 1) / 5, np.arange(len(path), 0, -1) / 3.5)
        widths = drawing.spacing[rows, columns] * np.clip(tone * 1.12 - 0.06, 0, 1.05) * np.minimum(taper, 1)
        widths = widths * (1 + 0.10 * sway[rows, columns])
        for run in _runs(widths > 0.9):
            _carve(cut, path[run], widths[run])
    return np.asarray(1 - cut / 255, np.float32)


def _runs(keep: NDArray[np.bool_]) -> Iterator[slice]:
    """The stretches of at least three in which `keep` holds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], keep, [False]])))
    for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if stop - start >= 3:
            yield slice(start, stop)


def _carve(cut: NDArray[np.uint8], path: NDArray[np.float32], widths: NDArray[np.float32]) -> None:
    """One cut as a polygon as wide as `widths` along `path`."""
    ahead = unit(np.gradient(path, axis=0).astype(np.float32))
    across = np.stack([-ahead[:, 1], ahead[:, 0]], -1) * (widths / 2)[:, None]
    outline = np.concatenate([path + across, (path - across)[::-1]])
    cv2.fillPoly(cut, [np.rint(outline * 8).astype(np.int32)], 255, cv2.LINE_AA, 3)


def printed(rng: np.random.Generator, drawing: Drawing, black: Field) -> Picture:
    """Paper, then the colour block a little out of register, then the black one, with the wood's grain in the ink."""
    height, width = black.shape
    _, y = grid((height, width))
    fibre = noise_like(rng, (height, width), slope=0.7, low=20)
    grain = noise_like(rng, (height, width), slope=1.0, low=8)
    wood = np.sin(y / 3.3 + 2.6 * noise_like(rng, (height, width), slope=2.2, low=1) + 0.35 * grain)
    picture = _PAPER * (1 + 0.012 * fibre + 0.010 * grain)[..., None]
    shift = np.array([[1, 0, 3.2], [0, 1, -2.2]], np.float32)
    colour = cv2.warpAffine(drawing.colour, shift, (width, height), borderMode=cv2.BORDER_REPLICATE)
    colour = blur(colour, 1.2)
    worn = np.clip(0.90 + 0.10 * wood * smoothstep(-0.5, 1, grain) + 0.03 * fibre, 0, 1)
    for share, ink in ((colour[..., 1], _OCHRE), (colour[..., 0], _RED)):
        film = np.clip(share * worn, 0, 1)[..., None]
        picture = picture * (1 - film + film * ink)
    speck = smoothstep(2.3, 2.9, grain + 0.55 * fibre + 0.25 * wood)
    body = np.clip(black * (0.965 + 0.02 * wood + 0.012 * grain) - 0.8 * speck * black, 0, 1)
    return mix(picture, _INK, body)
