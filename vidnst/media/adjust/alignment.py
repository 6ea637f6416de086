"""Registered frames in one frame: what all of them show, and each of them brought there in one resampling."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.frames import Pixels

Homography: TypeAlias = NDArray[np.float64]
"""`(3, 3)` homography that leads from a place in the aligned picture to the place in a frame where that is seen.

Places are in pixels with x first; (0, 0) is the centre of the first pixel.
"""

_SUPPORT = 1.0  # pixels beyond a place that bicubic interpolation reads on the nearer side
_COLUMNS = 1024
_SEAM = 1 / 40  # width of the seam between a frame and what fills its edges, as a share of the shorter side
_HAIR = 1e-3


@dataclass(frozen=True, slots=True)
class Crop:
    """A rectangle of whole pixels."""

    x: int
    y: int
    width: int
    height: int


def rescale_homography(matrix: Homography, size: tuple[int, int], to_size: tuple[int, int]) -> Homography:
    """The same movement between pictures of another size.

    Args:
        matrix: between pictures of `size`.
        size, to_size: width and height in pixels.
    """
    scale = _grow(size[0] / to_size[0], size[1] / to_size[1])
    result = np.linalg.inv(scale) @ matrix @ scale
    return cast(Homography, result / result[2, 2])


def _grow(x: float, y: float) -> Homography:
    """From pixel centres of one picture to those of one that is `x` by `y` times as large."""
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]], np.float64)


def common_rectangle(matrices: Sequence[Homography], width: int, height: int) -> Crop | None:
    """The largest upright rectangle in which every frame has pixels; its sides are even. None where there is none.

    What a frame covers is bounded by four lines, so what all cover is convex: between two columns the rows that are
    free are those free at both. All pairs of columns are tried.

    Args:
        matrices: from the aligned picture to each frame.
        width, height: of every frame and of the aligned picture, in pixels.
    """
    columns = np.unique(np.append(np.arange(0, width, math.ceil(width / _COLUMNS)), width - 1))
    top, bottom = _free_rows(matrices, columns.astype(np.float64), width, height)
    rows = np.minimum.outer(bottom, bottom) - np.maximum.outer(top, top) + 1
    across = columns[None, :] - columns[:, None] + 1
    rows, across = np.where(rows > 0, rows // 2 * 2, 0), np.where(across > 0, across // 2 * 2, 0)
    left, right = np.unravel_index(int(np.argmax(rows * across)), rows.shape)
    found = Crop(int(columns[left]), int(max(top[left], top[right])), int(across[left, right]), int(rows[left, right]))
    return found if found.width and found.height else None


def _free_rows(
    matrices: Sequence[Homography], columns: NDArray[np.float64], width: int, height: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last row, at each column, that every frame covers; the first is below the last where there is none."""
    top, bottom = np.zeros(len(columns)), np.full(len(columns), height - 1.0)
    for matrix in matrices:
        margin = 0.0 if np.array_equal(matrix, np.eye(3)) else _SUPPORT
        for a, b, c in _borders(matrix, width, height, margin):
            free = a * columns + c  # covered where free + b * row >= 0
            if abs(b) < 1e-12:
                bottom = np.where(free < 0, -1.0, bottom)
            elif b > 0:
                top = np.maximum(top, -free / b)
            else:
                bottom = np.minimum(bottom, -free / b)
    hair = 1e-6  # rounding must not cost a row
    first, last = np.ceil(np.clip(top - hair, 0, height)), np.floor(np.clip(bottom + hair, -1, height - 1))
    return first.astype(np.int64), last.astype(np.int64)


def _borders(matrix: Homography, width: int, height: int, margin: float) -> list[NDArray[np.float64]]:
    """Lines (a, b, c) with a x + b y + c >= 0 where the frame has pixels, `margin` inside its edges."""
    across, down, depth = matrix / matrix[2, 2]
    right, low = width - 1 - margin, height - 1 - margin
    return [across - margin * depth, right * depth - across, down - margin * depth, low * depth - down, depth]


def align(pixels: Pixels, matrix: Homography, crop: Crop, size: tuple[int, int]) -> Pixels:
    """A frame moved into place and scaled, in one resampling: bicubic, or its mean over each pixel's area.

    Where the picture shrinks, each pixel is the mean of n x n bicubic samples, at most one source pixel apart, so that
    nothing aliases. Beyond the frame's edge its last pixels are repeated.

    Args:
        pixels: `(H, W, 3)` uint8 or uint16 sRGB, RGB order, as the source has it.
        matrix: from the aligned picture to this frame.
        crop: the part of the aligned picture that is wanted.
        size: width and height of the result in pixels.

    Returns:
        `(size[1], size[0], 3)` of the same type.
    """
    samples = max(1, math.ceil(max(crop.width / size[0], crop.height / size[1]) - 1e-9))
    fine = (size[0] * samples, size[1] * samples)
    moved = cv2.warpPerspective(
        pixels,
        _to_frame(matrix, crop, fine),
        fine,
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return cast(Pixels, moved if samples == 1 else cv2.resize(moved, size, interpolation=cv2.INTER_AREA))


def coverage(matrix: Homography, crop: Crop, size: tuple[int, int], source_size: tuple[int, int]) -> NDArray[np.bool_]:
    """Where the result of `align` shows the frame itself and not repeated edges: `(size[1], size[0])` bool."""
    width, height = size
    whole = np.full((source_size[1], source_size[0]), 255, np.uint8)
    moved = cv2.warpPerspective(
        whole, _to_frame(matrix, crop, size), size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    # A pixel's area reaches half a pixel beyond its centre.
    inside = cv2.erode(moved, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_REPLICATE)
    assert inside.shape == (height, width)
    return np.equal(inside, 255)


def fill_borders(layers: Iterable[tuple[Pixels, NDArray[np.bool_]]]) -> Pixels:
    """A picture whose missing parts are taken from the ones behind it, over soft seams.

    Near the edge of what it covers each layer fades into those behind it. What none covers is as in the first.

    Args:
        layers: pictures of one size and type with where they are covered (see `coverage`), the first in front; no more
            are asked for than are seen.
    """
    rest = iter(layers)
    front, there = next(rest)
    if there.all():
        return front
    opaque = _opaque(there)
    total, weight = front * opaque, opaque
    for pixels, there in rest:
        share = _opaque(there) * (1 - weight)
        total, weight = total + pixels * share, weight + share
        if weight.min() > 1 - _HAIR:
            break
    seen = weight > _HAIR
    mixed = np.rint(total / np.where(seen, weight, 1)).astype(front.dtype)
    return cast(Pixels, np.where(seen, mixed, front))


def _opaque(there: NDArray[np.bool_]) -> NDArray[np.float32]:
    """`(H, W, 1)` float32: 0 where nothing is covered, rising to 1 over a seam's width inside of it."""
    seam = max(1.0, min(there.shape) * _SEAM)
    away = cv2.distanceTransform(there.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    return cast("NDArray[np.float32]", np.clip(away / seam, 0, 1).astype(np.float32)[..., None])


def _to_frame(matrix: Homography, crop: Crop, size: tuple[int, int]) -> Homography:
    """From pixels of the result to those of the frame."""
    shift = np.array([[1, 0, crop.x], [0, 1, crop.y], [0, 0, 1]], np.float64)
    return matrix @ shift @ _grow(crop.width / size[0], crop.height / size[1])
