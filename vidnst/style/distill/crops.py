"""Random crops of pictures for training, which depend on a seed and the step alone."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vidnst.errors import SourceError
from vidnst.frames import Pixels
from vidnst.style.tensors import from_pixels, resize

_LARGEST_SCALE = 4.0
"""Upper limit of the side of a crop's source over the crop's own: renders at a small size see pictures like that."""


class Crops:
    """Square crops, half of them mirrored, at scales from the picture's own down to a quarter of it.

    Args:
        pictures: `(H, W, 3)` uint8 or uint16 sRGB, all sides at least `side_px`.
        side_px: of a crop.
        seed: of all random numbers.
        device: where the crops are wanted.

    Raises:
        SourceError: no pictures, or one that is too small.
    """

    def __init__(
        self, pictures: Sequence[Pixels], *, side_px: int, seed: int, device: torch.device | str = "cpu"
    ) -> None:
        if not pictures:
            raise SourceError("there are no pictures to learn from", "give --images a folder that has some")
        smallest = min(min(picture.shape[:2]) for picture in pictures)
        if smallest < side_px:
            raise SourceError(f"a picture of {smallest} pixels is too small for crops of {side_px}", "leave it out")
        self._pictures = pictures
        self._side_px = side_px
        self._seed = seed
        self.device = torch.device(device)
        """The device that holds the crops."""

    def batch(self, step: int, count: int) -> Tensor:
        """The crops of a step, `(count, 3, side, side)` float32 in [0, 1]."""
        generator = np.random.default_rng((self._seed, step))
        empty = torch.empty(0, 3, self._side_px, self._side_px)
        return torch.cat([empty, *(self._random_crop(generator) for _ in range(count))]).to(self.device)

    def _random_crop(self, generator: np.random.Generator) -> Tensor:
        picture = self._pictures[int(generator.integers(len(self._pictures)))]
        height, width = picture.shape[:2]
        largest = min(_LARGEST_SCALE, min(height, width) / self._side_px)
        side = int(self._side_px * math.exp(generator.uniform(0, math.log(largest))))
        top, left = (int(generator.integers(size - side + 1)) for size in (height, width))
        crop = picture[top : top + side, left : left + side]
        if generator.random() < 0.5:
            crop = crop[:, ::-1]
        return resize(from_pixels(crop), self._side_px, self._side_px)
