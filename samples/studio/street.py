"""A clip with the character of a time-lapse: a street from afternoon to night, in a few seconds."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .houses import LEFT, build, row, skyline
from .movie import moments
from .perspective import FINE, Camera, Stage
from .sheet import Sheet
from .sky import Clouds, Light, LightTable, paint_sky, sun_through
from .texture import Field, Picture, as_taken, blur, hex_colours, mix, smoothstep
from .traffic import (
    Car,
    Lamp,
    draw_car,
    draw_lamp,
    draw_lights,
    draw_tree,
    lamp_halo,
    lamp_light,
    parked,
    road,
    traffic,
)

SIZE = (360, 640)
FRAMES = 84
RATE = 24
_CAMERA = Camera(SIZE, focal=400.0, centre=(352.0, 190.0), height=5.2)
_SHUTTER = 0.4
"""How long a moment's exposure is, in moments: cars blur by that much."""

_LIGHT = LightTable(
    hours=(0.0, 0.30, 0.52, 0.72, 1.0),
    sky=(
        hex_colours("4d86c4", "93bfdc", "d3e2e4"),
        hex_colours("4a7ab8", "a3b8c8", "f2d9ac"),
        hex_colours("3b558f", "b08b95", "fba765"),
        hex_colours("1e2a5a", "4d4470", "b8656a"),
        hex_colours("080c20", "10162f", "262844"),
    ),
    cloud_lit=hex_colours("fffaf0", "ffe9c4", "ffb27a", "8a5c78", "23243c"),
    cloud_shade=hex_colours("a3b0c0", "98929f", "6b5568", "2c2a4c", "10132a"),
    sun=hex_colours("fff6dc", "ffe3a6", "ffa864", "8a4658", "141830"),
    ambient=((0.84, 0.87, 0.94), (0.62, 0.62, 0.68), (0.40, 0.36, 0.45), (0.19, 0.18, 0.30), (0.045, 0.055, 0.115)),
    direct=((0.84, 0.78, 0.63), (0.80, 0.64, 0.40), (0.75, 0.40, 0.20), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
)


def sun_at(hour: float) -> NDArray[np.float64]:
    """The direction to the sun, ahead on the left and sinking."""
    up = np.deg2rad(np.interp(hour, [0, 0.56, 1], [48, 1.5, -16]))
    aside = np.deg2rad(np.interp(hour, [0, 0.56, 1], [82, 50, 34]))
    return np.array([-np.sin(aside) * np.cos(up), np.sin(up), np.cos(aside) * np.cos(up)])


def light_at(hour: float) -> Light:
    """The light at `hour`: 0 is afternoon, about 0.56 sunset, 1 night."""
    sun = sun_at(hour)
    x = _CAMERA.centre[0] + _CAMERA.focal * sun[0] / max(sun[2], 0.2)
    return _LIGHT.at(hour, (float(x), float(_CAMERA.centre[1] - _CAMERA.focal * sun[1] / max(sun[2], 0.2))))


class Street:
    """The scene: what stays in place, and how each moment looks."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._clouds = Clouds(rng)
        stage = Stage(_CAMERA)
        self._ground(rng, stage)
        self._far_end(rng, stage)
        self._left = row(rng, -1, begin=7.0, end=112.0)
        right = row(rng, 1, begin=6.2, end=112.0)
        build(rng, stage, self._left)
        build(rng, stage, right)
        self._lamps = self._put_lamps(rng)
        self._furnish(rng, stage)
        self._place, self._normal = stage.place, stage.normal
        self._colour, self._cover, self._glow, self._glass = stage.parts()
        self._window = stage.window
        self._begins = np.concatenate([[0], rng.uniform(34, 80, stage.numbers - 1)]).astype(np.float32)
        self._begins[rng.random(len(self._begins)) < 0.30] = 1e6
        self._warm = np.stack([lamp_light(lamp, self._place, self._normal) for lamp in self._lamps])
        self._halos = np.stack([lamp_halo(lamp, _CAMERA) for lamp in self._lamps])
        self._lamp_begins = np.array([lamp.begin for lamp in self._lamps], np.float32)
        self._cars = traffic(rng, moments=FRAMES)
        self._haze = np.asarray(1 - np.exp(-np.clip(self._place[..., 2] - 12, 0, 300) / 210), np.float32)

    @staticmethod
    def _ground(rng: np.random.Generator, stage: Stage) -> None:
        colour = road(rng, _CAMERA)
        rows = np.arange(SIZE[0] * FINE, dtype=np.float32)[:, None]
        begin = _CAMERA.centre[1] + 1
        stage.paint(colour, np.broadcast_to(np.clip(rows - begin * FINE, 0, 1), colour.shape[:2]))
        place = _CAMERA.meet((0, 0, 0), (0, 1, 0))
        there = (place[..., 2] > 0) & (place[..., 2] < 400)
        stage.place[there] = place[there]
        stage.normal[there] = (0, 1, 0)

    @staticmethod
    def _far_end(rng: np.random.Generator, stage: Stage) -> None:
        """Trees, roofs and a church where the street ends."""
        sheet = Sheet((SIZE[0] * FINE, SIZE[1] * FINE), fine=1)
        x, y = _CAMERA.centre[0] * FINE, (_CAMERA.centre[1] + 8) * FINE

        def box(left: float, low: float, right: float, high: float, colour: str) -> None:
            sheet.box(x + left * FINE, y - high * FINE, x + right * FINE, y - low * FINE, colour)

        for _ in range(260):
            turn = np.linspace(0, 6.28, 8)
            at = x + rng.uniform(-60, 60) * FINE, y - rng.uniform(0, 24) * FINE
            radius = rng.uniform(2, 5) * FINE
            colour = str(rng.choice(["4c6048", "5a6f4f", "425543", "687a58"]))
            sheet.polygon(np.stack([at[0] + radius * np.cos(turn), at[1] + radius * np.sin(turn)], -1), colour)
        box(-16, 0, 14, 26, "9a8f80")
        sheet.polygon(
            np.array([(x - 18 * FINE, y - 26 * FINE), (x - FINE, y - 41 * FINE), (x + 16 * FINE, y - 26 * FINE)]),
            "6f5148",
        )
        box(-9, 0, 5, 62, "b3a58f")
        box(-9, 0, -4, 62, "978a78")
        box(-10, 60, 6, 63, "c4b8a2")
        sheet.polygon(
            np.array([(x - 10 * FINE, y - 63 * FINE), (x - 2 * FINE, y - 101 * FINE), (x + 6 * FINE, y - 63 * FINE)]),
            "55666a",
        )
        for left in (-6.5, -0.5):
            box(left, 44, left + 3, 56, "3f3d3f")
        box(-3, 30, 1, 36, "efe6cf")
        drawn, alpha = sheet.parts()
        stage.paint(drawn, alpha)
        small = blur(alpha, 1)[1::FINE, 1::FINE] > 0.5
        stage.place[small] = (0, 12, 140)
        stage.normal[small] = (-0.5, 0.5, -0.7)

    @staticmethod
    def _put_lamps(rng: np.random.Generator) -> list[Lamp]:
        lamps = []
        for x, first in ((-6.6, 19.0), (4.8, 14.5)):
            for number, z in enumerate(np.arange(first, 105, 14.0)):
                begin = 43 + 1.6 * number + float(rng.uniform(-1.2, 3.0))
                lamps.append(Lamp(x, float(z), 1.5 if x < 0 else -1.5, begin))
        return sorted(lamps, key=lambda lamp: -lamp.z)

    def _furnish(self, rng: np.random.Generator, stage: Stage) -> None:
        """Parked cars, trees and lamps, the farthest first."""
        sheet = Sheet((SIZE[0] * FINE, SIZE[1] * FINE), fine=1)
        things: list[tuple[float, Car | Lamp | float]] = [(lamp.z, lamp) for lamp in self._lamps]
        for kerb in (-5.0, 3.3):
            things += [(z, car) for car, z in parked(rng, kerb, begin=26.0, end=100)]
        things += [(z, -7.4) for z in (26.0, 47.0, 68.0, 89.0)] + [(z, 5.6) for z in (35.0, 56.0, 77.0)]
        for z, thing in sorted(things, key=lambda one: -one[0]):
            if isinstance(thing, Car):
                draw_car(sheet, _CAMERA, thing, z, scale=FINE)
            elif isinstance(thing, Lamp):
                draw_lamp(sheet, _CAMERA, thing)
            else:
                draw_tree(rng, sheet, _CAMERA, (thing, z), tall=6.6)
        stage.paint(*sheet.parts())

    def _sunlit(self, sun: NDArray[np.float64]) -> Field:
        """Where the sun reaches past the left row, in [0, 1]."""
        if sun[1] <= 0:
            return np.zeros(SIZE, np.float32)
        facing = np.clip(self._normal @ sun.astype(np.float32), 0, 1)
        lit = np.ones(SIZE, np.float32)
        x, y, z = np.moveaxis(self._place, -1, 0)
        for plane, which in ((LEFT, 0), (LEFT - 4.2, 1)):
            steps = (x - plane) / -sun[0]
            height, along = y + steps * sun[1], z + steps * sun[2]
            roof = skyline(self._left, np.asarray(along, np.float32))[which]
            clear = smoothstep(-0.25, 0.25, height - roof)
            lit *= np.where(x > plane + 0.3, clear, 1)
        return np.asarray(lit * facing, np.float32)

    def at(self, moment: float) -> Picture:
        """The picture at `moment`, 0 to `FRAMES - 1`: `(360, 640, 3)` float32, RGB in [0, 1]."""
        hour = moment / (FRAMES - 1)
        light, sun = light_at(hour), sun_at(hour)
        weather = {"drift": 0.0030 * moment, "cover": -0.10 + 0.30 * float(np.sin(2.2 * hour + 0.5))}
        horizon = _CAMERA.centre[1] + 30
        up = float(smoothstep(-0.02, 0.10, sun[1]))
        sunshine = up * (0.45 + 0.55 * sun_through(self._clouds, light, SIZE, horizon, **weather))
        sky = paint_sky(self._clouds, light, SIZE, horizon, **weather)

        high = smoothstep(0, 9, self._place[..., 1])
        shine = (
            light.ambient * (0.72 + 0.28 * high)[..., None] + light.direct * (sunshine * self._sunlit(sun))[..., None]
        )
        on = smoothstep(0, 1.5, moment - self._lamp_begins)
        warm = hex_colours("ffc27a")[0]
        lamps = np.tensordot(on, self._warm, 1)[..., None] * warm
        shine = shine + 0.62 * lamps
        solid = self._colour * shine + self._glass[..., None] * (0.30 * light.sky[1] + 0.10 * light.sky[2])
        air = 0.5 * light.sky[2] + 0.5 * light.sky[1]
        solid = mix(solid, air * (0.25 + 0.75 * light.ambient.mean()), 0.75 * self._haze)
        picture = mix(sky, solid, self._cover)
        lit = smoothstep(0, 1.2, moment - self._begins)[self._window] * (self._window > 0)
        glow = self._glow * lit[..., None]
        picture = mix(picture, glow, np.clip(1.25 * lit * self._glow.max(-1), 0, 1))
        evening = float(smoothstep(0.42, 0.60, hour))
        picture, lights = self._pass(picture, shine, moment, evening)
        glow = glow + lights
        picture = picture + 0.22 * blur(glow, 2.0) + 0.38 * blur(glow, 9.0)
        halo = np.tensordot(on, self._halos, 1)[..., None] * hex_colours("ffd9a0")[0]
        picture = 1 - (1 - np.clip(picture, 0, 1)) * np.exp(-halo)
        return as_taken(picture, 1.0)

    def _pass(self, picture: Picture, shine: Picture, moment: float, evening: float) -> tuple[Picture, Picture]:
        """The picture with the cars that pass, and their lights alone."""
        present = [car for car in self._cars if 5.5 < car.z(moment) < 132]
        steps = np.linspace(-0.5, 0.5, 9) * _SHUTTER
        lights = np.zeros((*SIZE, 3), np.float32)
        body, cover = np.zeros((*SIZE, 3), np.float32), np.zeros(SIZE, np.float32)
        for step in steps.tolist():
            sheet, lamps = Sheet(SIZE, fine=2), Sheet(SIZE, fine=2)
            for car in sorted(present, key=lambda one: -one.z(moment)):
                draw_car(sheet, _CAMERA, car, car.z(moment + step))
                draw_lights(lamps, _CAMERA, car, car.z(moment + step))
            colour, alpha = sheet.parts()
            body += colour * alpha[..., None] / len(steps)
            cover += alpha / len(steps)
            colour, alpha = lamps.parts()
            lights += colour * alpha[..., None] / len(steps)
        lights *= evening
        ground = self._normal[..., 1] > 0.9
        x, _, z = np.moveaxis(self._place, -1, 0)
        for car in present:
            beam = np.exp(-(((x - car.x) / 1.5) ** 2)) * ground
            run = car.ahead * (z - car.z(moment)) - 2.0
            beam = beam * smoothstep(0, 3, run) * np.exp(-np.clip(run, 0, 60) / 6)
            warm = hex_colours("fff0d0")[0]
            picture = picture + self._colour * (0.9 * evening * beam)[..., None] * warm
        picture = picture * (1 - cover[..., None]) + body * (shine * 0.95 + 0.03)
        return picture + lights * (1.1 - 0.2 * evening), lights


def frames(seed: int, count: int = FRAMES) -> Iterator[Picture]:
    """The clip in `count` frames, in order; more of them show the same hours in smaller steps."""
    street = Street(seed)
    for moment in moments(count, FRAMES):
        yield street.at(moment)
