"""Colour spaces: what the finishing steps compute in."""

from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import color

FloatImage: TypeAlias = NDArray[np.float32]
"""`(H, W, 3)` float32 sRGB in [0, 1], RGB order, C-contiguous."""


def to_lab(picture: FloatImage) -> NDArray[np.float32]:
    """`(H, W, 3)` CIELAB (D65): L in [0, 100], a and b about [-128, 127]."""
    return np.asarray(color.rgb2lab(picture), np.float32)  # OpenCV's tables are off by half a unit


def from_lab(lab: NDArray[np.float32]) -> FloatImage:
    """The inverse of `to_lab`, clipped to [0, 1]."""
    return np.clip(np.asarray(color.lab2rgb(lab), np.float32), 0, 1)


def shrink_image(picture: FloatImage, longest: int) -> FloatImage:
    """The picture with its longest side at most `longest` pixels, averaged over areas."""
    height, width = picture.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return picture
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)
