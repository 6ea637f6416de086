"""A clip whose motion is known exactly: the synthetic scene of `vidnst bench`, with its optical flow."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidnst.motion.flow import Flow
from vidnst.tools.bench.synthetic_scene import Floats, MovingScene, SceneTexture

__all__ = ["Floats", "MovingClip", "SceneTexture"]


@dataclass(frozen=True)
class MovingClip(MovingScene):
    """A moving scene with its exact flows and disocclusions."""

    def all_pixels(self) -> list[NDArray[np.uint8]]:
        """Return all frames: `(height, width, 3)` uint8 RGB."""
        return [self.pixels(index) for index in range(self.count)]

    def flow(self, index: int, reference: int) -> Flow:
        """Return the exact flow from frame `index` into frame `reference`.

        A pixel is valid where bilinear sampling is: its position in the reference and the four pixels around that lie
        inside the frame and on the same object, square or background.
        """
        x, y = self._grid()
        on_square = self._covered(index, x, y)
        target_x, target_y = self._pixel(reference, *self._place(index, x, y))
        (left, top), (to_left, to_top) = self._corner(index), self._corner(reference)
        target_x = np.where(on_square, x - left + to_left, target_x)
        target_y = np.where(on_square, y - top + to_top, target_y)
        valid = np.ones(x.shape, bool)
        for tap_x in (np.floor(target_x + 1e-6), np.ceil(target_x - 1e-6)):
            for tap_y in (np.floor(target_y + 1e-6), np.ceil(target_y - 1e-6)):
                valid &= (tap_x >= 0) & (tap_x <= self.width - 1) & (tap_y >= 0) & (tap_y <= self.height - 1)
                valid &= self._covered(reference, tap_x, tap_y) == on_square
        vectors_px = np.stack([target_x - x, target_y - y], axis=-1).astype(np.float32)
        return Flow(vectors_px, np.where(valid, 255, 0).astype(np.uint8))

    def uncovered(self, index: int, reference: int) -> NDArray[np.bool_]:
        """Return the disocclusions, `(height, width)`: background of frame `index` that `reference` has hidden."""
        x, y = self._grid()
        target_x, target_y = self._pixel(reference, *self._place(index, x, y))
        return ~self._covered(index, x, y) & self._covered(reference, target_x, target_y)

    def _pixel(self, index: int, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Return where frame `index` shows points of the texture: the inverse of `_place`."""
        matrix, centre, pan = self._camera(index)
        pixel = (np.stack([x, y], axis=-1) - centre - pan) @ np.linalg.inv(matrix).T + centre
        return pixel[..., 0], pixel[..., 1]
