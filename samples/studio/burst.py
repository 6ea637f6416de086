"""A burst from the hand: a sailing dinghy at its pier, a pennant in the wind, a gull passing."""

from collections.abc import Iterator

import cv2
import numpy as np

from .coast import PASTURE, ROCK, hills
from .dinghy import Pose, dinghy
from .pier import pier
from .sheet import Points, Sheet, curve
from .sky import Clouds, Light, paint_sky
from .texture import Field, Picture, blur, grid, halve, hex_colours, mix, noise_like, smoothstep
from .water import Water

SIZE = (426, 640)
COUNT = 8
_FINE = 2
"""The scene is painted this many times larger than the pictures."""
_MARGIN = 22
"""Margin of the scene around the pictures, in their pixels, for the unsteady hand."""
_SCENE = ((SIZE[0] + 2 * _MARGIN) * _FINE, (SIZE[1] + 2 * _MARGIN) * _FINE)
_HORIZON = 0.44
_WAVES_BEGIN = 6.0
"""Second of the waves' own time at which the first picture is taken."""

_LIGHT = Light(
    sky=hex_colours("3173b8", "7fb2dc", "dcebf0"),
    cloud_lit=hex_colours("fffdf6")[0],
    cloud_shade=hex_colours("a9b8ca")[0],
    sun=hex_colours("fffbea")[0],
    ambient=np.array((0.50, 0.54, 0.60), np.float32),
    direct=np.array((0.75, 0.70, 0.58), np.float32),
    sun_xy=(-0.15 * _SCENE[1], 0.02 * _SCENE[0]),
)


