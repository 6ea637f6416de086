"""What stands and moves on the street: cars, lamps at the kerb, and trees."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .perspective import FINE, Camera, shade
from .sheet import Sheet
from .texture import Field, Picture, grid, mix, noise_like, smoothstep

_PROFILE = (
    (-2.10, 0.32, 0.84, "26282c"),
    (-2.16, 0.55, 0.86, ""),
    (-2.08, 0.98, 0.80, "2b333d"),
    (-1.45, 1.44, 0.66, ""),
    (0.30, 1.46, 0.66, "333d48"),
    (1.10, 1.00, 0.80, ""),
    (2.00, 0.80, 0.84, ""),
    (2.14, 0.58, 0.86, "2e3034"),
    (2.10, 0.30, 0.84, ""),
)
"""A car from its tail over the roof to its nose: metres ahead of its middle, height, half its width, and the colour of
the part that begins there, none for paint."""

_GREENS = ("2e4526", "3b5a2c", "4d7034", "638640", "7f9a4c")
_SIDE_GLASS = ((-1.75, 1.02), (-1.25, 1.36), (0.22, 1.37), (0.82, 1.02))
_TAIL = ((0.50, 0.80, 0.62, 0.80, "8f2a26"), (-0.28, 0.28, 0.50, 0.62, "d9d4bd"), (0.0, 0.84, 0.34, 0.44, "3a3c40"))
_NOSE = ((0.46, 0.78, 0.50, 0.68, "e4e6e0"), (-0.36, 0.36, 0.46, 0.58, "24262a"), (-0.25, 0.25, 0.34, 0.43, "d9d4bd"))
"""Lights, number plate and bumper at either end: inner and outer edge, low and high edge, colour."""

_PAINTS = ("b33a30", "d8d6cf", "34506f", "c9a23f", "59665f", "8f969c", "e3ded0", "6f2f3c", "2e3a3f")


@dataclass(frozen=True, slots=True)
class Car:
    """A car and how it passes.

    Attributes:
        x: metres to the right of the camera.
        ahead: 1 when it goes away from the camera, -1 when it comes.
        start: the moment at which it enters the street.
        pace: metres from moment to moment, 0 when it is parked.
        paint: its colour.
        size: how large it is, 1 for a common car.
    """

    x: float
    ahead: int
    start: float
    pace: float
    paint: str
    size: float = 1.0

    def z(self, moment: float) -> float:
        """How far ahead it is."""
        run = (moment - self.start) * self.pace
        return 3.0 + run if self.ahead > 0 else 135.0 - run


def traffic(rng: np.random.Generator, *, moments: float) -> list[Car]:
    """Cars of one day, in both directions."""
    cars = []
    for ahead, x in ((1, 0.95), (-1, -2.55)):
        start = float(rng.uniform(-30, -20))
        while start < moments:
            pace = float(rng.uniform(2.6, 3.2))
            paint, size = str(rng.choice(_PAINTS)), float(rng.uniform(0.95, 1.15))
            cars.append(Car(x + float(rng.uniform(-0.15, 0.15)), ahead, start, pace, paint, size))
            start += float(rng.uniform(9, 22))
    return cars


def parked(rng: np.random.Generator, x: float, *, begin: float, end: float) -> list[tuple[Car, float]]:
    """Cars at a kerb with where they stand, with gaps."""
    cars = []
    z = begin
    while z < end:
        if rng.random() < 0.72:
            ahead = 1 if x > 0 else -1
            cars.append((Car(x, ahead, 0, 0, str(rng.choice(_PAINTS)), float(rng.uniform(0.95, 1.12))), z))
        z += float(rng.uniform(5.4, 6.6))
    return cars


def draw_car(sheet: Sheet, camera: Camera, car: Car, z: float, *, scale: float = 1.0) -> None:
    """Draw a car `z` metres ahead, the farther parts first; `scale` is the sheet's pixels per pixel of the camera."""
    way, size = car.ahead, car.size

    def shown(places: Sequence[tuple[float, float, float]]) -> Field:
        """Pixels of places given as across, up and along in the car's own metres."""
        at = [(car.x + a * size, u * size, max(z + way * s * size, 2.0)) for a, u, s in places]
        return np.asarray(camera.pixels(at) * scale, np.float32)

    shadow = [(-1.0, 0.0, -2.3), (1.0, 0.0, -2.3), (1.0, 0.0, 2.3), (-1.0, 0.0, 2.3)]
    sheet.polygon(shown(shadow), "16171a")
    parts = []
    for (s0, u0, w0, tint), (s1, u1, w1, _) in pairwise(_PROFILE):
        steep = abs(u1 - u0) / (abs(u1 - u0) + abs(s1 - s0))
        colour = tint or shade(car.paint, 1.12 - 0.42 * steep)
        quad = [(-w0, u0, s0), (w0, u0, s0), (w1, u1, s1), (-w1, u1, s1)]
        parts.append((z + way * (s0 + s1) / 2, quad, colour))
    inner = -1 if car.x > 0 else 1
    for _, quad, colour in sorted(parts, key=lambda part: -part[0]):
        sheet.polygon(shown(quad), colour)
    outline = [(inner * wide, up, along) for along, up, wide, _ in _PROFILE]
    sheet.polygon(shown(outline), shade(car.paint, 0.82))
    sheet.polygon(shown([(inner * (0.80 - 0.3 * (up - 1)), up, along) for along, up in _SIDE_GLASS]), "2b323b")
    for along in (-1.32, 1.34):
        turn = np.linspace(0, 2 * np.pi, 14)
        wheel = [(inner * 0.88, 0.33 + 0.33 * float(np.sin(t)), along + 0.33 * float(np.cos(t))) for t in turn]
        sheet.polygon(shown(wheel), "17181a")
        hub = [(inner * 0.89, 0.33 + 0.16 * float(np.sin(t)), along + 0.16 * float(np.cos(t))) for t in turn]
        sheet.polygon(shown(hub), "7d8084")
    for left, right, low, high, colour in _TAIL if way > 0 else _NOSE:
        along = -2.17 if way > 0 else 2.15
        for mirror in (-1, 1):
            sheet.polygon(shown(_plate(mirror * left, mirror * right, low, high, along)), colour)


