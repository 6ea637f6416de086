"""Giving back the fine detail that a blend of warped pictures has lost.

Strokes of two pictures that do not quite agree lose contrast where they are averaged, and interpolation blurs them a
little more. What they agree in is all there, only too weak; so each band of fine detail is raised to the contrast that
the pictures have themselves. (Heitz & Neyret 2018, "High-Performance By-Example Noise using a Histogram-Preserving
Blending Operator", keep the variance of blended textures by the weights alone; here it is measured, place by place.)
"""

import cv2
import numpy as np
from numpy.typing import NDArray

_BANDS = (1.0, 2.0)
"""Standard deviations, in pixels, of the blurs between which a band of detail lies, from the finest."""
_WINDOW = 0.12
"""Side of the window over which contrast is measured, as a share of the picture's width."""
_LARGEST_GAIN = 1.6
_NO_CONTRAST = 1e-7


def contrast(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean square of each band of detail around every pixel: `(H, W, 2)` float32 of an `(H, W, 3)` picture."""
    bands, _ = _split(picture)
    return np.stack([_around(np.square(band).mean(-1)) for band in bands], axis=-1)


def raise_detail(picture: NDArray[np.float32], wanted: NDArray[np.float32]) -> NDArray[np.float32]:
    """The picture with its detail at the contrast that is wanted; where it has more, it keeps it.

    Args:
        picture: `(H, W, 3)` float32 in [0, 1].
        wanted: as `contrast` gives it.

    Returns:
        `(H, W, 3)` float32 in [0, 1].
    """
    bands, raised = _split(picture)
    for number, band in enumerate(bands):
        there = _around(np.square(band).mean(-1))
        gain = np.sqrt((wanted[..., number] + _NO_CONTRAST) / (there + _NO_CONTRAST))
        raised = raised + band * np.clip(gain, 1, _LARGEST_GAIN)[..., None]
    return np.asarray(np.clip(raised, 0, 1), np.float32)


def _split(picture: NDArray[np.float32]) -> tuple[list[NDArray[np.float32]], NDArray[np.float32]]:
    """Bands of detail from the finest, and what is left without them."""
    bands = []
    for deviation_px in _BANDS:
        blurred = np.asarray(cv2.GaussianBlur(picture, (0, 0), deviation_px), np.float32)
        bands.append(picture - blurred)
        picture = blurred
    return bands, picture


def _around(values: NDArray[np.float32]) -> NDArray[np.float32]:
    side = 2 * max(1, round(_WINDOW * values.shape[1] / 2)) + 1
    return np.asarray(cv2.blur(values, (side, side)), np.float32)