class Harbour:
    """The scene at any moment: `(H, W, 3)` pictures, larger than what the camera sees of them."""

    def __init__(self, rng: np.random.Generator) -> None:
        height = _SCENE[0]
        self._horizon = float(round(height * _HORIZON))
        view = paint_sky(Clouds(rng), _LIGHT, _SCENE, self._horizon, drift=0.35, cover=-0.12)
        far = [(0, 70), (0.16, 52), (0.34, 92), (0.52, 60), (0.66, 24), (0.82, 40), (1, 84)]
        near = [(0, 10), (0.10, 26), (0.28, 44), (0.40, 14), (0.47, 0), (0.85, 0), (0.92, 16), (1, 30)]
        for profile, base, rough, haze, colours in ((far, 0, 9.0, 0.55, ROCK), (near, 2, 5.0, 0.22, PASTURE)):
            foot = self._horizon + base
            range_ = hills(rng, _SCENE, base=foot, profile=profile, rough=rough, haze=haze, colours=colours)
            view = range_.over(view, _LIGHT, 1.0)
        self._backdrop = view
        self._water = Water(rng)
        self._grain = noise_like(rng, _SCENE, slope=0.9, low=12)
        self._pier, self._pier_alpha = pier(_SCENE, rng)

    def at(self, time: float) -> Picture:
        """The scene at `time` seconds."""
        height, width = _SCENE
        depth = hex_colours("1d5468")[0]
        picture = self._water.paint(
            self._backdrop,
            self._horizon,
            time=_WAVES_BEGIN + time,
            depth=depth,
            sun=_LIGHT.sun,
            sun_x=0.05 * width,
            glints=0.5,
            roughness=1.5,
        )
        bob = float(3.0 * np.sin(2.6 * time))
        foot = 0.715 * height + bob
        pose = Pose(roll=float(0.012 * np.sin(2.1 * time + 0.6)), x=0.345 * width, y=foot)
        boat, alpha = dinghy(_SCENE, pose, time=time)
        boat = boat * (1 + 0.035 * self._grain)[..., None]
        picture = self._reflected(picture, boat, alpha, foot, time)
        picture = self._reflected(picture, self._pier * 0.55, self._pier_alpha, 0.80 * height, time, strength=0.55)
        picture = mix(picture, boat, alpha)
        picture = mix(picture, self._pier * (1 + 0.06 * self._grain)[..., None], self._pier_alpha)
        for sheet in (_rope(bob), _gull(time)):
            colour, cover = sheet.parts()
            picture = mix(picture, colour, cover)
        return np.asarray(np.clip(picture, 0, 1), np.float32)

    def _reflected(
        self,
        picture: Picture,
        colour: Picture,
        alpha: Field,
        foot: float,
        time: float,
        *,
        strength: float = 0.75,
    ) -> Picture:
        """The picture with what floats at row `foot` mirrored in the water below it."""
        height, width = alpha.shape
        side, along, near = self._water.slopes((height, width), self._horizon, time=_WAVES_BEGIN + time)
        x, y = grid((height, width))
        reach = 6 + 34 * near
        column = (x + side * reach * 0.28).astype(np.float32)
        row = (2 * foot - y + along * reach * 0.8).astype(np.float32)
        mirrored = cv2.remap(np.dstack([colour, alpha]), column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        cover = mirrored[..., 3] * smoothstep(foot - 3, foot + 2, y) * smoothstep(foot + 420, foot + 60, y) * strength
        return mix(picture, mirrored[..., :3] * hex_colours("cfe0da")[0], cover)


def _rope(bob: float) -> Sheet:
    """The painter from the boat's stem to the pier's first post."""
    height, width = _SCENE
    sheet = Sheet(_SCENE, fine=2)
    stem = (0.5065 * width, 0.672 * height + bob)
    post = (0.619 * width, 0.607 * height)
    low = ((stem[0] + post[0]) / 2, 0.690 * height + 0.5 * bob)
    rope = curve([stem, low, post])
    sheet.line(rope, "d9c8a0", width=4)
    sheet.line(rope + np.array([0, 2]), "9c875c", width=1.5)
    return sheet


def _gull(time: float) -> Sheet:
    """A gull on its way from the left to the right, beating its wings."""
    height, width = _SCENE
    sheet = Sheet(_SCENE, fine=4)
    beat = np.sin(9.5 * time + 0.7)
    x = (0.50 + 0.30 * time) * width
    y = (0.20 - 0.035 * time + 0.006 * beat) * height
    size = 0.040 * width

    def place(points: list[tuple[float, float]]) -> Points:
        return curve(np.array(points) * (size, -size) + np.array([x, y]), steps=6)

    lift, tip = 0.75 * beat + 0.25, 1.15 * beat + 0.05
    far = place([(0.25, 0.10), (0.40, lift * 0.75), (0.10, tip * 1.2 + 0.15), (-0.15, lift * 0.7), (-0.20, 0.08)])
    sheet.polygon(far, "aab3bd")
    body = [
        (1.0, 0.10),
        (0.78, 0.22),
        (0.3, 0.20),
        (-0.5, 0.08),
        (-1.05, 0.10),
        (-1.05, -0.02),
        (-0.4, -0.12),
        (0.4, -0.14),
        (0.8, 0.02),
    ]
    sheet.polygon(place(body), "f7f8f6")
    sheet.polygon(place([(0.5, -0.10), (0.0, -0.15), (-0.5, -0.08), (0.0, -0.02)]), "c3cbd3")
    wing = [
        (0.30, 0.12),
        (0.10, lift),
        (-0.55, tip * 1.5 + 0.1),
        (-0.62, tip * 1.42),
        (-0.32, lift * 0.72),
        (-0.30, 0.08),
    ]
    sheet.polygon(place(wing), "dfe4e8")
    sheet.polygon(place([(-0.40, tip * 1.25 + 0.1), (-0.55, tip * 1.5 + 0.1), (-0.62, tip * 1.42)]), "33363b")
    sheet.polygon(place([(0.98, 0.13), (1.22, 0.05), (0.97, 0.05)]), "e8a020")
    return sheet


def _held(rng: np.random.Generator, scene: Picture) -> Picture:
    """What an unsteady camera makes of the scene: shifted, turned, blurred a little, exposed a little otherwise."""
    height, width = SIZE[0] * _FINE, SIZE[1] * _FINE
    turn, zoom = rng.normal(0, 0.45), 1 + rng.normal(0, 0.003)
    shift = np.clip(rng.normal(0, 4.5, 2), -9, 9) * _FINE
    matrix = cv2.getRotationMatrix2D((_SCENE[1] / 2, _SCENE[0] / 2), turn, zoom)
    matrix[:, 2] = matrix[:, 2] + shift - np.array([_SCENE[1] - width, _SCENE[0] - height]) / 2
    view = cv2.warpAffine(scene, matrix, (width, height), flags=cv2.INTER_CUBIC)
    view = halve(blur(view, 0.8)) * (1 + rng.normal(0, 0.012))
    x, y = grid(SIZE)
    corner = (x / SIZE[1] - 0.5) ** 2 + (y / SIZE[0] - 0.5) ** 2
    return np.asarray(view * (1.02 - 0.28 * corner)[..., None], np.float32)


def _sensed(rng: np.random.Generator, view: Picture) -> Picture:
    """The view with a small sensor's noise: more of it where there is more light, softened as cameras do."""
    light = np.clip(view, 0, 1)
    noise = rng.standard_normal(view.shape).astype(np.float32) * (0.005 + 0.011 * np.sqrt(light))
    noise = 0.6 * noise + 0.8 * blur(noise, 0.7)
    return np.asarray(np.clip(light + noise, 0, 1), np.float32)


def pictures(seed: int) -> Iterator[Picture]:
    """The burst's pictures in order, 0.11 s apart: `(426, 640, 3)` float32, RGB in [0, 1]."""
    rng = np.random.default_rng(seed)
    harbour = Harbour(rng)
    for index in range(COUNT):
        yield _sensed(rng, _held(rng, harbour.at(0.11 * index)))
