"""Labels of pixels, carried from frame to frame along the optical flow."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Labels: TypeAlias = NDArray[np.int32]
"""`(H, W)` int32: the cell or colour of each pixel, from 0; below 0 where it is unknown."""


def warp_labels(before: Labels, vectors_px: NDArray[np.float32], valid: NDArray[np.bool_]) -> Labels:
    """Warp labels along the flow, to the nearest pixel; -1 where it is not trusted.

    Args:
        before: labels of the frame before.
        vectors_px: `(H, W, 2)`, x then y: this frame shows at p what the one before shows at p + vectors[p].
        valid: `(H, W)`, where the vectors are trusted.
    """
    height, width = before.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    at_x = np.rint(x + vectors_px[..., 0]).astype(np.intp)
    at_y = np.rint(y + vectors_px[..., 1]).astype(np.intp)
    inside = valid & (at_x >= 0) & (at_x < width) & (at_y >= 0) & (at_y < height)
    warped = np.full(before.shape, -1, np.int32)
    warped[inside] = before[at_y[inside], at_x[inside]]
    return warped


def fill_unlabelled(labels: Labels) -> Labels:
    """Replace missing labels (below 0) by that of the nearest labelled pixel; by 0 if there is none."""
    holes = labels < 0
    if not holes.any():
        return labels
    if holes.all():
        return np.zeros_like(labels)
    rows, columns = ndimage.distance_transform_edt(holes, return_distances=False, return_indices=True)
    return np.asarray(labels[rows, columns], np.int32)
