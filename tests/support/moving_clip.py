"""A clip of which the motion is known exactly, with that motion: the scene of `vidnst bench`, and its flows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidnst.motion.flow import Flow
from vidnst.tools.bench.synthetic_scene import Floats, MovingScene, SceneTexture

__all__ = ["Floats", "MovingClip", "SceneTexture"]


@dataclass(frozen=True)
class MovingClip(MovingScene):
    """A moving scene, the flows of which are told."""

    def all_pixels(self) -> list[NDArray[np.uint8]]:
        """Every frame as uint8."""
        return [self.pixels(index) for index in range(self.count)]

    def flow(self, index: int, reference: int) -> Flow:
        """The exact flow from frame `index` into frame `reference`, valid where a bilinear fetch is.

        Valid are pixels whose place in the reference, with the four pixels around it, lies in the picture and on the
        same thing: not covered by the square, or else on it.
        """
        x, y = self._grid()
        on_square = self._covered(index, x, y)
        there_x, there_y = self._pixel(reference, *self._place(index, x, y))
        (left, top), (to_left, to_top) = self._corner(index), self._corner(reference)
        there_x = np.where(on_square, x - left + to_left, there_x)
        there_y = np.where(on_square, y - top + to_top, there_y)
        valid = np.ones(x.shape, bool)
        for tap_x in (np.floor(there_x + 1e-6), np.ceil(there_x - 1e-6)):
            for tap_y in (np.floor(there_y + 1e-6), np.ceil(there_y - 1e-6)):
                valid &= (tap_x >= 0) & (tap_x <= self.width - 1) & (tap_y >= 0) & (tap_y <= self.height - 1)
                valid &= self._covered(reference, tap_x, tap_y) == on_square
        vectors_px = np.stack([there_x - x, there_y - y], axis=-1).astype(np.float32)
        return Flow(vectors_px, np.where(valid, 255, 0).astype(np.uint8))

    def uncovered(self, index: int, reference: int) -> NDArray[np.bool_]:
        """`(height, width)`: background of frame `index` that lies in frame `reference` but under the square there."""
        x, y = self._grid()
        there_x, there_y = self._pixel(reference, *self._place(index, x, y))
        return ~self._covered(index, x, y) & self._covered(reference, there_x, there_y)

    def _pixel(self, index: int, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Where frame `index` shows places of the texture: the inverse of `_place`."""
        matrix, centre, pan = self._camera(index)
        pixel = (np.stack([x, y], axis=-1) - centre - pan) @ np.linalg.inv(matrix).T + centre
        return pixel[..., 0], pixel[..., 1]
