"""Plants of the garden: flowers that open, leaves that tremble, lavender, and the shadow of a tree's leaves."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .perspective import code
from .sheet import Points, Sheet, curve
from .texture import Field, blur, hex_colours, tileable_noise

_RINGS = ((1.00, 13, 1.0), (0.86, 13, 0.90), (0.66, 11, 0.74), (0.46, 9, 0.52))
"""Rings of petals from the outermost: length, number, and how far they open."""


@dataclass(frozen=True, slots=True)
class Flower:
    """A flower on its stem; lengths in pixels.

    Attributes:
        foot: where the stem leaves the earth.
        head: where the flower is.
        radius: length of its outer petals.
        colours: codes from the base of a petal to its tip.
        begin: the hour, in [0, 1], at which it begins to open.
        phase: where in its sway it is.
    """

    foot: tuple[float, float]
    head: tuple[float, float]
    radius: float
    colours: tuple[str, ...]
    begin: float
    phase: float

    def sway(self, moment: float) -> NDArray[np.float64]:
        """How far the head is from its place."""
        swing = np.sin(0.55 * moment + self.phase) + 0.5 * np.sin(1.31 * moment + 2 * self.phase)
        return np.asarray(np.array([0.034, 0.0145]) * self.radius * swing, np.float64)


def draw_stem(sheet: Sheet, flower: Flower, moment: float) -> None:
    """Draw the stem with its leaves."""
    foot, head = np.array(flower.foot), np.array(flower.head) + flower.sway(moment)
    bow = np.array([0.10 * (foot[1] - head[1]) * np.sin(flower.phase), 0])
    path = curve([foot, foot * 0.6 + head * 0.4 + bow, head * 0.85 + foot * 0.15 + bow * 0.5, head], steps=8)
    sheet.line(path, "3f5f2c", width=4.2)
    sheet.line(path - np.array([0.9, 0]), "6f9344", width=1.5)
    for number, share in enumerate((0.14, 0.27, 0.40, 0.53)):
        at = path[int(share * (len(path) - 1))]
        side = 1 if (number + round(flower.phase)) % 2 else -1
        tremble = 0.10 * np.sin(0.9 * moment + 1.7 * number + flower.phase) + 0.05 * np.sin(2.1 * moment + number)
        turn = -0.55 + 0.25 * number / 3 + tremble
        draw_leaf(sheet, at, (side * np.cos(turn), np.sin(turn)), long=(1.15 - 0.4 * share) * 52, wide=11 - 4 * share)


def draw_leaf(sheet: Sheet, at: ArrayLike, way: ArrayLike, *, long: float, wide: float) -> None:
    """Draw a leaf that bends down to its tip, its halves in two greens."""
    start, ahead = np.asarray(at, np.float64), np.asarray(way, np.float64)
    along = np.linspace(0, 1, 10)[:, None]
    rib = start + ahead * long * along + np.array([0, 0.34 * long]) * along**2
    across = np.array([-ahead[1], ahead[0]])
    across = across * np.sign(across[1] or 1)
    width = wide * np.sin(np.pi * along**0.75) * (1 - 0.25 * along)
    sheet.polygon(np.concatenate([rib, (rib - across * width)[::-1]]), "6d9647")
    sheet.polygon(np.concatenate([rib, (rib + across * width)[::-1]]), "47702f")
    for share in (2, 4, 6):
        sheet.line([rib[share], rib[min(share + 2, 9)] - across * width[share] * 0.75], "5b853c", width=0.7)
    sheet.line(rib, "9dba6c", width=1.1)


def _axes(turn: float, tilt: float) -> NDArray[np.float64]:
    """Three unit vectors: the flower's axis, turned aside and tilted up, and two across it; z is toward the viewer."""
    axis = np.array([np.sin(turn) * np.cos(tilt), -np.sin(tilt), np.cos(turn) * np.cos(tilt)])
    side = np.cross(axis, (0.0, 1.0, 0.0))
    side /= np.linalg.norm(side)
    return np.stack([axis, side, np.cross(axis, side)])