def _plate(left: float, right: float, low: float, high: float, along: float) -> list[tuple[float, float, float]]:
    return [(left, low, along), (right, low, along), (right, high, along), (left, high, along)]


def draw_lights(sheet: Sheet, camera: Camera, car: Car, z: float) -> None:
    """Draw the lights that face the camera."""
    left, right, low, high, _ = (_TAIL if car.ahead > 0 else _NOSE)[0]
    for turn in (-1, 1):
        plate = _plate(turn * left, turn * right, low, high, -2.17 if car.ahead > 0 else 2.15)
        at = [(car.x + a * car.size, u * car.size, max(z + car.ahead * s * car.size, 2.0)) for a, u, s in plate]
        sheet.polygon(camera.pixels(at), "ff4a30" if car.ahead > 0 else "fff2d2")


@dataclass(frozen=True, slots=True)
class Lamp:
    """A street lamp: where it stands, which way its arm goes, and the moment at which it comes on."""

    x: float
    z: float
    arm: float
    begin: float

    @property
    def head(self) -> tuple[float, float, float]:
        """Where its light is."""
        return (self.x + self.arm, 6.25, self.z)


def draw_lamp(sheet: Sheet, camera: Camera, lamp: Lamp) -> None:
    """Draw a lamp in pixels of the fine picture."""
    size = camera.focal * FINE / lamp.z
    points = [
        (lamp.x, 0, lamp.z),
        (lamp.x, 1.0, lamp.z),
        (lamp.x, 6.0, lamp.z),
        (lamp.x + 0.4 * lamp.arm, 6.45, lamp.z),
    ]
    points += [(lamp.x + lamp.arm, 6.45, lamp.z)]
    shown = camera.pixels(points) * FINE
    sheet.line(shown[:2], "22282b", width=max(0.24 * size, 1.2))
    sheet.line(shown[1:], "2b3235", width=max(0.12 * size, 1.0))
    x, y = shown[-1]
    wide = 0.34 * size
    sheet.polygon(
        [
            (x - wide, y + 0.1 * size),
            (x + wide, y + 0.1 * size),
            (x + wide / 2, y - 0.1 * size),
            (x - wide / 2, y - 0.1 * size),
        ],
        "2b3235",
    )
    sheet.polygon([(x - wide * 0.8, y + 0.1 * size), (x + wide * 0.8, y + 0.1 * size), (x, y + 0.24 * size)], "d8d6c8")


def lamp_light(lamp: Lamp, place: Picture, normal: Picture) -> Field:
    """How much of a lamp's light reaches each place, about 1 right under it."""
    toward = np.asarray(lamp.head, np.float32) - place
    away = np.sqrt((toward**2).sum(-1)) + 1e-3
    facing = np.clip((toward * normal).sum(-1) / away, 0, 1)
    down = np.clip(toward[..., 1] / away, 0, 1)
    return np.asarray(facing * (0.35 + 0.65 * down) * 38 / (away**2 + 4), np.float32)


def lamp_halo(lamp: Lamp, camera: Camera) -> Field:
    """The light itself and the haze around it."""
    x, y = grid(camera.shape)
    at = camera.pixels([lamp.head])[0]
    size = camera.focal / lamp.z
    away = np.hypot(x - at[0], y - at[1])
    core = 1.6 * np.exp(-((away / max(0.20 * size, 1.0)) ** 2))
    return np.asarray(core + 0.32 * np.exp(-away / (0.75 * size + 1)), np.float32)


