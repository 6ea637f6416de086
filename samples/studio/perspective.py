"""Flat surfaces seen by a level camera: where they are in the picture, and what the ray of each pixel meets."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from .sheet import Points
from .texture import Field, Picture, grid, hex_colours

FINE = 3
"""How many times larger surfaces are drawn than shown, to smooth their edges."""


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera level with the ground. Places are metres to the right of it, above the ground and ahead of it.

    Attributes:
        shape: height and width of the picture.
        focal: focal length in pixels.
        centre: the vanishing point in pixels.
        height: metres above the ground.
    """

    shape: tuple[int, int]
    focal: float
    centre: tuple[float, float]
    height: float

    def finer(self) -> "Camera":
        """The same camera with a picture `FINE` times larger."""
        x, y = self.centre
        return Camera(
            (self.shape[0] * FINE, self.shape[1] * FINE), self.focal * FINE, (x * FINE, y * FINE), self.height
        )

    def pixels(self, places: ArrayLike) -> Points:
        """Where places `(N, 3)` are in the picture, `(N, 2)`."""
        at = np.asarray(places, np.float64)
        x = self.centre[0] + self.focal * at[:, 0] / at[:, 2]
        y = self.centre[1] - self.focal * (at[:, 1] - self.height) / at[:, 2]
        return np.stack([x, y], -1)

    def meet(self, place: ArrayLike, normal: ArrayLike) -> Picture:
        """The places `(H, W, 3)` at which the pixels' rays meet a plane."""
        x, y = grid(self.shape)
        ray = np.stack([(x - self.centre[0]) / self.focal, (self.centre[1] - y) / self.focal, np.ones_like(x)], -1)
        across = ray @ np.asarray(normal, np.float32)
        across = np.where(np.abs(across) < 1e-5, np.float32(1e-5), across)
        eye = np.array([0, self.height, 0], np.float32)
        far = np.dot(np.asarray(place, np.float32) - eye, np.asarray(normal, np.float32)) / across
        return np.asarray(eye + ray * far[..., None], np.float32)


@dataclass(frozen=True, slots=True)
class Panel:
    """A flat picture to be put up in the scene.

    Attributes:
        colour: `(h, w, 3)`, the colour in white light.
        alpha: `(h, w)`, where the panel is.
        glow: `(h, w, 3)`, the light of its windows when all are lit.
        glass: `(h, w)`, where it mirrors the sky.
        windows: boxes `(left, top, right, bottom)`, each from 0 to 1, that are lit one by one.
    """

    colour: Picture
    alpha: Field
    glow: Picture
    glass: Field
    windows: tuple[tuple[float, float, float, float], ...] = ()


def plain(colour: Picture, alpha: Field | None = None) -> Panel:
    """A panel without windows."""
    clear = np.zeros(colour.shape[:2], np.float32)
    return Panel(colour, clear + 1 if alpha is None else alpha, np.zeros_like(colour), clear)


