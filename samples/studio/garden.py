"""A clip with the character of a time-lapse: flowers open before a wall, from morning to evening, in a few seconds."""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from .movie import moments
from .perspective import Camera, Stage
from .plants import Flower, bed, draw_head, draw_leaf, draw_stalk, draw_stem, foliage_shadow
from .sheet import Sheet
from .sky import between
from .texture import Field, Picture, as_taken, blur, grid, look_up, mix, smoothstep, tileable_noise
from .yard import POST, POT, WALL, build, near_wall, post, pot

SIZE = (360, 640)
FRAMES = 84
RATE = 24
_CAMERA = Camera(SIZE, focal=520.0, centre=(320.0, 150.0), height=0.9)
_TREE = 2.9
"""How far ahead the tree's leaves are, above the picture; their shadows fall on what is behind."""

_HOURS = (0.0, 0.22, 0.5, 0.76, 0.90, 1.0)
_AMBIENT = (
    (0.26, 0.28, 0.38),
    (0.36, 0.37, 0.43),
    (0.44, 0.47, 0.54),
    (0.38, 0.36, 0.42),
    (0.26, 0.24, 0.33),
    (0.20, 0.19, 0.29),
)
_DIRECT = (
    (0.62, 0.40, 0.22),
    (0.80, 0.62, 0.42),
    (0.72, 0.69, 0.62),
    (0.90, 0.66, 0.38),
    (0.72, 0.38, 0.16),
    (0.30, 0.13, 0.06),
)
_RED = ("5f0f22", "a51d35", "d23a4a", "ec6a68")
_ORANGE = ("8a2f10", "cf5a1c", "ef8d2f", "fbc063")
_PINK = ("8a2a5a", "c75a8c", "e793b4", "f8c9d6")


def sun_at(hour: float) -> NDArray[np.float64]:
    """The direction to the sun: low on the left, high before the wall at noon, low on the right."""
    aside = np.deg2rad(np.interp(hour, [0, 1], [-64, 64]))
    up = np.deg2rad(17 + 30 * np.sin(np.pi * hour) ** 0.9)
    return np.array([np.sin(aside) * np.cos(up), np.sin(up), -np.cos(aside) * np.cos(up)])


