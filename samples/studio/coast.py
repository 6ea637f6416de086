"""The land of the time-lapse: ranges of hills, a lighthouse with its cottage, pines, and grass in front."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .sheet import Sheet
from .sky import Light
from .texture import Field, Picture, blur, grid, hex_colours, mix, noise_like, ramp, relief, smoothstep


@dataclass(frozen=True, slots=True)
class Layer:
    """One sheet of scenery.

    Attributes:
        colour: `(H, W, 3)`, the colour in white light.
        alpha: `(H, W)`, where the sheet is.
        facing: `(H, W)`, how much each place turns to the sun, in [0, 1].
        haze: how much of the air's colour lies before it, in [0, 1].
    """

    colour: Picture
    alpha: Field
    facing: Field
    haze: float

    def lit(self, light: Light, sunshine: float) -> Picture:
        """The sheet's colours in that light, behind its haze."""
        shine = light.ambient + light.direct * (self.facing * sunshine)[..., None]
        return mix(self.colour * shine, light.sky[2] * 0.55 + light.sky[1] * 0.45, np.float32(self.haze))

    def over(self, picture: Picture, light: Light, sunshine: float) -> Picture:
        """The sheet laid over a picture."""
        return mix(picture, self.lit(light, sunshine), self.alpha)


def hills(
    rng: np.random.Generator,
    shape: tuple[int, int],
    *,
    base: float,
    profile: Sequence[tuple[float, float]],
    rough: float,
    haze: float,
    colours: Picture,
) -> Layer:
    """A range of hills.

    Args:
        rng: where the randomness comes from.
        shape: height and width of the picture.
        base: row of the foot, where the water begins.
        profile: points `(share of the width, height in pixels)` that the crest follows.
        rough: height of the crest's unevenness in pixels.
        haze: see `Layer`.
        colours: `(N, 3)` from the darkest vegetation to bare rock.
    """
    height, width = shape
    at = np.arange(width) / width
    xs, heights = np.array(profile).T
    crest = np.interp(at, xs, heights)
    crest = blur(crest[None].astype(np.float32), width * 0.018)[0]
    uneven = noise_like(rng, (2, width), slope=2.3, low=4)[0]
    crest = crest + uneven * rough * np.clip(crest / 12, 0, 1)
    crest = np.where(crest < 0.7, -2, crest)
    y = np.arange(height)[:, None].astype(np.float32)
    top = (base - crest)[None].astype(np.float32)
    alpha = np.clip(y - top + 0.5, 0, 1) * np.clip(base - y + 0.5, 0, 1)
    depth = np.clip((y - top) / 40, 0, 1)
    ground = noise_like(rng, shape, slope=1.35, low=6)
    gullies = noise_like(rng, (height * 3, width), slope=1.5, low=5)[: height * 3 : 3]
    form = 0.7 * gullies + 0.3 * ground
    facing = np.clip(0.42 + 1.3 * relief(form, strength=2.2, angle=300) - 0.12 * depth, 0, 1)
    colour = ramp(0.5 + 0.22 * ground + 0.10 * gullies, np.linspace(0, 1, len(colours)), colours)
    return Layer(colour, alpha.astype(np.float32), facing.astype(np.float32), haze)


def lighthouse(shape: tuple[int, int], foot: tuple[float, float]) -> tuple[Layer, tuple[float, float]]:
    """A lighthouse of some 60 px with a cottage next to it, and where its lamp is."""
    sheet = Sheet(shape)
    x, y = foot

    def box(left: float, top: float, right: float, bottom: float, colour: str) -> None:
        sheet.box(x + left, y + top, x + right, y + bottom, colour)

    def tower(low: float, high: float, colour: str) -> None:
        wide, slim = 6.2 - 0.055 * low, 6.2 - 0.055 * high
        sheet.polygon([(x - wide, y - low), (x + wide, y - low), (x + slim, y - high), (x - slim, y - high)], colour)

    sheet.polygon([(x + 8, y - 15), (x + 20, y - 22), (x + 32, y - 15)], "9a4a3a")
    box(10, -15, 30, 5, "e9e2d2")
    box(14, -11, 17, -6, "3a3c46")
    box(22, -11, 25, -6, "3a3c46")
    box(25.5, -23, 27.5, -18, "8a5040")
    tower(-6, 50, "f1ece0")
    tower(10, 20, "b8392f")
    tower(31, 41, "b8392f")
    box(-1, -27, 1, -24, "3a3c46")
    box(-5.5, -52, 5.5, -50, "2e3038")
    box(-3, -59, 3, -52, "8d97a0")
    box(-0.4, -59, 0.4, -52, "2e3038")
    sheet.polygon([(x - 4.2, y - 59), (x + 4.2, y - 59), (x, y - 64.5)], "8f2f28")
    colour, alpha = sheet.parts()
    across = np.arange(shape[1], dtype=np.float32)[None] - x
    facing = np.broadcast_to(np.clip(0.55 + across / 11, 0.12, 1) * (across < 8) + 0.6 * (across >= 8), shape)
    return Layer(colour, alpha, facing.astype(np.float32), 0.06), (x, y - 55.5)


