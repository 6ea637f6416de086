"""The loss of a network that learns a painting: patches of what it paints against the same patches of the painting.

Texler et al. 2020, "Interactive Video Stylization Using Few-Shot Patch-Based Training", learn from patches of 32
pixels, which leave a network too little of a frame to remember it by: from whole frames it learned the key itself
better, and all other frames worse. As there, the distance of pixels counts 4 and that of VGG's maps 6. Deviations: no
adversarial term; the maps' distance is relative to the maps' own mean, so it means the same with any weights; and only
what is opaque counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidnst.config import VGG19_LAYERS
from vidnst.style.network.vgg import VGG19

PATCH_PX = 32
"""Side of a patch."""
PATCHES = 24
"""Patches in a step, all of one painting."""
_LAYERS = ("relu1_1", "relu2_1", "relu3_1")
_LEAST_MEAN = 1e-6


@dataclass(frozen=True, slots=True)
class PaintedSample:
    """A frame that a person has painted, as a target."""

    content: Tensor
    """`(1, 3, H, W)` in [0, 1], the frame."""
    painting: Tensor
    """Shaped like the content."""
    opaque: NDArray[np.bool_] | None = None
    """`(H, W)`, where it is painted; None for everywhere."""
    shares: Tensor | None = None
    """`(1, S, H, W)` or `(1, S, 1, 1)`, of its styles, as the network takes them; None if there is one style."""

    def patches(self, generator: np.random.Generator) -> "PaintedSample":
        """Cut out random patches that show some of the painting; their tensors have `PATCHES` as the first side."""
        height, width = self.content.shape[-2:]
        side, places = min(PATCH_PX, height, width), self._places(generator)
        corners = [
            (min(max(row - side // 2, 0), height - side), min(max(column - side // 2, 0), width - side))
            for row, column in places
        ]
        windows = [(slice(row, row + side), slice(column, column + side)) for row, column in corners]

        def cut(maps: Tensor) -> Tensor:
            return torch.cat([maps[..., rows, columns] for rows, columns in windows])

        shares = self.shares
        if shares is not None:
            shares = shares.expand(len(windows), -1, -1, -1) if shares.shape[-2:] == (1, 1) else cut(shares)
        opaque = None if self.opaque is None else np.stack([self.opaque[window] for window in windows])
        return PaintedSample(cut(self.content), cut(self.painting), opaque, shares)

    def _places(self, generator: np.random.Generator) -> list[tuple[int, int]]:
        """Random painted pixels, by row and column."""
        height, width = self.content.shape[-2:]
        if self.opaque is None:
            chosen = generator.integers(height * width, size=PATCHES)
        else:
            painted = np.flatnonzero(self.opaque)
            chosen = painted[generator.integers(len(painted), size=PATCHES)]
        return [(int(place) // width, int(place) % width) for place in chosen]


class PaintedPatchLoss:
    """The distance of pictures from a painting, of pixels and of a network's maps.

    Args:
        network: VGG19; the layers that it lacks do not count.
        pixels_weight: of the mean absolute difference of pixels in [0, 1].
        features_weight: of the mean absolute difference of maps, relative to the painting's.
    """

    def __init__(self, network: VGG19, *, pixels_weight: float, features_weight: float) -> None:
        self._network = network
        self._weights = (pixels_weight, features_weight)
        last = VGG19_LAYERS.index(network.last_layer)
        self._layers: Sequence[str] = [layer for layer in _LAYERS if VGG19_LAYERS.index(layer) <= last]

    def __call__(self, picture: Tensor, target: PaintedSample) -> Tensor:
        """The weighted distance of `(N, 3, H, W)` from the target's painting, a scalar."""
        painting, share = target.painting, 1.0
        if target.opaque is not None:
            opaque = torch.from_numpy(target.opaque)[:, None].to(picture.device)
            picture, share = torch.where(opaque, picture, painting), float(target.opaque.mean())
        pixels_weight, features_weight = self._weights
        total = pixels_weight / share * (picture - painting).abs().mean()
        if features_weight and self._layers:
            total = total + features_weight / share * self._features(picture, painting)
        return total

    def _features(self, picture: Tensor, painting: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = self._network(painting, self._layers)
        found = self._network(picture, self._layers)
        distances = [
            (found[layer].float() - maps.float()).abs().mean() / maps.float().abs().mean().clamp(min=_LEAST_MEAN)
            for layer, maps in wanted.items()
        ]
        return torch.stack(distances).mean()
