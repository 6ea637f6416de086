"""Holding the content's edges: the Laplacian loss."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from vidnst.config import LossConfig
from vidnst.errors import ConfigError
from vidnst.style.losses.terms import Scale

_PLAIN = 1e-3
"""Added to the energy of a content's Laplacian: a step of some three levels of 255 in every cell. What is plainer has
no edges to hold, and is not pulled harder for it."""


class Edges:
    """The Laplacian loss of Li, Xu, Nie & Liu 2017, "Laplacian-Steered Neural Style Transfer", for one content.

    Pictures are averaged over cells of p x p pixels; their Laplacians (neighbours above, below, left and right minus
    four times the place itself) are compared. gatys: the sum of squared differences, the paper's; mean: their mean.
    relative: over the energy of the content's Laplacian, so that a picture without any edges is at about 1. The
    Laplacian is that of the sum of the three channels: what has the content's edges in other colours is as good.

    Args:
        content: `(1, 3, H, W)`.
        shares: of each side p in pixels.
    """

    def __init__(self, content: Tensor, shares: Mapping[int, float], *, scale: Scale = "relative") -> None:
        self._shares = dict(shares)
        self._scale = scale
        self._targets = {cell: laplacian(content.detach(), cell) for cell in shares}

    def __call__(self, picture: Tensor) -> Tensor:
        """The loss of a picture `(1, 3, H, W)`: a scalar. Cells that the picture is too small for do not count."""
        parts = [
            share * self._distance(laplacian(picture, cell), self._targets[cell])
            for cell, share in self._shares.items()
            if self._targets[cell].numel()
        ]
        return torch.stack(parts).sum() if parts else picture.sum() * 0

    def _distance(self, found: Tensor, target: Tensor) -> Tensor:
        apart = (found - target).square()
        if self._scale == "relative":
            return apart.mean() / (target.square().mean() + _PLAIN)
        return apart.sum() if self._scale == "gatys" else apart.mean()


def check_edge_cells(config: LossConfig, *, height: int, width: int) -> None:
    """Make sure that frames are large enough for the cells that edges are looked for in.

    The coarser sizes that a cold frame goes through may be too small for some: those do not count there.

    Raises:
        ConfigError: a side is shorter than three cells, and edges have a weight.
    """
    largest = max(cell for cell, share in config.edges_cells.items() if share)
    if config.edges_weight and min(height, width) < 3 * largest:
        raise ConfigError(
            f"losses.edges_cells = {largest}: frames of {width}x{height} have no three cells of {largest} pixels",
            f"take at most {min(height, width) // 3}, or render larger frames",
        )


def laplacian(picture: Tensor, cell: int) -> Tensor:
    """Of the mean brightness of cells, times three: `(1, 3, H, W)` to `(1, 1, H / cell - 2, W / cell - 2)`.

    Where there are no three cells a side the result is empty. Cells begin at the upper left; a rest of a cell at the
    other borders does not count.
    """
    if min(picture.shape[-2:]) < 3 * cell:
        return picture.new_zeros(1, 1, 0, 0)
    cells = functional.avg_pool2d(picture.sum(dim=1, keepdim=True), cell)
    around = cells[..., :-2, 1:-1] + cells[..., 2:, 1:-1] + cells[..., 1:-1, :-2] + cells[..., 1:-1, 2:]
    return around - 4 * cells[..., 1:-1, 1:-1]
