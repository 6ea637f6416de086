"""The Laplacian loss, which preserves the content's edges."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from vidnst.style.textures.protocol import Scale

_NO_EDGES = 1e-3
"""Added to the energy of a content's Laplacian: a step of some three levels of 255 in every cell. It keeps content with
fewer edges from being weighted more for it."""


class LaplacianLoss:
    """The Laplacian loss of Li, Xu, Nie & Liu 2017, "Laplacian-Steered Neural Style Transfer", for one content.

    Pictures are averaged over cells of p x p pixels; their Laplacians (the four neighbours minus four times the cell
    itself) are compared. gatys: the sum of squared differences, as in the paper; mean: their mean; relative: over the
    energy of the content's Laplacian, so that a picture without edges is at about 1. The Laplacian is that of the sum
    of the three channels: edges may have other colours than the content's.

    Args:
        content: `(1, 3, H, W)`.
        shares: weight of each cell side p in pixels.
    """

    def __init__(self, content: Tensor, shares: Mapping[int, float], *, scale: Scale = "relative") -> None:
        self._shares = dict(shares)
        self._scale = scale
        self._targets = {cell: laplacian(content.detach(), cell) for cell in shares}

    def __call__(self, picture: Tensor) -> Tensor:
        """The loss of a picture `(1, 3, H, W)`: a scalar. Cells that are too large for the picture are left out."""
        parts = [
            share * self._distance(laplacian(picture, cell), self._targets[cell])
            for cell, share in self._shares.items()
            if self._targets[cell].numel()
        ]
        return torch.stack(parts).sum() if parts else picture.sum() * 0

    def _distance(self, edges: Tensor, target: Tensor) -> Tensor:
        apart = (edges - target).square()
        if self._scale == "relative":
            return apart.mean() / (target.square().mean() + _NO_EDGES)
        return apart.sum() if self._scale == "gatys" else apart.mean()


def laplacian(picture: Tensor, cell: int) -> Tensor:
    """The Laplacian of the cells' mean brightness, times three: `(1, 3, H, W)` to `(1, 1, H / cell - 2, W / cell - 2)`.

    The result is empty if a side has fewer than three cells. Cells start at the upper left; partial cells at the other
    borders are ignored.
    """
    if min(picture.shape[-2:]) < 3 * cell:
        return picture.new_zeros(1, 1, 0, 0)
    cells = functional.avg_pool2d(picture.sum(dim=1, keepdim=True), cell)
    neighbours = cells[..., :-2, 1:-1] + cells[..., 2:, 1:-1] + cells[..., 1:-1, :-2] + cells[..., 1:-1, 2:]
    return neighbours - 4 * cells[..., 1:-1, 1:-1]
