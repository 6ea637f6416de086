"""A clip with the character of a time-lapse: an evening over a bay, from late sun to dusk, in a few seconds."""

from collections.abc import Iterator

import numpy as np

from .coast import PASTURE, ROCK, Grass, Layer, hills, lamp_glow, lighthouse, pines
from .movie import moments
from .sky import Clouds, Light, LightTable, paint_sky, sun_through
from .texture import Picture, as_taken, grid, hex_colours, mix, smoothstep
from .water import Water

SIZE = (360, 640)
FRAMES = 84
RATE = 24
_HORIZON = 0.58
_SUN_X = 0.60

_LIGHT = LightTable(
    hours=(0.0, 0.40, 0.68, 1.0),
    sky=(
        hex_colours("3f6fae", "8db4cf", "f2dcb0"),
        hex_colours("34538f", "a59aa6", "fbc07a"),
        hex_colours("222d63", "8a5878", "f8814a"),
        hex_colours("0c1233", "2f2c5c", "a2586a"),
    ),
    cloud_lit=hex_colours("fff6e4", "ffd9a3", "ff9668", "7c4d66"),
    cloud_shade=hex_colours("93a0b4", "80748c", "54405f", "1a1c3a"),
    sun=hex_colours("fff3cf", "ffdc90", "ff9a55", "c85a50"),
    ambient=((0.55, 0.60, 0.70), (0.45, 0.44, 0.56), (0.26, 0.24, 0.38), (0.10, 0.11, 0.21)),
    direct=((0.95, 0.84, 0.62), (0.95, 0.64, 0.36), (0.70, 0.34, 0.22), (0.06, 0.05, 0.08)),
)


def light_at(hour: float) -> Light:
    """The light at `hour`: 0 is late afternoon, about 0.75 sunset, 1 dusk."""
    return _LIGHT.at(hour, (SIZE[1] * _SUN_X + 14 * hour, SIZE[0] * (0.23 + 0.47 * hour)))


class Bay:
    """The scene: what stays in place, and how each moment looks."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._horizon = round(SIZE[0] * _HORIZON)
        self._clouds = Clouds(rng)
        self._water = Water(rng)
        self._far = self._ranges(rng)
        house, self._lamp = lighthouse(SIZE, (112.0, self._horizon - 36.0))
        self._near = [*self._headlands(rng), house]
        self._grass = Grass(rng, SIZE)

    def _ranges(self, rng: np.random.Generator) -> list[Layer]:
        distant = [
            (0, 46),
            (0.12, 30),
            (0.25, 38),
            (0.42, 9),
            (0.50, 0),
            (0.70, 0),
            (0.80, 14),
            (0.92, 34),
            (1, 44),
        ]
        nearer = [(0, 8), (0.18, 26), (0.30, 15), (0.38, 3), (0.43, 0), (0.79, 0), (0.86, 12), (1, 24)]
        base = float(self._horizon)
        return [
            hills(rng, SIZE, base=base, profile=distant, rough=4.5, haze=0.62, colours=ROCK),
            hills(rng, SIZE, base=base + 1, profile=nearer, rough=2.6, haze=0.36, colours=ROCK),
        ]

    def _headlands(self, rng: np.random.Generator) -> list[Layer]:
        left = [(0, 46), (0.10, 42), (0.20, 40), (0.26, 24), (0.31, 8), (0.345, 0), (1, 0)]
        right = [(0, 0), (0.76, 0), (0.81, 11), (0.88, 33), (1, 52)]
        base = float(self._horizon)
        xs, heights = np.array(right).T
        at = np.concatenate([0.905 + 0.1 * rng.random(15), 0.85 + 0.03 * rng.random(4)])
        tall = np.concatenate([rng.uniform(16, 50, 15), rng.uniform(12, 26, 4)])
        foot = base + 18 - 0.94 * np.interp(at, xs, heights)
        trees = sorted(zip(at * SIZE[1], foot, tall, strict=True), key=lambda tree: -tree[2])
        return [
            hills(rng, SIZE, base=base + 7, profile=left, rough=1.6, haze=0.10, colours=PASTURE),
            hills(rng, SIZE, base=base + 16, profile=right, rough=1.8, haze=0.05, colours=PASTURE),
            pines(rng, SIZE, trees),
        ]

    def at(self, moment: float) -> Picture:
        """The picture at `moment`, 0 to `FRAMES - 1`: `(360, 640, 3)` float32, RGB in [0, 1]."""
        hour = moment / (FRAMES - 1)
        light = light_at(hour)
        weather = {"drift": 0.0019 * moment, "cover": 0.12 + 0.22 * np.sin(2.6 * hour + 0.6)}
        horizon = float(self._horizon)
        up = float(smoothstep(horizon + 8, horizon - 14, light.sun_xy[1]))
        sunshine = up * sun_through(self._clouds, light, SIZE, horizon, **weather)

        picture = paint_sky(self._clouds, light, SIZE, horizon, **weather)
        for layer in [*self._far, *self._near]:
            picture = layer.over(picture, light, sunshine)
        evening = float(smoothstep(0.55, 0.85, hour))
        beam = lamp_glow(SIZE, self._lamp, on=evening, turn=0.42 * moment)
        picture = mix(picture, hex_colours("ffe7b0")[0], np.clip(beam, 0, 1))
        picture = self._lit_windows(picture, evening)

        depth = 0.16 * light.sky[0] + 0.10 * light.ambient
        glints = 0.35 * up + 0.65 * sunshine
        below = self._water.paint(
            picture,
            horizon,
            time=moment / 11,
            depth=depth,
            sun=light.sun,
            sun_x=light.sun_xy[0],
            glints=glints,
        )
        rows = np.arange(SIZE[0], dtype=np.float32)[:, None]
        shores = np.max([layer.alpha for layer in self._near], axis=0) * (rows >= horizon)
        picture = mix(below, picture * 0.9, shores)
        picture = self._grass.at(moment / 7).over(picture, light, 0.6 * sunshine)
        return as_taken(picture, 1 + 0.16 * (sunshine - 0.4 * up))

    def _lit_windows(self, picture: Picture, evening: float) -> Picture:
        x, y = grid(SIZE)
        for offset in (15.5, 23.5):
            left, top = self._lamp[0] + offset, self._lamp[1] + 47
            glow = np.exp(-(((x - left) / 1.6) ** 2 + ((y - top) / 2.4) ** 2) * 0.8)
            picture = mix(picture, hex_colours("ffc869")[0], np.clip(1.2 * glow * evening, 0, 1))
        return picture


def frames(seed: int, count: int = FRAMES) -> Iterator[Picture]:
    """The clip in `count` frames, in order; more of them show the same evening in smaller steps."""
    bay = Bay(seed)
    for moment in moments(count, FRAMES):
        yield bay.at(moment)