class Stage:
    """What the camera sees of surfaces put up one before another, the farthest first.

    Attributes:
        colour: `(H, W, 3)`, the colour in white light.
        cover: `(H, W)`, where there is any surface.
        glow: `(H, W, 3)`, the light of windows when all are lit.
        glass: `(H, W)`, where the sky is mirrored.
        place: `(H, W, 3)`, what each pixel meets, in metres.
        normal: `(H, W, 3)`, which way it faces.
        window: `(H, W)`, the number of the window there, 0 for none.
        numbers: how many numbers are given away, with 0.
    """

    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        height, width = camera.shape
        self._fine = np.zeros((height * FINE, width * FINE, 8), np.float32)
        self.place = np.zeros((height, width, 3), np.float32)
        self.place[..., 2] = 1e3
        self.normal = np.zeros((height, width, 3), np.float32)
        self.window = np.zeros((height, width), np.int32)
        self.numbers = 1

    def put(self, panel: Panel, corners: ArrayLike) -> None:
        """Put up a panel; `corners` are the places of its upper left, upper right, lower right and lower left."""
        places = np.asarray(corners, np.float64)
        height, width = panel.alpha.shape
        flat = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
        shown = self.camera.pixels(places)
        part = self._around(shown)
        left, top = part[1].start, part[0].start
        size = ((part[1].stop - left) * FINE, (part[0].stop - top) * FINE)
        corner = np.asarray((shown - (left, top)) * FINE + (FINE - 1) / 2, np.float32)
        warp = cv2.getPerspectiveTransform(flat, corner)
        alpha = panel.alpha[..., None]
        sheets = [np.dstack([panel.colour * alpha, panel.alpha]), np.dstack([panel.glow * alpha, panel.glass])]
        drawn = np.dstack([cv2.warpPerspective(sheet, warp, size, flags=cv2.INTER_LINEAR) for sheet in sheets])
        below = self._fine[top * FINE : top * FINE + size[1], left * FINE : left * FINE + size[0]]
        below[:] = below * (1 - drawn[..., 3:4]) + drawn
        there = np.zeros(self.window.shape, np.bool_)
        there[part] = cv2.resize(drawn[..., 3], (size[0] // FINE, size[1] // FINE), interpolation=cv2.INTER_AREA) > 0.5
        normal = np.cross(places[1] - places[0], places[3] - places[0])
        normal /= np.linalg.norm(normal)
        self.place[there] = self.camera.meet(places[0], normal)[there]
        toward = np.sign(np.dot(normal, np.array([0, self.camera.height, 0]) - places[0]))
        self.normal[there] = normal * toward
        self.window[there] = 0
        self._number(panel, places)

    def _around(self, shown: Points) -> tuple[slice, slice]:
        """The rows and columns of the picture that hold these pixels."""
        height, width = self.window.shape
        low = np.clip(np.floor(shown.min(0)) - 1, 0, (width - 2, height - 2)).astype(int)
        high = np.clip(np.ceil(shown.max(0)) + 1, low + 2, (width, height)).astype(int)
        return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))

    def _number(self, panel: Panel, places: NDArray[np.float64]) -> None:
        """Give each window of the panel a number, and that number to its pixels and those around."""
        right, down = places[1] - places[0], places[3] - places[0]
        for left, top, over, under in panel.windows:
            corners = [
                places[0] + u * right + v * down for u, v in ((left, top), (over, top), (over, under), (left, under))
            ]
            shown = np.rint(self.camera.pixels(corners)).astype(np.int32)
            cv2.fillPoly(self.window, [shown], self.numbers)
            cv2.polylines(self.window, [shown], True, self.numbers, 1)
            self.numbers += 1

    def paint(self, colour: Picture, alpha: Field) -> None:
        """Lay a drawing in pixels, `FINE` times larger than the picture, over what is there."""
        above = np.dstack([colour * alpha[..., None], alpha, np.zeros((*alpha.shape, 4), np.float32)])
        self._fine = self._fine * (1 - alpha[..., None]) + above

    def parts(self) -> tuple[Picture, Field, Picture, Field]:
        """Colour, cover, glow and glass, each of the picture's size."""
        size = self.place.shape[1::-1]
        halves = [cv2.resize(self._fine[..., i : i + 4], size, interpolation=cv2.INTER_AREA) for i in (0, 4)]
        small: Picture = np.dstack(halves).astype(np.float32)
        colour = np.asarray(small[..., :3] / np.maximum(small[..., 3:4], 1e-3), np.float32)
        return colour, small[..., 3], small[..., 4:7], small[..., 7]


def code(colour: ArrayLike) -> str:
    """The code of a colour, such as `"f4c430"`."""
    return bytes(np.rint(np.clip(np.asarray(colour, np.float64), 0, 1) * 255).astype(np.uint8).tolist()).hex()


def shade(name: str, factor: float) -> str:
    """A colour's code made darker or lighter."""
    return code(hex_colours(name)[0] * factor)
