"""The colours of a stylized frame on the edges of its source: a bilateral grid of affine maps of colour.

Luan, Paris, Shechtman and Bala 2017 ("Deep Photo Style Transfer") keep a result photographic by asking that it be, near
every pixel, an affine function of the source's colours. Here that is no term of the loss: the maps are fitted to the
finished frame afterwards, as Gharbi et al. 2015 ("Transform Recipes") and Chen et al. 2016 ("Bilateral Guided
Upsampling") do, on a grid over place and luma, and applied to the source at its full size. Whatever of the frame is no
smooth function of place and colour (strokes, bent edges) is not in any map, and is gone.

Every cell solves a least-squares problem of its own in closed form, on the normal equations of its neighbourhood: they
are gathered (splat), blurred over the grid, and solved with a little pull toward one map for the whole frame. For a
steady clip the gathered equations are mixed with those of the frame before, moved along the optical flow.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.frames import luma
from vidnst.media.effects.colour_space import FloatImage, shrink_image

_FIT_PX = 640
"""Longest side at which maps are fitted: they are smooth, and a larger frame says nothing else."""
_PULL = 3e-3
"""Variance of a cell's colours (channels in [0, 1]) under which the whole frame's map says more about slopes."""
_PULL_OF_ALL = 1e-6
"""The same for the whole frame's map, toward doing nothing: just enough for frames of one colour."""
_FAINT = 1e-4
"""Share of a cell's usual weight up to which it is empty."""

Equations = NDArray[np.float32]
"""`(bins, rows, columns, 28)` float32: of each cell the sums of x x^T (16) and of x y^T (12), x = (r, g, b, 1)."""


@dataclass(frozen=True, slots=True)
class GridShape:
    """Cells of a grid over a picture."""

    bins: int
    rows: int
    columns: int

    @classmethod
    def of(cls, height: int, width: int, *, cells: int, luma_bins: int) -> "GridShape":
        """As square as whole cells allow, `cells` along the longer side."""
        side = max(height, width) / cells
        return cls(luma_bins, max(1, round(height / side)), max(1, round(width / side)))


def gather_equations(source: FloatImage, stylized: FloatImage, shape: GridShape, *, smoothness: float) -> Equations:
    """The normal equations of every cell, each pixel's weight shared by the cells around it.

    Args:
        source: `(H, W, 3)` float32 sRGB in [0, 1].
        stylized: the same shape: what the maps are to make of it.
        smoothness: standard deviation of the blur over cells, in each of the three directions.

    Returns:
        Weighted means over the picture's pixels, so that they do not depend on its size.
    """
    source, stylized = shrink_image(source, _FIT_PX), shrink_image(stylized, _FIT_PX)
    ones = np.ones((*source.shape[:2], 1), np.float32)
    known, wanted = np.concatenate([source, ones], -1), np.concatenate([source, ones, stylized], -1)
    places = luma(source) * (shape.bins - 1)
    sums = np.empty((shape.bins, shape.rows, shape.columns, 28), np.float32)
    for number in range(shape.bins):
        weighted = known * _hat(places, number)[..., None]
        products = np.concatenate([weighted[..., row, None] * wanted for row in range(4)], -1)
        cells = _pooled(products, shape).reshape(shape.rows, shape.columns, 4, 7)
        sums[number, ..., :16] = cells[..., :4].reshape(shape.rows, shape.columns, 16)
        sums[number, ..., 16:] = cells[..., 4:].reshape(shape.rows, shape.columns, 12)
    return _blurred(sums, smoothness)


def blend_equations(
    before: Equations,
    now: Equations,
    vectors_px: NDArray[np.float32],
    valid: NDArray[np.bool_],
    *,
    steadiness: float,
) -> Equations:
    """The equations of a frame, mixed with those of the frame before where that showed the same.

    Args:
        before: of the frame before, itself mixed.
        now: of this frame alone.
        vectors_px: `(H, W, 2)`, x then y: this frame shows at p what the one before shows at p + vectors[p].
        valid: `(H, W)`, where the vectors are trusted.
        steadiness: share of the frame before where all vectors of a cell are trusted.
    """
    _, rows, columns, _ = now.shape
    height, width = valid.shape
    trust = valid.astype(np.float32)[..., None]
    pooled = cv2.resize(
        np.concatenate([vectors_px * trust, trust], -1).astype(np.float32),
        (columns, rows),
        interpolation=cv2.INTER_AREA,
    )
    share = pooled[..., 2]
    moved = (
        pooled[..., :2] / np.maximum(share, 1e-6)[..., None] * np.array([columns / width, rows / height], np.float32)
    )
    x, y = np.meshgrid(np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32))
    map_x, map_y = (np.asarray(at, np.float32) for at in (x + moved[..., 0], y + moved[..., 1]))
    fetched = np.stack([_fetched(plane, map_x, map_y) for plane in before])
    weight = (np.float32(steadiness) * share)[..., None]
    return np.asarray(now + (fetched - now) * weight, np.float32)


