"""Open water seen from a low shore: what it mirrors, how it moves, and how it glints."""

import cv2
import numpy as np

from .texture import Field, Picture, grid, look_up, mix, smoothstep, tileable_noise


class Water:
    """A surface of small waves in perspective."""

    def __init__(self, rng: np.random.Generator, *, tile: int = 512) -> None:
        self._swell = tileable_noise(rng, tile, slope=1.6, low=2, high=14)
        self._chop = tileable_noise(rng, tile, slope=1.2, low=10, high=60)

    def slopes(self, shape: tuple[int, int], horizon: float, *, time: float) -> tuple[Field, Field, Field]:
        """Slope across, slope along, and nearness (0 at the horizon, 1 at the lower edge), each of `shape`."""
        height, width = shape
        x, y = grid((height, width))
        near = np.clip((y - horizon) / (height - horizon), 0, 1)
        away = 1 / (near + 0.07)
        across = (x - width / 2) / width * away
        fade = 1 / (1 + (away / 7) ** 2)
        along = look_up(self._swell, across * 0.35 + 0.03 * time, away * 0.9 - 0.10 * time)
        along = along + 0.8 * fade * look_up(self._chop, across * 0.45 - 0.05 * time, away * 1.1 - 0.16 * time)
        side = look_up(self._swell, across * 0.5 + 0.4, away * 1.0 + 0.07 * time)
        side = side + 0.8 * fade * look_up(self._chop, across * 0.6 + 0.06 * time, away * 1.2 + 0.3)
        return side.astype(np.float32), along.astype(np.float32), near

    def paint(
        self,
        above: Picture,
        horizon: float,
        *,
        time: float,
        depth: Picture,
        sun: Picture,
        sun_x: float,
        glints: float,
        roughness: float = 1.0,
    ) -> Picture:
        """`above` with everything below the row `horizon` turned into water that mirrors what is above it.

        Args:
            above: `(H, W, 3)`, the view down to the horizon.
            horizon: row where the water begins.
            time: seconds, as the waves count them.
            depth: colour of the water itself, seen where it is near and looked down into.
            sun: colour of the glints.
            sun_x: column under which the path of glints lies.
            glints: brightness of that path, 0 for none.
            roughness: height of the waves.
        """
        height, width = above.shape[:2]
        side, along, near = self.slopes((height, width), horizon, time=time)
        x, y = grid((height, width))
        reach = (2 + 26 * near) * roughness
        mirrored = horizon - (y - horizon) * 1.05 - 2 + along * reach
        column = x + side * reach * 0.35
        source = cv2.remap(
            above,
            column,
            np.clip(mirrored, 0, horizon - 2),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        clear = np.clip(0.86 - 0.42 * near - 0.10 * along * near, 0.2, 0.95)
        water = mix(np.broadcast_to(depth, above.shape), source * 0.94, clear)

        path = np.exp(-(((x - sun_x) / (width * (0.018 + 0.13 * near))) ** 2))
        crests = smoothstep(0.75, 1.9, along + 0.35 * side + 0.5 * path)
        sheen = 0.30 * path * (1 - near) ** 2
        water = water + (1 - water) * sun * np.clip(glints * (path * crests * 1.5 + sheen), 0, 1)[..., None]
        return mix(above, water, smoothstep(horizon - 0.5, horizon + 0.5, y))
