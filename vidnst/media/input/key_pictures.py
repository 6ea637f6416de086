"""Pixels of frames that a person has painted, and where they are opaque."""

import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.errors import SourceError
from vidnst.frames import Pixels
from vidnst.media.images import read_image, read_image_alpha
from vidnst.media.input.alpha import alpha_bits

_OPAQUE = 254
"""Least alpha of 255 that counts as opaque: lossy formats miss the largest by a level."""
_WHOLE = 1 - 1e-3
"""Share of a pixel that must be opaque after resizing."""


def read_key_picture(path: Path) -> tuple[Pixels, NDArray[np.bool_] | None]:
    """Return a picture `(H, W, 3)` and where it is opaque, `(H, W)`; None for everywhere.

    Raises:
        SourceError: it is no file, as a device and a pipe are, or it cannot be read.
    """
    if not os.path.isfile(path):  # False, too, for names that no system has
        raise SourceError(f"there is no key {path}", "check the path")
    alpha = read_image_alpha(path)
    opaque = None if alpha is None else alpha_bits(alpha, 8) >= _OPAQUE
    return read_image(path), None if opaque is None or opaque.all() else opaque


def fit_key_picture(
    pixels: Pixels, opaque: NDArray[np.bool_] | None, size: tuple[int, int]
) -> tuple[Pixels, NDArray[np.bool_] | None]:
    """Resize a key to a width and height in pixels; only what comes from opaque pixels alone stays opaque."""
    width = pixels.shape[1]
    if (width, pixels.shape[0]) == size:
        return pixels, opaque
    enlarges = size[0] > width
    fitted = cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC if enlarges else cv2.INTER_AREA)
    if opaque is not None:
        way = cv2.INTER_LINEAR if enlarges else cv2.INTER_AREA
        opaque = cv2.resize(opaque.astype(np.float32), size, interpolation=way) > _WHOLE
    return fitted, opaque  # type: ignore[return-value]