class Garden:
    """The scene: what stays in place, and how each moment looks."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        stage = Stage(_CAMERA)
        build(rng, stage)
        self._colour, _, _, self._glass = stage.parts()
        self._place, self._normal = stage.place, stage.normal
        self._upright = {ahead: _CAMERA.meet((0, 0, ahead), (0, 0, 1)) for ahead in (POT[1], POST[1], WALL - 0.14)}
        self._corner = near_wall(self._place)
        self._leaves = foliage_shadow(rng, 768, sparse=0.45)
        self._boughs = foliage_shadow(rng, 768, sparse=0.95)
        self._gusts = tileable_noise(rng, 64, slope=2.0, low=1, high=4)[0]
        sheet = Sheet(SIZE)
        post(sheet, _CAMERA)
        self._post = sheet.parts()
        self._bed = bed(rng, width=SIZE[1], base=264.0, gap=(440.0, 452.0))
        sheet = Sheet(SIZE)
        self._earth = pot(sheet, _CAMERA)
        self._flowers = self._planted(rng)
        self._tufts = [
            (
                float(rng.uniform(-1, 1)),
                float(rng.uniform(-2.9, -0.25)),
                float(rng.uniform(26, 44)),
                float(rng.uniform(0, 6)),
            )
            for _ in range(26)
        ]

    def _planted(self, rng: np.random.Generator) -> list[Flower]:
        x, y, half = self._earth
        heads = (
            ((-0.92, -108.0), 46.0, _ORANGE, 0.16),
            ((1.18, -84.0), 40.0, _PINK, 0.30),
            ((0.22, -142.0), 62.0, _RED, 0.04),
        )
        return [
            Flower(
                foot=(x + 0.3 * half * place[0], y + 1),
                head=(x + 1.5 * half * place[0] - 6, y + place[1]),
                radius=radius,
                colours=colours,
                begin=begin,
                phase=float(rng.uniform(0, 6)),
            )
            for place, radius, colours, begin in heads
        ]

    def _plants(self, moment: float, hour: float, sun: NDArray[np.float64]) -> tuple[Picture, Field]:
        """The pot with all that grows in it: colour and alpha."""
        sheet = Sheet(SIZE, fine=3)
        x, y, half = pot(sheet, _CAMERA)
        for flower in self._flowers:
            draw_stem(sheet, flower, moment)
        for at, turn, long, phase in self._tufts:
            angle = turn + 0.09 * np.sin(0.8 * moment + phase) + 0.05 * np.sin(1.9 * moment + 2 * phase)
            draw_leaf(sheet, (x + 0.7 * half * at, y + 2), (np.cos(angle), np.sin(angle)), long=long, wide=7.5)
        toward = np.array([sun[0], -sun[1], -sun[2]])
        look = 0.75 * float(np.interp(hour, [0, 0.12, 0.9, 1], [-0.8, -0.8, 0.8, 0.75]))
        for flower in self._flowers:
            opened = float(smoothstep(flower.begin, flower.begin + 0.42, hour))
            opened -= 0.22 * float(smoothstep(0.86, 1.0, hour))
            draw_head(sheet, flower, moment, opened=max(opened, 0.0), turn=look, sun=toward)
        return sheet.parts()

    def _lavender(self, moment: float) -> tuple[Picture, Field]:
        sheet = Sheet(SIZE, fine=3)
        for stalk in self._bed:
            draw_stalk(sheet, stalk, moment)
        return sheet.parts()

    def _shade(
        self, place: Picture, sun: NDArray[np.float64], moment: float, cards: list[tuple[float, Field]]
    ) -> Field:
        """How much sunlight reaches each place past the leaves and past the cards, flat shapes at a distance ahead."""
        lit = np.ones(SIZE, np.float32)
        for number, texture in enumerate((self._leaves, self._boughs)):
            steps = np.maximum(place[..., 2] - _TREE + 0.5 * number, 0) / -sun[2]
            sway = 0.012 * np.sin(0.7 * moment + 2 * number) + 0.007 * np.sin(1.7 * moment + number)
            u = (place[..., 0] + steps * sun[0]) / (2.6 + number) + sway
            v = -(place[..., 1] + steps * sun[1]) / (2.6 + number) + 0.5 * sway
            lit *= 1 - 0.80 * look_up(texture, u, v)
        for ahead, alpha in cards:
            behind = place[..., 2] - ahead
            steps = behind / -sun[2]
            at = place + steps[..., None] * sun.astype(np.float32)
            u = _CAMERA.centre[0] + _CAMERA.focal * at[..., 0] / ahead
            v = _CAMERA.centre[1] - _CAMERA.focal * (at[..., 1] - _CAMERA.height) / ahead
            taken = cv2.remap(blur(alpha, 1.6), np.asarray(u, np.float32), np.asarray(v, np.float32), cv2.INTER_LINEAR)
            lit *= 1 - 0.94 * taken * (behind > 0.02)
        return lit

    def _over(
        self,
        picture: Picture,
        part: tuple[Picture, Field],
        ahead: float,
        light: tuple[Picture, Picture],
        lit: Field,
        facing: Field,
    ) -> Picture:
        colour, alpha = part
        shine = light[0] + light[1] * (lit * facing)[..., None]
        return mix(picture, colour * shine, alpha)

    def at(self, moment: float) -> Picture:
        """The picture at `moment`, 0 to `FRAMES - 1`: `(360, 640, 3)` float32, RGB in [0, 1]."""
        hour = moment / (FRAMES - 1)
        sun = sun_at(hour)
        gust = float(np.interp(hour * 40, np.arange(64), self._gusts))
        sunshine = 1 - 0.40 * float(smoothstep(0.3, 1.6, gust))
        light = (between(_HOURS, _AMBIENT, hour), between(_HOURS, _DIRECT, hour) * np.float32(sunshine))
        plants, lavender = self._plants(moment, hour, sun), self._lavender(moment)
        cards = [(POT[1], plants[1]), (POST[1], self._post[1]), (WALL - 0.14, lavender[1])]

        facing = np.clip(self._normal @ sun.astype(np.float32), 0, 1) ** 0.6
        lit = self._shade(self._place, sun, moment, cards)
        shine = light[0] * (1 - self._corner)[..., None] + light[1] * (facing * lit)[..., None]
        picture = self._colour * shine + (0.22 * self._glass)[..., None] * light[0]
        x, y = grid(SIZE)
        front = np.full(SIZE, 0.86, np.float32)
        for ahead, part in ((WALL - 0.14, lavender), (POST[1], self._post), (POT[1], plants)):
            over = self._shade(self._upright[ahead], sun, moment, cards[:2] if ahead > POT[1] else [])
            across = np.clip((x - self._earth[0]) / self._earth[2], -1, 1)
            round_ = np.clip(across * sun[0] - np.sqrt(1 - across**2) * sun[2], 0.05, 1) * 1.1
            facing = np.where((y > self._earth[1] + 3) & (ahead == POT[1]), round_, front).astype(np.float32)
            picture = self._over(picture, part, ahead, light, over, facing)
        return as_taken(picture, 1.22)


def frames(seed: int, count: int = FRAMES) -> Iterator[Picture]:
    """The clip in `count` frames, in order; more of them show the same day in smaller steps."""
    garden = Garden(seed)
    for moment in moments(count, FRAMES):
        yield garden.at(moment)
