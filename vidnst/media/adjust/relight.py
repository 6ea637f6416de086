"""Taking the light of the day out of frames, and putting a share of it back into painted ones.

Both are curves that vary smoothly over the frame, and neither clips. What must get darker is multiplied, as by shade.
What must get brighter is raised to a power below 1 in sources, which opens the shadows of a night; in paint, what it
lacks to white is multiplied. The coarse grid of the light follows the edges of the source by a guided filter (He, Sun
and Tang 2010, "Guided Image Filtering", in the fast form of He and Sun 2015): no halos along roofs.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.frames import Pixels, State, from_float, luma, to_16_bits, to_float
from vidnst.media.adjust.daylight import Grid

_WORKING_PX = 192
"""Longest side at which maps of the light are computed."""
_RADIUS_SHARE = 1 / 12
"""Radius of the guided filter, as a share of the longest side: two cells of the light's grid."""
_EDGE = 0.001
"""Variance of luma within the filter's window from which an edge is followed."""
_DARKEST, _BRIGHTEST = 0.02, 0.98
"""Bounds of a light whose logarithm is taken."""
_LEAST_EXPONENT = 0.4
"""Least power by which shadows are opened: smaller ones show the noise of a night."""


@dataclass(frozen=True, slots=True)
class Palette:
    """The range of each channel, `(3,)` in [0, 1], within which the light of painted frames stays."""

    low: NDArray[np.float32]
    high: NDArray[np.float32]


class _Guide:
    """Makes coarse maps follow the edges of a picture.

    Args:
        luma: `(H, W)` float32 in [0, 1].
    """

    def __init__(self, luma_map: NDArray[np.float32]) -> None:
        self._full = luma_map
        height, width = luma_map.shape
        scale = min(1.0, _WORKING_PX / max(height, width))
        self._size = max(1, round(width * scale)), max(1, round(height * scale))
        radius = max(1, round(max(self._size) * _RADIUS_SHARE))
        self._window = (2 * radius + 1,) * 2
        self._small = self.shrink(luma_map)
        self._mean = self._blur(self._small)
        self._variance = self._blur(self._small**2) - self._mean**2

    def shrink(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scale a full or coarse map to the working size."""
        larger = picture.shape[1] >= self._size[0]
        scaled = cv2.resize(picture, self._size, interpolation=cv2.INTER_AREA if larger else cv2.INTER_LINEAR)
        return np.asarray(scaled, np.float32)

    def _blur(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.blur(picture, self._window, borderType=cv2.BORDER_REFLECT), np.float32)

    def _fit(self, small: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Slope and offset of the lines that give `(h, w, 3)` from the guide."""
        mean = self._blur(small)
        covariance = self._blur(small * self._small[..., None]) - mean * self._mean[..., None]
        slope = covariance / (self._variance + np.float32(_EDGE))[..., None]
        return self._blur(slope), self._blur(mean - slope * self._mean[..., None])

    def follow(self, small: NDArray[np.float32]) -> NDArray[np.float32]:
        """Filter a map at the working size."""
        slope, offset = self._fit(small)
        return slope * self._small[..., None] + offset

    def enlarge(self, small: NDArray[np.float32]) -> NDArray[np.float32]:
        """Filter a map at the working size, to the size of the picture."""
        height, width = self._full.shape
        slope, offset = (cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR) for part in self._fit(small))
        return np.asarray(slope * self._full[..., None] + offset, np.float32)


def even_light(pixels: Pixels, light: Grid, wanted: Grid) -> State:
    """Change the light of a frame to another.

    Args:
        pixels: `(H, W, 3)` uint8 or uint16 sRGB, RGB order.
        light: the light of the frame.
        wanted: the light to give it.

    Returns:
        `(H, W, 3)` uint16.
    """
    picture = to_float(pixels)
    guide = _Guide(luma(picture))
    light, wanted = _bounded(light), _bounded(wanted)
    exponents = np.clip(np.log(wanted) / np.log(light), _LEAST_EXPONENT, 1).astype(np.float32)
    opened = np.power(picture, np.clip(guide.enlarge(guide.shrink(exponents)), _LEAST_EXPONENT, 1))
    shade = guide.enlarge(guide.shrink(np.minimum(wanted / light, 1).astype(np.float32)))
    return to_16_bits(from_float(opened * np.clip(shade, 0, 1), 16))


def add_light(painted: Pixels, source: Pixels, change: Grid, *, share: float, palette: Palette) -> State:
    """Add a share of a change of light to a painted frame, so that its local means change by as much.

    Args:
        painted: `(H, W, 3)` uint8 or uint16 sRGB, RGB order.
        source: the frame that was painted, whose edges the change follows.
        change: the light of the frame minus that in which it was painted; in [-1, 1].
        share: the share of the change, from 0 to 1.
        palette: bounds of the local means; no mean is moved outside of them.

    Returns:
        `(H, W, 3)` uint16.
    """
    picture = to_float(painted)
    guide = _Guide(luma(to_float(source)))
    small = guide.shrink(picture)
    before = _bounded(guide.follow(small))
    moved = before + np.float32(share) * guide.follow(guide.shrink(change))
    goal = _bounded(np.clip(moved, np.minimum(before, palette.low), np.maximum(before, palette.high)))
    darker, brighter = np.minimum(goal / before, 1), np.minimum((1 - goal) / (1 - before), 1)
    shaded = picture * np.maximum(guide.enlarge(darker), 0)
    return to_16_bits(from_float(1 - (1 - shaded) * np.clip(guide.enlarge(brighter), 0, 1), 16))


def _bounded(light: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.clip(light, _DARKEST, _BRIGHTEST)
