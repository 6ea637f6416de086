"""Where in a picture a texture is to be: how much each position of each layer counts (Gatys et al. 2017).

"Controlling Perceptual Factors in Neural Style Transfer", section 4: maps are multiplied by a guide before the products
of their channels are taken, so a position counts by the square of its guide. Deviation: there, deep positions at the
edge of a region, which see much of what lies outside, are left out. Near an edge, within what the deepest layer sees,
textures run into each other: over at most half of relu5_1's 156 pixels, whatever the size of the frame.
"""

from torch import Tensor
from torch.nn import functional


class Guide:
    """A region of a picture.

    Args:
        whole: `(1, 1, H, W)` in [0, 1], how much of each pixel belongs to it.
    """

    def __init__(self, whole: Tensor) -> None:
        self._whole = whole
        self._sizes: dict[tuple[int, int], Tensor] = {}

    def over(self, maps: Tensor) -> Tensor:
        """What each position of maps `(1, N, h, w)` counts: `(1, 1, h, w)`, the squared mean of the guide over it."""
        return self.at(maps.shape[-2], maps.shape[-1])

    def at(self, height: int, width: int) -> Tensor:
        """The same for maps of a size."""
        size = (height, width)
        if size not in self._sizes:
            self._sizes[size] = functional.interpolate(self._whole, size, mode="area").square()
        return self._sizes[size]
