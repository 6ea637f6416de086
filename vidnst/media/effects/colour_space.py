"""Float images and CIELAB, in which the effects compute."""

from collections.abc import Sequence
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import color

FloatImage: TypeAlias = NDArray[np.float32]
"""`(H, W, 3)` float32 sRGB in [0, 1], RGB order, C-contiguous."""


def to_lab(image: FloatImage) -> NDArray[np.float32]:
    """Convert to `(H, W, 3)` CIELAB (D65): L in [0, 100], a and b about [-128, 127]."""
    return np.asarray(color.rgb2lab(image), np.float32)  # OpenCV's tables are off by half a unit


def from_lab(lab: NDArray[np.float32]) -> FloatImage:
    """Invert `to_lab`, clipped to [0, 1]."""
    return np.clip(np.asarray(color.lab2rgb(lab), np.float32), 0, 1)


def sample_pixels(
    images: Sequence[NDArray[np.float32]], count: int, random: np.random.Generator
) -> NDArray[np.float32]:
    """Draw about `count` pixels, `(N, 3)`, without replacement, the same number from each `(H, W, 3)` image."""
    each = max(1, count // len(images))
    flat = [image.reshape(-1, 3) for image in images]
    return np.concatenate(
        [pixels[random.choice(len(pixels), min(each, len(pixels)), replace=False)] for pixels in flat]
    )


def shrink_image(image: FloatImage, longest_side: int) -> FloatImage:
    """Shrink an image to at most `longest_side` pixels, averaged over areas."""
    height, width = image.shape[:2]
    scale = longest_side / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)
