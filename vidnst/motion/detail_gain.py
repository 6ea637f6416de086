"""Restoring the fine detail that a blend of warped pictures has lost.

Strokes of two pictures that do not quite agree lose contrast where they are averaged, and interpolation blurs them
further. What they agree in is still there, but too weak, so each band of fine detail is amplified to the contrast that
the pictures have themselves. Heitz & Neyret 2018, "High-Performance By-Example Noise using a Histogram-Preserving
Blending Operator", preserve the variance of blended textures by the weights alone; here it is measured locally.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

BAND_SIGMAS_PX = (1.0, 2.0)
"""Standard deviations of the successive blurs between which the bands of detail lie, from the finest."""
WINDOW_SHARE = 0.12
"""Side of the window in which contrast is measured, as a share of the picture's width."""
MAX_GAIN = 1.6
CONTRAST_FLOOR = 1e-7
"""Mean square added to both of two contrasts before they are compared, so that flat areas are not amplified."""


def window_side_px(width: int) -> int:
    """Return the side of the contrast window for a picture of this width, an odd number of pixels."""
    return 2 * max(1, round(WINDOW_SHARE * width / 2)) + 1


def band_contrast(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Measure the mean square of each band of detail around every pixel: `(2, H, W)` of a `(3, H, W)` picture."""
    bands = np.empty((len(BAND_SIGMAS_PX) + 1, *picture.shape[1:]), np.float32)
    squares = np.zeros_like(bands[:-1])
    for plane in picture:
        _split_bands(plane, bands)
        squares += np.square(bands[:-1], out=bands[:-1])
    return _window_means(squares)


def restore_detail(
    picture: NDArray[np.float32], contrast: NDArray[np.float32], max_gain: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Amplify a picture's detail up to a given contrast; it is never attenuated.

    Args:
        picture: `(3, H, W)` float32 in [0, 1].
        contrast: the target, as `band_contrast` returns it.
        max_gain: `(H, W)`, at least 1: see `blend_attenuation`.

    Returns:
        `(3, H, W)` float32 in [0, 1].
    """
    split = np.empty((3, len(BAND_SIGMAS_PX) + 1, *picture.shape[1:]), np.float32)
    squares, square = np.zeros_like(contrast), np.empty_like(contrast)
    for plane, bands in zip(picture, split, strict=True):
        _split_bands(plane, bands)
        squares += np.square(bands[:-1], out=square)
    gains = np.minimum(_gains(contrast, _window_means(squares)), max_gain)
    restored = np.empty_like(picture)
    for bands, plane in zip(split, restored, strict=True):
        bands[:-1] *= gains
        total = bands[-1]
        for band in bands[:-1]:
            total += band
        np.clip(total, 0, 1, out=plane)
    return restored


def blend_attenuation(shares: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Compute the largest factor by which blending can have weakened detail: `(H, W)`, at least 1.

    It is 1 / sqrt(sum of squared shares), the loss of pictures that have nothing in common (the weights of Heitz &
    Neyret 2018). Where a single picture counts nothing is lost; amplified there nevertheless, pass by pass, the seams
    along disoccluded areas became rows of dots.

    Args:
        shares: the weight of each picture, `(H, W)`; they add up to 1.
    """
    squares = np.sum([np.square(share) for share in shares], axis=0)
    return np.asarray(1 / np.sqrt(np.clip(squares, 1 / len(shares), 1)), np.float32)


def _gains(target: NDArray[np.float32], contrast: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the gain of each band; overwrites `contrast`."""
    contrast += np.float32(CONTRAST_FLOOR)
    np.divide(target + np.float32(CONTRAST_FLOOR), contrast, out=contrast)
    return np.clip(np.sqrt(contrast, out=contrast), 1, MAX_GAIN, out=contrast)


def _split_bands(plane: NDArray[np.float32], bands: NDArray[np.float32]) -> None:
    """Split a channel `(H, W)` into bands of detail, from the finest, and the remaining blur as the last.

    They are written into one array `(bands + 1, H, W)`: many small arrays spent most of the time on page faults.
    """
    for number, sigma_px in enumerate(BAND_SIGMAS_PX):
        band, blurred = bands[number : number + 2]
        cv2.GaussianBlur(plane, (0, 0), sigma_px, dst=blurred)
        np.subtract(plane, blurred, out=band)
        plane = blurred


def _window_means(squares: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average each band over the window and over the three channels, of which it is the sum; overwrites `squares`."""
    side = window_side_px(squares.shape[2])
    squares /= np.float32(3)
    means = np.empty_like(squares)
    for band, mean in zip(squares, means, strict=True):
        cv2.blur(band, (side, side), dst=mean)
    return means
