"""Guide maps: the weight of each position of each layer in a region's texture (Gatys et al. 2017).

"Controlling Perceptual Factors in Neural Style Transfer", section 4: maps are multiplied by a guide before the products
of their channels are taken, so a position counts by the square of its guide. Deviation: they leave out
deep positions at the edge of a region, whose receptive fields mostly lie outside. Here textures mix near an edge, over
at most half of relu5_1's receptive field of 156 pixels, whatever the size of the frame.
"""

from torch import Tensor
from torch.nn import functional


class Guide:
    """The guide of a region of a picture.

    Args:
        mask: `(1, 1, H, W)` in [0, 1], how much of each pixel belongs to the region.
    """

    def __init__(self, mask: Tensor) -> None:
        self._mask = mask
        self._sizes: dict[tuple[int, int], Tensor] = {}

    def at(self, height: int, width: int) -> Tensor:
        """The weights `(1, 1, h, w)` of the positions of maps: the squared mean of the mask over each."""
        size = (height, width)
        if size not in self._sizes:
            self._sizes[size] = functional.interpolate(self._mask, size, mode="area").square()
        return self._sizes[size]