def draw_tree(rng: np.random.Generator, sheet: Sheet, camera: Camera, at: tuple[float, float], *, tall: float) -> None:
    """Draw a tree at `(x, z)` in pixels of the fine picture."""
    x, z = at
    size = camera.focal * FINE / z
    foot, crown = camera.pixels([(x, 0, z), (x, tall * 0.68, z)]) * FINE
    sheet.line([foot, crown], "3d3026", width=max(0.26 * size, 2))
    for lean in (-0.9, 0.7, 0.2):
        fork = (foot[0], (foot[1] + 2 * crown[1]) / 3)
        tip = (crown[0] + lean * size, crown[1] - 0.5 * size)
        sheet.line([fork, tip], "3d3026", width=max(0.12 * size, 1))
    count = 1400
    angle, radius = rng.uniform(0, 2 * np.pi, count), np.sqrt(rng.random(count))
    lump = 1 + 0.16 * np.sin(3 * angle + rng.uniform(0, 6)) + 0.10 * np.sin(7 * angle + rng.uniform(0, 6))
    dx, dy = radius * lump * np.cos(angle), radius * lump * np.sin(angle)
    order = np.argsort(-dy + 0.5 * rng.standard_normal(count))
    for i in order.tolist():
        light = 0.55 - 0.45 * dy[i] - 0.2 * dx[i] + 0.25 * rng.standard_normal()
        colour = _GREENS[int(np.clip(light * 5, 0, 4))]
        middle = (crown[0] + dx[i] * tall * 0.27 * size, crown[1] + dy[i] * tall * 0.33 * size)
        turn = np.linspace(0, 2 * np.pi, 6)[:5] + rng.uniform(0, 6)
        long = rng.uniform(0.10, 0.22) * size
        sheet.polygon(np.stack([middle[0] + long * np.cos(turn), middle[1] + 0.7 * long * np.sin(turn)], -1), colour)


def road(rng: np.random.Generator, camera: Camera) -> Picture:
    """The ground in white light, `FINE` times the picture's size: asphalt, lines, kerbs and pavements."""
    fine = camera.finer()
    place = fine.meet((0, 0, 0), (0, 1, 0))
    below = place[..., 2] > 0
    x = np.where(below, place[..., 0], 0)
    z = np.clip(np.where(below, place[..., 2], 400), 0, 400)
    grain = noise_like(rng, fine.shape, slope=0.6, low=20)
    worn = noise_like(rng, fine.shape, slope=1.7, low=2)
    tracks = sum(np.exp(-(((x - at) / 0.35) ** 2)) for at in (0.25, 1.65, -3.25, -1.85))
    asphalt = 0.36 + 0.018 * grain + 0.022 * worn - 0.035 * np.clip(tracks, 0, 1)
    ground = np.asarray(asphalt[..., None] * np.array([0.98, 1.0, 1.04]), np.float32)
    lines = _lines(x, z, soft=np.maximum(0.6 * z / fine.focal, 0.01)) * np.clip(0.85 + 0.12 * worn, 0, 1)
    ground = mix(ground, np.float32(0.80), lines)
    for side, kerb in ((-1, -6.0), (1, 4.2)):
        out = side * (x - kerb)
        slab = np.maximum(np.mod(out, 0.8) < 0.05, np.mod(z + 0.4 * np.mod(np.floor(out / 0.8), 2), 0.8) < 0.06)
        tone = 0.56 + 0.02 * grain + 0.03 * worn - 0.10 * slab * np.clip(14 / z, 0, 1)
        paved = np.asarray(tone[..., None] * np.array([1.03, 1.0, 0.94]), np.float32)
        ground = np.where((out > 0)[..., None], paved, ground)
        ground = np.where(((out > 0) & (out < 0.22))[..., None], np.float32(0.70), ground)
        ground = np.where(((out > -0.10) & (out <= 0))[..., None], np.float32(0.22), ground)
    return np.asarray(np.clip(ground, 0, 1), np.float32)


def _lines(x: Field, z: Field, *, soft: Field) -> Field:
    """Where the road is painted white; edges are `soft` metres wide."""

    def band(value: Field, low: float, high: float) -> Field:
        inside = np.clip((value - low) / soft + 0.5, 0, 1) * np.clip((high - value) / soft + 0.5, 0, 1)
        return np.asarray(inside, np.float32)

    dash = smoothstep(-0.1, 0.1, np.sin(z * 2 * np.pi / 6.0)) * (z < 120)
    cross = band(z, 19.5, 22.7) * smoothstep(-0.2, 0.2, np.sin(x * 2 * np.pi / 1.1)) * band(x, -5.9, 4.1)
    free = 1 - band(z, 18.7, 23.5)
    middle = band(x, -0.86, -0.72) * dash
    bays = 0.6 * (band(x, -4.12, -4.02) + band(x, 2.32, 2.42))
    return np.asarray(np.maximum((middle + bays) * free, 0.9 * cross), np.float32)