def draw_head(sheet: Sheet, flower: Flower, moment: float, *, opened: float, turn: float, sun: ArrayLike) -> None:
    """Draw the flower itself.

    Args:
        sheet: where to draw.
        flower: which one.
        moment: the moment, which moves it in the wind.
        opened: 0 for a bud, 1 for open.
        turn: where it looks, in radians to the right.
        sun: the direction to the sun; z is toward the viewer, y down.
    """
    axes = _axes(turn, 0.62 - 0.30 * opened)
    middle = np.array(flower.head) + flower.sway(moment)
    quads: list[tuple[float, Points, NDArray[np.float64]]] = []
    palette = hex_colours(*flower.colours).astype(np.float64)
    for ring, (length, count, spread) in enumerate(_RINGS):
        for petal in range(count):
            around = 2 * np.pi * (petal + 0.5 * (ring % 2)) / count + 0.06 * np.sin(petal * 5.1 + ring)
            flutter = 0.045 * np.sin(0.8 * moment + petal * 2.3 + flower.phase)
            angle = np.deg2rad(9 + (75 * opened) * spread * (0.94 + 0.08 * np.sin(petal * 3.7))) + flutter * opened
            quads += _petal(axes, around, angle, length * flower.radius, palette, np.asarray(sun, np.float64))
    quads += _calyx(axes, flower.radius)
    for _, points, colour in sorted(quads, key=lambda quad: quad[0]):
        sheet.polygon(points + middle, code(colour))
    if opened > 0.35:
        _heart(sheet, middle, axes, flower.radius, opened)


def _petal(
    axes: NDArray[np.float64],
    around: float,
    angle: float,
    length: float,
    palette: NDArray[np.float64],
    sun: NDArray[np.float64],
) -> list[tuple[float, Points, NDArray[np.float64]]]:
    """A petal as quads: depth, corners in the picture, and colour."""
    out = np.cos(around) * axes[1] + np.sin(around) * axes[2]
    aside = -np.sin(around) * axes[1] + np.cos(around) * axes[2]
    along = np.linspace(0, 1, 8)
    bend = angle * (0.62 + 0.46 * along)
    steps = np.sin(bend)[:, None] * out + np.cos(bend)[:, None] * axes[0]
    rib = np.concatenate([np.zeros((1, 3)), np.cumsum(steps[:-1], 0)]) * length / (len(along) - 1)
    width = 0.20 * length * np.sin(np.pi * (0.10 + 0.86 * along) ** 1.25) ** 0.8
    cup = 0.30 * width[:, None] * (np.cos(bend)[:, None] * -out + np.sin(bend)[:, None] * axes[0])
    quads = []
    for side in (-1, 1):
        edge = rib + side * width[:, None] * aside + cup
        for i in range(len(along) - 1):
            corners = np.stack([rib[i], rib[i + 1], edge[i + 1], edge[i]])
            normal = np.cross(corners[2] - corners[0], corners[3] - corners[1])
            normal /= max(float(np.linalg.norm(normal)), 1e-9)
            colour = np.array([np.interp(along[i], np.linspace(0, 1, len(palette)), channel) for channel in palette.T])
            vein = 0.95 if side < 0 else 1.04
            light = vein * (0.56 + 0.40 * abs(float(normal @ sun)) + 0.10 * along[i])
            quads.append((float(corners[:, 2].mean()), corners[:, :2], colour * light))
    return quads


def _calyx(axes: NDArray[np.float64], radius: float) -> list[tuple[float, Points, NDArray[np.float64]]]:
    """The green leaves under the petals."""
    quads = []
    for number in range(8):
        around = 2 * np.pi * number / 8
        out = np.cos(around) * axes[1] + np.sin(around) * axes[2]
        aside = -np.sin(around) * axes[1] + np.cos(around) * axes[2]
        base, tip = -0.10 * axes[0], 0.22 * out + 0.10 * axes[0]
        corners = np.stack([base, 0.12 * out + 0.09 * aside, tip, 0.12 * out - 0.09 * aside]) * radius
        green = hex_colours("5a7f38")[0].astype(np.float64) * (0.8 + 0.05 * (number % 4))
        quads.append((float(corners[:, 2].mean()) - 0.05 * radius, corners[:, :2], green))
    return quads


def _heart(sheet: Sheet, middle: Points, axes: NDArray[np.float64], radius: float, opened: float) -> None:
    """The yellow heart, in the spiral of a sunflower's seeds."""
    size = 0.21 * radius * min(1.0, (opened - 0.35) / 0.4)
    for number in range(90):
        reach, around = np.sqrt(number / 90), number * 2.39996
        at = (
            reach * size * (np.cos(around) * axes[1] + np.sin(around) * axes[2])
            + 0.16 * radius * (1 - 0.4 * reach**2) * axes[0]
        )
        colour = ("c98a1f", "e9b93a", "f4d667", "a8691c")[number % 4 if reach < 0.8 else 3 * (number % 2)]
        dot = np.linspace(0, 2 * np.pi, 6)
        round_ = np.stack([np.cos(dot), np.sin(dot)], -1) * (0.10 + 0.05 * reach) * max(size, 1)
        sheet.polygon(at[:2] + middle + round_, colour)


