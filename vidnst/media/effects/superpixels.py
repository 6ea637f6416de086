"""Superpixels that move with the picture: SLIC (Achanta 2012), each frame begun at the cells of the one before.

SLIC by itself begins each frame at the same grid, so its cells crawl over what moves and jump where two cuts of the
picture are nearly as good. Here the cells of a frame are carried along the optical flow onto the next one and refined
there by the same rule, as in temporally consistent superpixels (Chang 2013), without their model of motion: a flow is
there anyway. Cells are split where they have grown too large (at edges that come into view), and given up where little
is left of them.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import measure, segmentation

from vidnst.media.effects.colour_space import FloatImage, to_lab

_FIRST_ROUNDS = 8
_ROUNDS = 2
"""Rounds of SLIC on carried cells; they begin near the goal."""
_KEEP = 0.5
"""Factor on a pixel's distance to the cell that it comes from: an edge moves only where another cell is clearly nearer,
and not with the noise."""
_SPLIT_AREA = 2.5
"""Of the usual area: from here on a cell is cut in two."""
_LEAST_AREA = 0.15
"""Of the usual area: below, a cell is given up. Far from `_SPLIT_AREA`, or cells would come and go."""
_FRAGMENT = 0.1
"""Of the usual area: smaller pieces that hang apart from others of their cell go to their neighbours."""

Labels = NDArray[np.int32]
"""`(H, W)` int32: the cell of each pixel, from 0."""


@dataclass(frozen=True, slots=True)
class _Grid:
    """What is the same for all cells."""

    spacing_px: float
    """Side of a square of the usual area."""
    compactness: float

    @classmethod
    def of(cls, picture: NDArray[np.float32], cells: int, compactness: float) -> "_Grid":
        height, width = picture.shape[:2]
        return cls(float(np.sqrt(height * width / cells)), compactness)

    @property
    def area_px(self) -> float:
        return self.spacing_px**2


def segment_first(picture: FloatImage, cells: int, compactness: float) -> Labels:
    """Cells of a picture by itself, by SLIC; then refined as later frames are, so that the second begins at its goal.

    Args:
        picture: `(H, W, 3)` float32 sRGB in [0, 1].
        cells: how many, more or less.
        compactness: distance of colour in CIELAB that a cell's width of distance is worth.
    """
    lab = to_lab(picture)
    span = max(float(np.ptp(lab)), 1.0)  # scikit-image brings all values to [0, 1] before it compares colours
    labels = segmentation.slic(
        lab / span,
        n_segments=cells,
        compactness=compactness / span,
        convert2lab=False,
        start_label=0,
        channel_axis=-1,
    )
    return _refined(lab, np.asarray(labels, np.int32), _Grid.of(lab, cells, compactness), _FIRST_ROUNDS, keep=1.0)


def segment_next(
    picture: FloatImage,
    before: Labels,
    vectors_px: NDArray[np.float32],
    valid: NDArray[np.bool_],
    *,
    cells: int,
    compactness: float,
) -> Labels:
    """Cells of a picture, begun at those of the one before.

    Args:
        picture: `(H, W, 3)` float32 sRGB in [0, 1].
        before: cells of the picture before; a cell that lives on keeps its number.
        vectors_px: `(H, W, 2)`, x then y: this picture shows at p what the one before shows at p + vectors[p].
        valid: `(H, W)`, where the vectors are trusted.
        cells, compactness: as in `segment_first`.
    """
    lab = to_lab(picture)
    labels = _fill(_carried(before, vectors_px, valid))
    return _refined(lab, labels, _Grid.of(lab, cells, compactness), _ROUNDS, keep=_KEEP)


def flatten_cells(picture: FloatImage, labels: Labels) -> FloatImage:
    """The picture with each cell in its mean colour (of gamma-encoded values)."""
    return np.ascontiguousarray(_means(picture, labels)[labels]).astype(np.float32)


def _carried(before: Labels, vectors_px: NDArray[np.float32], valid: NDArray[np.bool_]) -> Labels:
    """Labels fetched along the flow; -1 where it is not trusted."""
    height, width = before.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    at_x = np.rint(x + vectors_px[..., 0]).astype(np.intp)
    at_y = np.rint(y + vectors_px[..., 1]).astype(np.intp)
    inside = valid & (at_x >= 0) & (at_x < width) & (at_y >= 0) & (at_y < height)
    carried = np.full(before.shape, -1, np.int32)
    carried[inside] = before[at_y[inside], at_x[inside]]
    return carried


def _fill(labels: Labels) -> Labels:
    """Where there is no label, that of the nearest pixel that has one."""
    holes = labels < 0
    if not holes.any():
        return labels
    if holes.all():
        return np.zeros_like(labels)
    rows, columns = ndimage.distance_transform_edt(holes, return_distances=False, return_indices=True)
    return np.asarray(labels[rows, columns], np.int32)


def _means(values: NDArray[np.float32], labels: Labels) -> NDArray[np.float64]:
    """`(n, C)`: mean of `(H, W, C)` values over each label; 0 where there is no pixel."""
    flat, count = labels.ravel(), np.bincount(labels.ravel())
    sums = [np.bincount(flat, values[..., channel].ravel()) for channel in range(values.shape[-1])]
    return np.stack(sums, axis=-1) / np.maximum(count, 1)[:, None]


def _places(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """`(H, W, 2)`: row and column of each pixel."""
    return np.moveaxis(np.indices(shape, np.float32), 0, -1)


def _refined(lab: NDArray[np.float32], labels: Labels, grid: _Grid, rounds: int, *, keep: float) -> Labels:
    for _ in range(rounds):
        labels = _assigned(lab, labels, grid, keep)
    return _populated(_without_fragments(labels, grid), grid)


def _assigned(lab: NDArray[np.float32], labels: Labels, grid: _Grid, keep: float) -> Labels:
    """One round of SLIC: each pixel to the cell of least distance among those whose centre is near.

    The distance is `|colours|^2 / compactness^2 + |places|^2 / spacing^2`, and near is within two spacings along each
    axis, since cells that grow until they are split reach farther than SLIC's. A pixel that is near to none stays.
    `keep` is a factor on the distance to a pixel's own cell.
    """
    height, width = labels.shape
    colours, places = _means(lab, labels), _means(_places(labels.shape), labels)
    alive = np.flatnonzero(np.bincount(labels.ravel()))
    best, least = labels.copy(), np.full(labels.shape, np.inf, np.float32)
    reach = 2 * grid.spacing_px
    scaled, rows, columns = lab / np.float32(grid.compactness), np.arange(height), np.arange(width)
    for cell in alive:
        row, column = places[cell]
        top, bottom = max(0, int(row - reach)), min(height, int(row + reach) + 2)
        left, right = max(0, int(column - reach)), min(width, int(column + reach) + 2)
        colour = (colours[cell] / grid.compactness).astype(np.float32)
        distance = np.square(scaled[top:bottom, left:right] - colour).sum(-1)
        distance += (np.square((rows[top:bottom] - row) / grid.spacing_px)[:, None]).astype(np.float32)
        distance += (np.square((columns[left:right] - column) / grid.spacing_px)[None]).astype(np.float32)
        distance[labels[top:bottom, left:right] == cell] *= keep
        closer = distance < least[top:bottom, left:right]
        best[top:bottom, left:right][closer] = cell
        least[top:bottom, left:right][closer] = distance[closer]
    return best


def _without_fragments(labels: Labels, grid: _Grid) -> Labels:
    """Small pieces that hang apart, and cells that are too small altogether, go to their neighbours."""
    pieces, owner = _pieces(labels)
    area = np.bincount(pieces.ravel())
    largest = np.zeros(labels.max() + 1, np.int64)
    np.maximum.at(largest, owner, area)
    small = (area < largest[owner]) & (area < _FRAGMENT * grid.area_px)
    small |= np.bincount(labels.ravel())[owner] < _LEAST_AREA * grid.area_px
    if small.all():
        return labels
    return _fill(np.where(small[pieces], -1, labels).astype(np.int32))


def _pieces(labels: Labels) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """`(H, W)`: connected pieces of equal label, from 0; and for each piece its label."""
    pieces = np.asarray(measure.label(labels, background=-1, connectivity=1), np.int32) - 1  # type: ignore[no-untyped-call]
    owner = np.zeros(pieces.max() + 1, np.int32)
    owner[pieces.ravel()] = labels.ravel()
    return pieces, owner


def _populated(labels: Labels, grid: _Grid) -> Labels:
    """Cells that have grown too large are cut in two across their longer axis; the half near the top left, or nearest
    to it, keeps the number."""
    area = np.bincount(labels.ravel())
    large = np.flatnonzero(area > _SPLIT_AREA * grid.area_px)
    if not len(large):
        return labels
    split = labels.copy()
    boxes = ndimage.find_objects(labels + 1)
    free = iter(range(len(area), len(area) + len(large) + 1))
    unused = iter(np.flatnonzero(area == 0))
    for cell in large:
        box = boxes[cell]
        assert box is not None
        inside = labels[box] == cell
        places = np.argwhere(inside).astype(np.float64)
        off = places - places.mean(0)
        axis = cv2.eigen(off.T @ off)[2][0]
        axis = axis * (1 if axis[np.argmax(np.abs(axis))] > 0 else -1)
        number = next(unused, None)
        part = split[box]
        part[inside] = np.where(off @ axis > 0, next(free) if number is None else number, cell)
    return split
