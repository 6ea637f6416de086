"""Synthetic clips with exactly known motion: a camera pans, zooms and turns over a texture, behind a moving square.

Every frame is sampled from functions of the position, not from the frame before, so subpixel motion is exact.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_CHUNK = 1 << 16
"""Positions drawn at once: all waves of a large picture together would take gigabytes."""


class SceneTexture:
    """An unbounded smooth texture of plane waves: three channels in [0, 1] at any position.

    Args:
        seed: of the waves.
        shortest_px, longest_px: wave lengths. Long waves lose little when they are sampled between pixels.
    """

    def __init__(self, seed: int, *, shortest_px: float = 9.0, longest_px: float = 40.0, waves: int = 24) -> None:
        random = np.random.default_rng(seed)
        length_px = random.uniform(shortest_px, longest_px, waves)
        angle = random.uniform(0, 2 * np.pi, waves)
        self._x, self._y = (2 * np.pi / length_px * part for part in (np.cos(angle), np.sin(angle)))
        self._phase = random.uniform(0, 2 * np.pi, (3, waves))
        self._height = 0.25 / np.sqrt(waves) * np.ones(waves)

    def __call__(self, x: Floats, y: Floats) -> Floats:
        """Sample colours `(..., 3)` at positions `(...)` in pixels."""
        parts = [
            self._part(x.reshape(-1)[first : first + _CHUNK], y.reshape(-1)[first : first + _CHUNK])
            for first in range(0, x.size, _CHUNK)
        ]
        return np.concatenate([np.empty((0, 3)), *parts]).reshape(*x.shape, 3)

    def _part(self, x: Floats, y: Floats) -> Floats:
        run = x[..., None] * self._x + y[..., None] * self._y
        planes = [(self._height * np.sin(run + phase)).sum(-1) for phase in self._phase]
        return np.clip(0.5 + np.stack(planes, axis=-1), 0, 1)


@dataclass(frozen=True)
class MovingScene:
    """Frames of a camera that moves over a texture, behind a square with a motion of its own.

    Pixel p of frame t shows position `centre + zoom^t R(turn t) (p - centre) + pan t` of the texture, unless the
    square covers it, whose corner is at `square + square_step t`.
    """

    count: int = 6
    width: int = 128
    height: int = 72
    pan_px: tuple[float, float] = (0.0, 0.0)
    zoom: float = 1.0
    turn_degrees: float = 0.0
    square: tuple[float, float] = (40.0, 20.0)
    """Corner of the square in frame 0, pixels."""
    square_px: int = 24
    """Side of the square; 0 leaves it out."""
    square_step_px: tuple[float, float] = (0.0, 0.0)
    seed: int = 0

    def frame(self, index: int) -> NDArray[np.float32]:
        """Draw a frame, `(height, width, 3)` float32 in [0, 1]."""
        x, y = self._grid()
        image = SceneTexture(self.seed)(*self._place(index, x, y))
        left, top = self._corner(index)
        inside = self._covered(index, x, y)
        image[inside] = SceneTexture(self.seed + 1)(x[inside] - left, y[inside] - top)
        return image.astype(np.float32)

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """Draw a frame, `(height, width, 3)` uint8."""
        return np.rint(self.frame(index) * 255).astype(np.uint8)

    def _grid(self) -> tuple[Floats, Floats]:
        x, y = np.meshgrid(np.arange(self.width, dtype=np.float64), np.arange(self.height, dtype=np.float64))
        return x, y

    def _corner(self, index: int) -> tuple[float, float]:
        return self.square[0] + self.square_step_px[0] * index, self.square[1] + self.square_step_px[1] * index

    def _covered(self, index: int, x: Floats, y: Floats) -> NDArray[np.bool_]:
        left, top = self._corner(index)
        last = self.square_px - 1 + 1e-6
        return (x >= left - 1e-6) & (x <= left + last) & (y >= top - 1e-6) & (y <= top + last)

    def _camera(self, index: int) -> tuple[Floats, Floats, Floats]:
        angle = np.deg2rad(self.turn_degrees * index)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        centre = np.array([(self.width - 1) / 2, (self.height - 1) / 2])
        return self.zoom**index * turn, centre, np.array(self.pan_px) * index

    def _place(self, index: int, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        matrix, centre, pan = self._camera(index)
        place = (np.stack([x, y], axis=-1) - centre) @ matrix.T + centre + pan
        return place[..., 0], place[..., 1]


def synthetic_style(side: int = 256) -> NDArray[np.uint8]:
    """Draw a style picture `(side, side, 3)` uint8: a texture in few colours, with hard edges between them."""
    return MovingScene(1, side, side, square_px=0, seed=7).pixels(0) // 64 * 85