@dataclass(frozen=True, slots=True)
class Stalk:
    """A stalk of lavender or a blade of grass at the foot of the wall; pixels."""

    x: float
    y: float
    tall: float
    lean: float
    phase: float
    bloom: bool
    green: str


def bed(rng: np.random.Generator, *, width: int, base: float, gap: tuple[float, float]) -> list[Stalk]:
    """Stalks in clumps along a line, none in the gap, the farther ones first."""
    stalks = []
    for clump in np.arange(-10.0, width + 20, 19.0):
        middle = float(clump + rng.uniform(-6, 6))
        if gap[0] < middle < gap[1]:
            continue
        tall = float(rng.uniform(34, 64))
        for _ in range(26):
            lean = float(rng.normal(0, 0.36))
            green = str(rng.choice(["4a6b38", "5c7f45", "728f58", "3c5a33", "869c68"]))
            bloom = bool(rng.random() < 0.5)
            high = tall * float(rng.uniform(0.45, 1.05)) * (1.1 if bloom else 0.8)
            stalks.append(
                Stalk(
                    middle + float(rng.normal(0, 4)),
                    base + float(rng.uniform(0, 6)),
                    high,
                    lean,
                    middle * 0.03 + float(rng.uniform(0, 1.5)),
                    bloom,
                    green,
                )
            )
    return sorted(stalks, key=lambda stalk: stalk.y)


def draw_stalk(sheet: Sheet, stalk: Stalk, moment: float) -> None:
    """Draw one stalk as the wind bends it."""
    wind = 0.06 * np.sin(0.62 * moment - 2.5 * stalk.phase) + 0.035 * np.sin(1.5 * moment + 9 * stalk.phase)
    along = np.linspace(0, 1, 6)
    x = stalk.x + stalk.tall * ((stalk.lean + wind) * along**1.5)
    y = stalk.y - stalk.tall * along * (1 - 0.18 * abs(stalk.lean) * along)
    sheet.line(np.stack([x, y], -1), stalk.green, width=1.3)
    if stalk.bloom:
        for share, colour in ((0.72, "6d5aa0"), (0.81, "8470b8"), (0.90, "9a86cc"), (0.98, "b3a0dc")):
            at = np.interp(share, along, x), np.interp(share, along, y)
            wide = 2.5 * (1.35 - share)
            sheet.polygon(
                np.array(
                    [
                        (at[0] - wide - 0.6, at[1]),
                        (at[0], at[1] - 2.6),
                        (at[0] + wide + 0.6, at[1]),
                        (at[0], at[1] + 2.2),
                    ]
                ),
                colour,
            )


def foliage_shadow(rng: np.random.Generator, size: int, *, sparse: float) -> Field:
    """How much light a tree takes away, as a tile: leaves on boughs, with gaps between, more of them where sparse."""
    shadow = np.zeros((size, size), np.float32)
    dense = tileable_noise(rng, size, slope=2.2, low=1, high=9)
    sheet = Sheet((2 * size, 2 * size), fine=1)
    for _ in range(1500):
        x, y = rng.uniform(0, size, 2)
        if dense[int(y), int(x)] < sparse:
            continue
        turn, long = rng.uniform(0, 2 * np.pi), rng.uniform(0.022, 0.038) * size
        ahead = np.array([np.cos(turn), np.sin(turn)])
        aside = np.array([-ahead[1], ahead[0]]) * 0.32
        leaf = np.array([(x, y)]) + long * np.stack([-ahead, aside, ahead, -aside])
        for tile in np.ndindex(2, 2):
            sheet.polygon(curve(leaf, steps=4, closed=True) + np.array(tile) * size, "000000")
    _, alpha = sheet.parts()
    for part in (alpha[:size, :size], alpha[size:, :size], alpha[:size, size:], alpha[size:, size:]):
        shadow = np.maximum(shadow, part)
    wide = blur(np.tile(shadow, (2, 2)), size * 0.005)
    half = size // 2
    return np.asarray(np.roll(wide[half : half + size, half : half + size], (half, half), (0, 1)), np.float32)