def solve_maps(equations: Equations) -> NDArray[np.float32]:
    """The maps of all cells: `(bins, rows, columns, 4, 3)`, a row `(r, g, b, 1)` times it is the new colour.

    The whole frame's map is pulled toward doing nothing, and each cell's toward the whole frame's, so that a cell of
    one colour, or of no pixel, has one that makes sense.
    """
    sums = equations.astype(np.float64)
    outer, right = sums[..., :16].reshape(-1, 4, 4), sums[..., 16:].reshape(-1, 4, 3)
    usual = max(float(outer[:, 3, 3].mean()), 1e-12)
    nothing = np.eye(4, 3)
    whole = _solve(outer.mean(0) / usual, right.mean(0) / usual, nothing, _PULL_OF_ALL)
    weight = np.maximum(outer[:, 3, 3], _FAINT * usual)[:, None, None]
    maps = _solve(outer / weight, right / weight, whole, _PULL)
    return maps.reshape(*equations.shape[:3], 4, 3).astype(np.float32)


def apply_maps(source: FloatImage, maps: NDArray[np.float32]) -> FloatImage:
    """The source with each pixel changed by the map at its place and luma, interpolated between cells.

    Args:
        source: `(H, W, 3)` float32 sRGB in [0, 1].
        maps: as `solve_maps` gives them.

    Returns:
        The same shape, clipped to [0, 1].
    """
    bins, (height, width) = maps.shape[0], source.shape[:2]
    places = luma(source) * (bins - 1)
    result = np.zeros_like(source)
    for number in range(bins):
        share = _hat(places, number)
        if not share.any():
            continue
        fine = _enlarged(maps[number].reshape(*maps.shape[1:3], 12), height, width)
        changed = fine[..., 9:].copy()
        for channel in range(3):
            changed += source[..., channel, None] * fine[..., 3 * channel : 3 * channel + 3]
        result += changed * share[..., None]
    return np.asarray(np.clip(result, 0, 1), np.float32)


def _hat(places: NDArray[np.float32], number: int) -> NDArray[np.float32]:
    return np.asarray(np.maximum(0, 1 - np.abs(places - np.float32(number))), np.float32)


def _pooled(values: NDArray[np.float32], shape: GridShape) -> NDArray[np.float32]:
    """`(H, W, C)` averaged over the areas of cells, `(rows, columns, C)`."""
    size = (shape.columns, shape.rows)
    planes = [cv2.resize(values[..., n : n + 4], size, interpolation=cv2.INTER_AREA) for n in range(0, 28, 4)]
    return np.concatenate([plane.reshape(shape.rows, shape.columns, 4) for plane in planes], -1)


def _blurred(sums: Equations, deviation: float) -> Equations:
    if deviation <= 0:
        return sums
    from scipy import ndimage

    blurred = ndimage.gaussian_filter(sums, (deviation, deviation, deviation, 0), mode="constant", truncate=3)
    return np.asarray(blurred, np.float32)


def _fetched(plane: NDArray[np.float32], x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    parts = [
        cv2.remap(plane[..., n : n + 4], x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for n in range(0, 28, 4)
    ]
    return np.concatenate([part.reshape(*plane.shape[:2], 4) for part in parts], -1)


def _enlarged(maps: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    parts = [
        cv2.resize(maps[..., n : n + 4], (width, height), interpolation=cv2.INTER_LINEAR).reshape(height, width, 4)
        for n in range(0, 12, 4)
    ]
    return np.concatenate(parts, -1)


def _solve(
    outer: NDArray[np.float64], right: NDArray[np.float64], prior: NDArray[np.float64], weight: float
) -> NDArray[np.float64]:
    pull = weight * np.eye(4)
    return np.asarray(np.linalg.solve(outer + pull, right + pull @ prior), np.float64)
