"""Temporally consistent superpixels: SLIC (Achanta 2012), initialised with the cells of the frame before.

Plain SLIC starts each frame from the same grid, so its cells crawl over moving objects and jump where two segmentations
are nearly as good. Here the cells of a frame are warped to the next one along the optical flow and refined there by the
same rule, as in Chang 2013, but without a motion model, since the flow is available. Cells that have grown too large
(at edges that come into view) are split, and cells that have become too small are dissolved.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import measure, segmentation

from vidnst.media.effects.colour_space import FloatImage, to_lab
from vidnst.media.effects.labels import Labels, fill_unlabelled, warp_labels

_FIRST_ROUNDS = 8
_ROUNDS = 2
"""Rounds of SLIC on warped cells, which start near the result."""
_OWN_CELL_FACTOR = 0.5
"""Factor on a pixel's distance to its previous cell: an edge moves only where another cell is clearly nearer, not with
the noise."""
_SPLIT_AREA = 2.5
"""Share of the mean area above which a cell is split in two."""
_LEAST_AREA = 0.15
"""Share of the mean area below which a cell is dissolved; far from `_SPLIT_AREA`, or cells would appear and vanish."""
_FRAGMENT_AREA = 0.1
"""Share of the mean area below which a piece detached from its cell is merged into its neighbours."""


@dataclass(frozen=True, slots=True)
class _Grid:
    """The settings of a segmentation."""

    spacing_px: float
    """Side of a square cell of mean area."""
    compactness: float

    @classmethod
    def of(cls, image: NDArray[np.float32], cells: int, compactness: float) -> "_Grid":
        height, width = image.shape[:2]
        return cls(float(np.sqrt(height * width / cells)), compactness)

    @property
    def area_px(self) -> float:
        return self.spacing_px**2


def segment_first(image: FloatImage, cells: int, compactness: float) -> Labels:
    """Segment an image on its own by SLIC, then refine as for later frames, so that the next frame starts converged.

    Args:
        image: `(H, W, 3)` float32 sRGB in [0, 1].
        cells: approximate number of cells.
        compactness: CIELAB distance that weighs as much as the distance of a cell's width.
    """
    lab = to_lab(image)
    span = max(float(np.ptp(lab)), 1.0)  # scikit-image scales all values to [0, 1] before it compares colours
    labels = segmentation.slic(
        lab / span,
        n_segments=cells,
        compactness=compactness / span,
        convert2lab=False,
        start_label=0,
        channel_axis=-1,
    )
    return _refine(lab, np.asarray(labels, np.int32), _Grid.of(lab, cells, compactness), _FIRST_ROUNDS, keep=1.0)


def segment_next(
    image: FloatImage,
    before: Labels,
    vectors_px: NDArray[np.float32],
    valid: NDArray[np.bool_],
    *,
    cells: int,
    compactness: float,
) -> Labels:
    """Segment an image, starting from the cells of the one before.

    Args:
        image: `(H, W, 3)` float32 sRGB in [0, 1].
        before: cells of the image before; a cell that survives keeps its number.
        vectors_px: `(H, W, 2)`, x then y: this image shows at p what the one before shows at p + vectors[p].
        valid: `(H, W)`, where the vectors are trusted.
        cells, compactness: see `segment_first`.
    """
    lab = to_lab(image)
    labels = fill_unlabelled(warp_labels(before, vectors_px, valid))
    return _refine(lab, labels, _Grid.of(lab, cells, compactness), _ROUNDS, keep=_OWN_CELL_FACTOR)


def flatten_cells(image: FloatImage, labels: Labels) -> FloatImage:
    """Fill each cell with its mean colour (of gamma-encoded values)."""
    return np.ascontiguousarray(_label_means(image, labels)[labels]).astype(np.float32)


def _label_means(values: NDArray[np.float32], labels: Labels) -> NDArray[np.float64]:
    """Return the mean of `(H, W, C)` values over each label, `(n, C)`; 0 for unused labels."""
    flat, count = labels.ravel(), np.bincount(labels.ravel())
    sums = [np.bincount(flat, values[..., channel].ravel()) for channel in range(values.shape[-1])]
    return np.stack(sums, axis=-1) / np.maximum(count, 1)[:, None]


def _positions(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return row and column of each pixel, `(H, W, 2)`."""
    return np.moveaxis(np.indices(shape, np.float32), 0, -1)


def _refine(lab: NDArray[np.float32], labels: Labels, grid: _Grid, rounds: int, *, keep: float) -> Labels:
    for _ in range(rounds):
        labels = _assign(lab, labels, grid, keep)
    return _split_large(_without_fragments(labels, grid), grid)


def _assign(lab: NDArray[np.float32], labels: Labels, grid: _Grid, keep: float) -> Labels:
    """Do one round of SLIC: assign each pixel to the nearest cell among those whose centre is close.

    The squared distance is `|colours|^2 / compactness^2 + |positions|^2 / spacing^2`. Close means within two spacings
    along each axis, since cells that grow until they are split reach farther than SLIC's. A pixel that is close to no
    cell keeps its label. `keep` is a factor on the distance to a pixel's own cell.
    """
    height, width = labels.shape
    colours, positions = _label_means(lab, labels), _label_means(_positions(labels.shape), labels)
    alive = np.flatnonzero(np.bincount(labels.ravel()))
    best, least = labels.copy(), np.full(labels.shape, np.inf, np.float32)
    reach = 2 * grid.spacing_px
    scaled, rows, columns = lab / np.float32(grid.compactness), np.arange(height), np.arange(width)
    for cell in alive:
        row, column = positions[cell]
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
    """Merge small detached pieces, and cells that are too small, into their neighbours."""
    pieces, owner = _pieces(labels)
    area = np.bincount(pieces.ravel())
    largest = np.zeros(labels.max() + 1, np.int64)
    np.maximum.at(largest, owner, area)
    small = (area < largest[owner]) & (area < _FRAGMENT_AREA * grid.area_px)
    small |= np.bincount(labels.ravel())[owner] < _LEAST_AREA * grid.area_px
    if small.all():
        return labels
    return fill_unlabelled(np.where(small[pieces], -1, labels).astype(np.int32))


def _pieces(labels: Labels) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the connected pieces of equal label, `(H, W)` from 0, and the label of each piece."""
    pieces = np.asarray(measure.label(labels, background=-1, connectivity=1), np.int32) - 1  # type: ignore[no-untyped-call]
    owner = np.zeros(pieces.max() + 1, np.int32)
    owner[pieces.ravel()] = labels.ravel()
    return pieces, owner


def _split_large(labels: Labels, grid: _Grid) -> Labels:
    """Split cells that are too large across their longer axis; the half nearer to the top left keeps the number."""
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
        positions = np.argwhere(inside).astype(np.float64)
        off = positions - positions.mean(0)
        axis = cv2.eigen(off.T @ off)[2][0]
        axis = axis * (1 if axis[np.argmax(np.abs(axis))] > 0 else -1)
        number = next(unused, None)
        part = split[box]
        part[inside] = np.where(off @ axis > 0, next(free) if number is None else number, cell)
    return split