def pines(rng: np.random.Generator, shape: tuple[int, int], feet: Sequence[tuple[float, float, float]]) -> Layer:
    """Spruces at `feet`, each `(x, y, height)` in pixels: ragged tiers around a stem."""
    sheet = Sheet(shape)
    for x, y, tall in feet:
        half = tall * (0.17 + 0.05 * rng.random())
        tiers = max(5, int(tall / 5))
        sheet.polygon([(x - 0.8, y + 3), (x + 0.8, y + 3), (x + 0.4, y - tall), (x - 0.4, y - tall)], "2c2620")
        for tier in range(tiers):
            up = tier / tiers
            reach = half * (1 - up) ** 0.85 + 0.6
            low, high = y - tall * (0.08 + 0.9 * up), y - tall * min(0.08 + 0.9 * up + 1.9 / tiers, 1.02)
            droop = reach * 0.35
            left, right = reach * (0.75 + 0.5 * rng.random()), reach * (0.75 + 0.5 * rng.random())
            shade = rng.choice(["23362c", "2a4032", "1d2f28"])
            skirt = [(x - left, low + droop), (x - left * 0.4, low), (x, low + droop * 0.6), (x + right * 0.4, low)]
            sheet.polygon([*skirt, (x + right, low + droop), (x, high)], str(shade))
    colour, alpha = sheet.parts()
    speckle = noise_like(rng, shape, slope=0.6, low=30)
    facing = np.clip(0.30 + 0.18 * speckle, 0, 1)
    return Layer(colour, alpha, facing.astype(np.float32), 0.04)


class Grass:
    """Blades on the near shore that bend in gusts."""

    def __init__(self, rng: np.random.Generator, shape: tuple[int, int], *, blades: int = 520) -> None:
        height, width = shape
        self._shape = shape
        x = width * np.sort(rng.random(blades))
        bank = self.bank(x / width)
        self._x = x
        self._foot = height - height * bank + 4
        self._tall = (9 + 30 * rng.random(blades) ** 2.2) * (0.5 + 2.2 * bank / 0.13) / 2
        self._lean = rng.normal(0, 0.22, blades)
        self._phase = rng.random(blades) * 0.9
        self._dark = rng.random(blades)

    @staticmethod
    def bank(share: NDArray[np.float64]) -> NDArray[np.float64]:
        """Height of the near shore, as a share of the picture's height, across its width."""
        left = 0.13 * np.exp(-((share / 0.33) ** 2))
        return left + 0.075 * np.exp(-(((share - 1.02) / 0.22) ** 2)) + 0.006

    def at(self, time: float) -> Layer:
        """The blades at `time` seconds of wind."""
        height, width = self._shape
        sheet = Sheet(self._shape)
        share = np.linspace(0, 1, 80)
        crest = np.stack([share * width, height - height * self.bank(share)], -1)
        sheet.polygon([*crest, (width, height), (0, height)], "232a1e")
        gust = np.sin(self._x / 90 - 2.3 * time + self._phase) + 0.6 * np.sin(self._x / 37 - 3.9 * time)
        bend = self._lean + 0.16 * gust
        colours = ("20291a", "343d24", "4c4c2b", "6a5f35")
        for x, foot, tall, lean, dark in zip(self._x, self._foot, self._tall, bend, self._dark, strict=True):
            mid = (x + 0.35 * lean * tall, foot - 0.6 * tall)
            tip = (x + lean * tall, foot - tall)
            sheet.polygon(
                [(x - 0.9, foot), (mid[0] - 0.6, mid[1]), tip, (mid[0] + 0.6, mid[1]), (x + 0.9, foot)],
                colours[int(dark * 4)],
            )
        colour, alpha = sheet.parts()
        return Layer(colour, alpha, np.full(self._shape, 0.5, np.float32), 0.0)


def lamp_glow(shape: tuple[int, int], centre: tuple[float, float], *, on: float, turn: float) -> Field:
    """Brightness to add around a lighthouse's lamp; `turn` in radians says where its beam points."""
    height, width = shape
    x, y = grid((height, width))
    dx, dy = x - centre[0], y - centre[1]
    away = np.hypot(dx, dy)
    toward = max(0.0, float(np.sin(turn))) ** 6
    halo = np.exp(-((away / 2.6) ** 2)) * 1.2 + (0.25 + 0.75 * toward) * np.exp(-away / 9) * 0.8
    beam = np.zeros_like(x)
    for side in (1, -1):
        run = dx * np.cos(turn) * side
        beam += np.exp(-((dy / (1.2 + 0.055 * np.abs(dx))) ** 2)) * smoothstep(0, 6, run) * np.exp(-np.abs(dx) / 150)
    return np.asarray(on * (halo + 0.28 * abs(float(np.cos(turn))) * beam), np.float32)


PASTURE = hex_colours("39422a", "5a6138", "7d7848", "9a8a63")
ROCK = hex_colours("3f4a4e", "5b6668", "7b817a", "99948a")
