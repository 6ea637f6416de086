"""Photo transfer: a stylized frame's colours on its source's edges, by a bilateral grid of affine colour maps.

Luan, Paris, Shechtman and Bala 2017 ("Deep Photo Style Transfer") keep a result photographic by requiring it to be
locally affine in the source's colours. Here that is not a loss term: the maps are fitted to the finished frame, as in
Gharbi et al. 2015 ("Transform Recipes") and Chen et al. 2016 ("Bilateral Guided Upsampling"), on a grid over position
and luma, and applied to the source at full size. Strokes and bent edges are not smooth functions of position and
colour, so no map contains them, and they disappear.

Every cell solves a least-squares problem in closed form. Its normal equations are gathered (splatted), blurred over the
grid, and solved with a weak prior toward one map for the whole frame. For temporal stability the equations are
blended with those of the frame before, warped along the optical flow.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vidnst.frames import luma
from vidnst.media.effects.colour_space import FloatImage, shrink_image

_FIT_LONGEST_SIDE = 640
"""Longest side at which maps are fitted: they are smooth, and a larger frame adds no information."""
_CELL_PRIOR = 3e-3
"""Weight of the whole frame's map as prior of a cell's, as a variance of colours with channels in [0, 1]."""
_FRAME_PRIOR = 1e-6
"""The same for the identity as prior of the whole frame's map: just enough for frames of one colour."""
_EMPTY_SHARE = 1e-4
"""Share of the mean cell weight below which a cell counts as empty."""

Equations = NDArray[np.float32]
"""`(bins, rows, columns, 28)` float32: for each cell the sums of x x^T (16) and of x y^T (12), x = (r, g, b, 1)."""


@dataclass(frozen=True, slots=True)
class GridShape:
    """Numbers of cells of a bilateral grid."""

    bins: int
    rows: int
    columns: int

    @classmethod
    def of(cls, height: int, width: int, *, cells: int, luma_bins: int) -> "GridShape":
        """Return a grid of nearly square cells, `cells` of them along the longer side."""
        side = max(height, width) / cells
        return cls(luma_bins, max(1, round(height / side)), max(1, round(width / side)))


def gather_equations(source: FloatImage, stylized: FloatImage, shape: GridShape, *, smoothness: float) -> Equations:
    """Gather the normal equations of every cell; each pixel contributes to the cells around it.

    Args:
        source: `(H, W, 3)` float32 sRGB in [0, 1].
        stylized: the target of the maps, of the same shape.
        smoothness: standard deviation of the blur in cells, along each of the three axes.

    Returns:
        Weighted means over the image's pixels, so that they do not depend on its size.
    """
    source, stylized = shrink_image(source, _FIT_LONGEST_SIDE), shrink_image(stylized, _FIT_LONGEST_SIDE)
    ones = np.ones((*source.shape[:2], 1), np.float32)
    inputs, inputs_and_targets = np.concatenate([source, ones], -1), np.concatenate([source, ones, stylized], -1)
    positions = luma(source) * (shape.bins - 1)
    sums = np.empty((shape.bins, shape.rows, shape.columns, 28), np.float32)
    for number in range(shape.bins):
        weighted = inputs * _hat(positions, number)[..., None]
        products = np.concatenate([weighted[..., row, None] * inputs_and_targets for row in range(4)], -1)
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
    """Blend a frame's equations with those of the frame before, warped along the flow.

    Args:
        before: blended equations of the frame before.
        now: equations of this frame alone.
        vectors_px: `(H, W, 2)`, x then y: this frame shows at p what the one before shows at p + vectors[p].
        valid: `(H, W)`, where the vectors are trusted.
        steadiness: weight of the frame before in cells whose vectors are all trusted.
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
    warped = np.stack([_warped(plane, map_x, map_y) for plane in before])
    weight = (np.float32(steadiness) * share)[..., None]
    return np.asarray(now + (warped - now) * weight, np.float32)


def solve_maps(equations: Equations) -> NDArray[np.float32]:
    """Solve for the maps of all cells, `(bins, rows, columns, 4, 3)`: `(r, g, b, 1)` times a map is the new colour.

    The prior of the whole frame's map is the identity, and that of each cell's map is the whole frame's, so that
    cells of one colour, or without pixels, have a sensible map.
    """
    sums = equations.astype(np.float64)
    outer, right = sums[..., :16].reshape(-1, 4, 4), sums[..., 16:].reshape(-1, 4, 3)
    mean_weight = max(float(outer[:, 3, 3].mean()), 1e-12)
    identity = np.eye(4, 3)
    frame_map = _solve(outer.mean(0) / mean_weight, right.mean(0) / mean_weight, identity, _FRAME_PRIOR)
    weight = np.maximum(outer[:, 3, 3], _EMPTY_SHARE * mean_weight)[:, None, None]
    maps = _solve(outer / weight, right / weight, frame_map, _CELL_PRIOR)
    return maps.reshape(*equations.shape[:3], 4, 3).astype(np.float32)


def apply_maps(source: FloatImage, maps: NDArray[np.float32]) -> FloatImage:
    """Apply to each pixel of the source the map at its position and luma, interpolated between cells.

    Args:
        source: `(H, W, 3)` float32 sRGB in [0, 1].
        maps: the result of `solve_maps`.

    Returns:
        The same shape, clipped to [0, 1].
    """
    bins, (height, width) = maps.shape[0], source.shape[:2]
    positions = luma(source) * (bins - 1)
    result = np.zeros_like(source)
    for number in range(bins):
        share = _hat(positions, number)
        if not share.any():
            continue
        fine = _enlarged(maps[number].reshape(*maps.shape[1:3], 12), height, width)
        changed = fine[..., 9:].copy()
        for channel in range(3):
            changed += source[..., channel, None] * fine[..., 3 * channel : 3 * channel + 3]
        result += changed * share[..., None]
    return np.asarray(np.clip(result, 0, 1), np.float32)


def _hat(positions: NDArray[np.float32], number: int) -> NDArray[np.float32]:
    return np.asarray(np.maximum(0, 1 - np.abs(positions - np.float32(number))), np.float32)


def _pooled(values: NDArray[np.float32], shape: GridShape) -> NDArray[np.float32]:
    """Average `(H, W, C)` over the areas of cells, to `(rows, columns, C)`."""
    size = (shape.columns, shape.rows)
    planes = [cv2.resize(values[..., n : n + 4], size, interpolation=cv2.INTER_AREA) for n in range(0, 28, 4)]
    return np.concatenate([plane.reshape(shape.rows, shape.columns, 4) for plane in planes], -1)


def _blurred(sums: Equations, deviation: float) -> Equations:
    if deviation <= 0:
        return sums
    blurred = ndimage.gaussian_filter(sums, (deviation, deviation, deviation, 0), mode="constant", truncate=3)
    return np.asarray(blurred, np.float32)


def _warped(plane: NDArray[np.float32], x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
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
    prior_weight = weight * np.eye(4)
    return np.asarray(np.linalg.solve(outer + prior_weight, right + prior_weight @ prior), np.float64)
