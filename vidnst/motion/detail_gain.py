"""Giving back the fine detail that a blend of warped pictures has lost.

Strokes of two pictures that do not quite agree lose contrast where they are averaged, and interpolation blurs them a
little more. What they agree in is all there, only too weak; so each band of fine detail is raised to the contrast that
the pictures have themselves. (Heitz & Neyret 2018, "High-Performance By-Example Noise using a Histogram-Preserving
Blending Operator", keep the variance of blended textures by the weights alone; here it is measured, place by place.)
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

BANDS = (1.0, 2.0)
"""Standard deviations, in pixels, of the blurs between which a band of detail lies, from the finest."""
WINDOW = 0.12
"""Side of the window over which contrast is measured, as a share of the picture's width."""
LARGEST_GAIN = 1.6
"""Factor that detail is raised by at most."""
NO_CONTRAST = 1e-7
"""Mean square that is added to both of two contrasts before they are compared: where there is none, none is made."""


def window_side_px(width: int) -> int:
    """Side of the window for a picture of this width, an odd number of pixels."""
    return 2 * max(1, round(WINDOW * width / 2)) + 1


def contrast(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean square of each band of detail around every pixel: `(2, H, W)` float32 of a `(3, H, W)` picture."""
    bands = np.empty((len(BANDS) + 1, *picture.shape[1:]), np.float32)
    squares = np.zeros_like(bands[:-1])
    for plane in picture:
        _split(plane, bands)
        squares += np.square(bands[:-1], out=bands[:-1])
    return _around(squares)


def raise_detail(
    picture: NDArray[np.float32], wanted: NDArray[np.float32], most: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The picture with its detail at the contrast that is wanted; where it has more, it keeps it.

    Args:
        picture: `(3, H, W)` float32 in [0, 1].
        wanted: as `contrast` gives it.
        most: `(H, W)` at least 1: see `most_lost`.

    Returns:
        `(3, H, W)` float32 in [0, 1].
    """
    split = np.empty((3, len(BANDS) + 1, *picture.shape[1:]), np.float32)
    squares, square = np.zeros_like(wanted), np.empty_like(wanted)
    for plane, bands in zip(picture, split, strict=True):
        _split(plane, bands)
        squares += np.square(bands[:-1], out=square)
    gains = np.minimum(_gains(wanted, _around(squares)), most)
    result = np.empty_like(picture)
    for bands, plane in zip(split, result, strict=True):
        bands[:-1] *= gains
        raised = bands[-1]
        for band in bands[:-1]:
            raised += band
        np.clip(raised, 0, 1, out=plane)
    return result


def most_lost(shares: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """How many times weaker detail can have become at each place by blending: `(H, W)`, at least 1.

    That is what pictures without anything in common lose, whose variances add up by the squares of their shares (the
    weights of Heitz & Neyret 2018). Where one picture alone counts nothing is lost; raised there all the same, pass
    by pass, the seams along what comes into view became rows of dots.

    Args:
        shares: of each picture, `(H, W)`; they add up to 1.
    """
    kept = np.sum([np.square(share) for share in shares], axis=0)
    return np.asarray(1 / np.sqrt(np.clip(kept, 1 / len(shares), 1)), np.float32)


def _gains(wanted: NDArray[np.float32], there: NDArray[np.float32]) -> NDArray[np.float32]:
    there += np.float32(NO_CONTRAST)
    np.divide(wanted + np.float32(NO_CONTRAST), there, out=there)
    return np.clip(np.sqrt(there, out=there), 1, LARGEST_GAIN, out=there)


def _split(plane: NDArray[np.float32], into: NDArray[np.float32]) -> None:
    """Bands of detail of a channel `(H, W)`, from the finest, and last what is left without them.

    They are written into one array `(bands + 1, H, W)`: most of the time of many small ones went into new pages.
    """
    for number, deviation_px in enumerate(BANDS):
        band, blurred = into[number : number + 2]
        cv2.GaussianBlur(plane, (0, 0), deviation_px, dst=blurred)
        np.subtract(plane, blurred, out=band)
        plane = blurred


def _around(squares: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means over the window, and over the three channels that the squares were added up over, of each band."""
    side = window_side_px(squares.shape[2])
    squares /= np.float32(3)
    means = np.empty_like(squares)
    for band, mean in zip(squares, means, strict=True):
        cv2.blur(band, (side, side), dst=mean)
    return means
