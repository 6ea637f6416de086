"""Colour spaces: what the finishing steps compute in."""

from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import color

from vidnst.frames import Pixels

Picture: TypeAlias = NDArray[np.float32]
"""`(H, W, 3)` float32 sRGB in [0, 1], RGB order, C-contiguous."""

LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Rec. 709 weights, for values as they are stored (gamma-encoded), as all luma of this package."""


def luma(picture: Picture) -> NDArray[np.float32]:
    """`(H, W)` Rec. 709 luma in [0, 1] of gamma-encoded values."""
    return np.asarray(picture @ LUMA, np.float32)


def to_lab(picture: Picture) -> NDArray[np.float32]:
    """`(H, W, 3)` CIELAB (D65): L in [0, 100], a and b about [-128, 127]."""
    return np.asarray(color.rgb2lab(picture), np.float32)  # OpenCV's tables are off by half a unit


def from_lab(lab: NDArray[np.float32]) -> Picture:
    """The inverse of `to_lab`, clipped to [0, 1]."""
    return np.clip(np.asarray(color.lab2rgb(lab), np.float32), 0, 1)


def to_pixels(picture: Picture, bits: int) -> Pixels:
    """Pixels of 8 or 16 bits, rounded to nearest and clipped."""
    top = (1 << bits) - 1
    levels = np.rint(np.clip(picture, 0, 1) * np.float32(top))
    pixels: Pixels = levels.astype(np.uint8) if bits == 8 else levels.astype(np.uint16)
    return pixels


def shrunk(picture: Picture, longest: int) -> Picture:
    """The picture with its longest side at most `longest` pixels, averaged over areas."""
    height, width = picture.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return picture
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)
