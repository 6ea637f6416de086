"""Alignment of registered frames: their common rectangle, and the resampling of each frame into it."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.frames import Pixels

Homography: TypeAlias = NDArray[np.float64]
"""`(3, 3)` homography from positions in the aligned image to positions in a frame.

Positions are in pixels with x first; (0, 0) is the centre of the first pixel.
"""

_SUPPORT = 1.0  # pixels that bicubic interpolation reads beyond a position, on the nearer side
_COLUMNS = 1024
_SEAM = 1 / 40  # width of the seam between a frame and what fills its edges, as a share of the shorter side
_EPSILON = 1e-3


@dataclass(frozen=True, slots=True)
class Crop:
    """A rectangle of whole pixels."""

    x: int
    y: int
    width: int
    height: int


def rescale_homography(matrix: Homography, size: tuple[int, int], to_size: tuple[int, int]) -> Homography:
    """Convert a homography between images of one size to images of another size.

    Args:
        matrix: homography between images of `size`.
        size, to_size: width and height in pixels.
    """
    scale = _scaling(size[0] / to_size[0], size[1] / to_size[1])
    result = np.linalg.inv(scale) @ matrix @ scale
    return cast(Homography, result / result[2, 2])


def _scaling(x: float, y: float) -> Homography:
    """Return the map from pixel centres of one image to those of one that is `x` by `y` times as large."""
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]], np.float64)


def common_rectangle(matrices: Sequence[Homography], width: int, height: int) -> Crop | None:
    """Find the largest axis-aligned rectangle with even sides that every frame covers; None if there is none.

    The area that a frame covers is bounded by four lines, so the common area is convex: the rows covered between two
    columns are those covered at both. All pairs of columns are tried.

    Args:
        matrices: homographies from the aligned image to each frame.
        width, height: size of every frame and of the aligned image, in pixels.
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
    """Return the first and last row that every frame covers at each column; first > last if there is none."""
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
    epsilon = 1e-6  # rounding must not cost a row
    first, last = np.ceil(np.clip(top - epsilon, 0, height)), np.floor(np.clip(bottom + epsilon, -1, height - 1))
    return first.astype(np.int64), last.astype(np.int64)


def _borders(matrix: Homography, width: int, height: int, margin: float) -> list[NDArray[np.float64]]:
    """Return lines (a, b, c) with a x + b y + c >= 0 where the frame has pixels, `margin` inside its edges."""
    across, down, depth = matrix / matrix[2, 2]
    right, low = width - 1 - margin, height - 1 - margin
    return [across - margin * depth, right * depth - across, down - margin * depth, low * depth - down, depth]


def align(pixels: Pixels, matrix: Homography, crop: Crop, size: tuple[int, int]) -> Pixels:
    """Warp and scale a frame in one resampling: bicubic, averaged over each pixel's area.

    If the image shrinks, each pixel is the mean of n x n bicubic samples, at most one source pixel apart, so that
    nothing aliases. Beyond the frame's edge its border pixels are repeated.

    Args:
        pixels: `(H, W, 3)` uint8 or uint16 sRGB, RGB order, at the source's size.
        matrix: homography from the aligned image to this frame.
        crop: part of the aligned image to return.
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
    """Return where the result of `align` shows the frame and not repeated borders: `(size[1], size[0])` bool."""
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
    """Fill the uncovered parts of the first layer from those behind it, with soft seams.

    Near the border of its coverage each layer fades into those behind it. Pixels that no layer covers are those of the
    first.

    Args:
        layers: images of one size and type and their coverage (see `coverage`), front to back; no more are taken from
            the iterable than are visible.
    """
    rest = iter(layers)
    front, covered = next(rest)
    if covered.all():
        return front
    opaque = _opaque(covered)
    total, weight = front * opaque, opaque
    for pixels, covered in rest:
        share = _opaque(covered) * (1 - weight)
        total, weight = total + pixels * share, weight + share
        if weight.min() > 1 - _EPSILON:
            break
    visible = weight > _EPSILON
    mixed = np.rint(total / np.where(visible, weight, 1)).astype(front.dtype)
    return cast(Pixels, np.where(visible, mixed, front))


def _opaque(covered: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return opacity `(H, W, 1)` float32: 0 outside the coverage, rising to 1 over a seam's width inside it."""
    seam = max(1.0, min(covered.shape) * _SEAM)
    away = cv2.distanceTransform(covered.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    return cast("NDArray[np.float32]", np.clip(away / seam, 0, 1).astype(np.float32)[..., None])


def _to_frame(matrix: Homography, crop: Crop, size: tuple[int, int]) -> Homography:
    """Return the map from pixels of the result to those of the frame."""
    shift = np.array([[1, 0, crop.x], [0, 1, crop.y], [0, 0, 1]], np.float64)
    return matrix @ shift @ _scaling(crop.width / size[0], crop.height / size[1])
