"""A sky with clouds that drift and change, and the sun behind them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .texture import Field, Picture, grid, look_up, mix, ramp, smoothstep, tileable_noise

_BANDS = ((1, 3, 1.0), (3, 9, 0.55), (9, 30, 0.36), (30, 120, 0.24))
"""Cloud detail from large to small: lowest and highest frequency in cycles per tile, and amplitude."""


@dataclass(frozen=True, slots=True)
class Light:
    """The light of one moment; colours are RGB triples in [0, 1].

    Attributes:
        sky: `(3, 3)`, colours at the zenith, halfway up and at the horizon.
        cloud_lit: the side of a cloud that faces the sun.
        cloud_shade: the side that does not.
        sun: the disc and its glow.
        ambient: what is added to land in shade, as a factor on its colour.
        direct: what is added to land in the sun, as a factor on its colour.
        sun_xy: where the disc is, in pixels.
    """

    sky: Picture
    cloud_lit: Picture
    cloud_shade: Picture
    sun: Picture
    ambient: Picture
    direct: Picture
    sun_xy: tuple[float, float]


def between(hours: Sequence[float], table: ArrayLike, hour: float) -> Picture:
    """What a table with one entry for each of `hours` says of `hour`, linear between its entries."""
    columns = np.moveaxis(np.asarray(table, np.float32), 0, -1)
    flat = [np.interp(hour, hours, column) for column in columns.reshape(-1, len(hours))]
    return np.asarray(flat, np.float32).reshape(columns.shape[:-1])


@dataclass(frozen=True, slots=True)
class LightTable:
    """How the light of `Light` changes over the hours; each attribute has one entry for each of `hours`."""

    hours: Sequence[float]
    sky: ArrayLike
    cloud_lit: ArrayLike
    cloud_shade: ArrayLike
    sun: ArrayLike
    ambient: ArrayLike
    direct: ArrayLike

    def at(self, hour: float, sun_xy: tuple[float, float]) -> Light:
        """The light at `hour`, linear between the hours of the table, with the sun at `sun_xy`."""
        return Light(
            sky=between(self.hours, self.sky, hour),
            cloud_lit=between(self.hours, self.cloud_lit, hour),
            cloud_shade=between(self.hours, self.cloud_shade, hour),
            sun=between(self.hours, self.sun, hour),
            ambient=between(self.hours, self.ambient, hour),
            direct=between(self.hours, self.direct, hour),
            sun_xy=sun_xy,
        )


class Clouds:
    """Cloud cover on a flat ceiling seen from below, so that clouds crowd together toward the horizon.

    Each band of detail drifts at its own pace, the small ones fastest: clouds grow and dissolve as they travel.
    """

    def __init__(self, rng: np.random.Generator, *, tile: int = 1024) -> None:
        self._bands = []
        for low, high, amplitude in _BANDS:
            texture = tileable_noise(rng, tile, slope=1.2, low=low, high=high)
            self._bands.append((texture, amplitude, 0.75 + 0.5 * rng.random(), 0.3 * rng.standard_normal()))

    def thickness(self, u: Field, v: Field, distance: Field, *, drift: float, cover: float) -> Field:
        """Optical thickness, 0 where the sky is clear.

        Args:
            u: place on the ceiling to the right, in tiles.
            v: place on the ceiling away from the viewer, in tiles.
            distance: 1 overhead, growing toward the horizon; detail that would be smaller than a pixel fades.
            drift: how far the wind has come, in tiles.
            cover: about 0 for half a sky of clouds, more for more.
        """
        total = np.zeros_like(u)
        for octave, (texture, amplitude, pace, aside) in enumerate(self._bands):
            visible = 1 / (1 + (distance / (60 / 2.4**octave)) ** 2)
            shifted = look_up(texture, u - drift * pace, v + drift * aside)
            total += shifted * (amplitude * visible).astype(np.float32)
        return np.asarray(np.maximum(total + cover, 0), np.float32)


def paint_sky(
    clouds: Clouds, light: Light, shape: tuple[int, int], horizon: float, *, drift: float, cover: float
) -> Picture:
    """The sky above `horizon` (a row) in a picture of that height and width; rows below repeat the lowest colour."""
    height, width = shape
    x, y = grid((height, width))
    elevation = np.clip((horizon - y) / horizon, 0, 1)
    sky = ramp(elevation, [0.0, 0.42, 1.0], light.sky[::-1])

    from_sun = np.hypot(x - light.sun_xy[0], (y - light.sun_xy[1]) * 1.25) / width
    glow = 0.75 * np.exp(-from_sun * 9) + 0.9 * np.exp(-((from_sun * 26) ** 2))
    sky = sky + (1 - sky) * light.sun * glow[..., None]

    distance = 1 / (elevation + 0.10)
    u = (x - width / 2) / width * distance * 0.20
    v = distance * 0.13
    cloud = clouds.thickness(u, v, distance, drift=drift, cover=cover)
    toward = np.stack([light.sun_xy[0] - x, light.sun_xy[1] - y])
    toward /= np.maximum(np.hypot(*toward), 1)
    nearer = sum(
        clouds.thickness(
            u + toward[0] * step * distance,
            v - toward[1] * step * distance,
            distance,
            drift=drift,
            cover=cover,
        )
        for step in (0.006, 0.014)
    )
    body = 1 - np.exp(-1.9 * cloud)
    lit = np.exp(-0.75 * np.maximum(nearer - 0.55 * cloud, 0)) * (1 - 0.35 * body)
    lining = np.exp(-from_sun * 6) * np.exp(-1.6 * cloud)
    colour = mix(np.broadcast_to(light.cloud_shade, sky.shape), light.cloud_lit, lit)
    colour = mix(colour, light.sun, np.clip(0.85 * lining, 0, 1))
    haze = smoothstep(0.0, 0.16, elevation)
    sky = mix(sky, colour, body * (0.30 + 0.70 * haze))

    radius = width * 0.017
    disc = smoothstep(radius + 1.2, radius - 1.2, np.hypot(x - light.sun_xy[0], y - light.sun_xy[1]))
    return mix(sky, 0.25 * light.sun + 0.75, disc * np.exp(-1.4 * cloud))


def sun_through(
    clouds: Clouds, light: Light, shape: tuple[int, int], horizon: float, *, drift: float, cover: float
) -> float:
    """Share of sunlight that comes through the clouds, in [0, 1].

    It is a mean over the sun and its glare: the land that it lights sees it through different places.
    """
    width = shape[1]
    offsets = np.linspace(-0.04, 0.04, 17) * width
    across, down = np.meshgrid(offsets, offsets[::4] / 3)
    elevation = np.clip((horizon - light.sun_xy[1] - down) / horizon, 0.02, 1).astype(np.float32)
    distance = np.asarray(1 / (elevation + 0.10), np.float32)
    u = np.asarray((light.sun_xy[0] + across - width / 2) / width * distance * 0.20, np.float32)
    cloud = clouds.thickness(u, distance * np.float32(0.13), distance, drift=drift, cover=cover)
    return float(np.exp(-1.1 * cloud).mean())
