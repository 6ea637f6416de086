"""Transparency of a source: laid over a background as frames are read, and given back to finished frames.

Alpha is straight: colours are not multiplied by it. What is painted is the picture over the background; `uncovered`
finds the colours that show that same picture when they are laid over the background with the source's alpha.
"""

from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from vidnst.frames import AlphaPlane, Pixels, Rgb

AlphaPlanes: TypeAlias = Callable[[], Generator[AlphaPlane, None, None]]
"""Opens the alpha of consecutive frames, of the frames' size; each call begins with the first."""

_ROWS_AT_ONCE = 256
"""Rows converted at once: floating-point copies of a large frame would take gigabytes."""


def row_blocks(rows: int) -> Iterator[slice]:
    """Split rows into blocks."""
    return (slice(first, first + _ROWS_AT_ONCE) for first in range(0, rows, _ROWS_AT_ONCE))


def over_background(pixels: Pixels, alpha: AlphaPlane, background: Rgb) -> Pixels:
    """Lay `(H, W, 3)` pixels of straight alpha over a plain colour, rounded to nearest.

    Args:
        alpha: `(H, W)`, of the type of the pixels; its largest value is opaque.
        background: red, green and blue, 0 to 255.
    """
    largest = int(np.iinfo(pixels.dtype).max)
    if (alpha == largest).all():
        return pixels
    below = np.array(background, np.uint64) * np.uint64(largest // 255)
    result = np.empty_like(pixels)
    for rows in row_blocks(len(pixels)):
        share = alpha[rows, :, None].astype(np.uint64)
        result[rows] = (pixels[rows] * share + below * (largest - share) + largest // 2) // largest
    return result


def uncovered(pixels: Pixels, alpha: AlphaPlane, background: Rgb) -> Pixels:
    """Return the colours that look like `pixels` when they are laid over a background, as far as there are any.

    Args:
        pixels: `(H, W, 3)`, the picture over the background.
        alpha: `(H, W)`, of the type of the pixels.
        background: red, green and blue, 0 to 255.
    """
    largest = np.float32(np.iinfo(pixels.dtype).max)
    below = np.array(background, np.float32) * (largest / 255)
    result = pixels.copy()
    for rows in row_blocks(len(pixels)):
        share = alpha[rows, :, None].astype(np.float32) / largest
        mixed = (share > 0) & (share < 1)
        seen: NDArray[Any] = pixels[rows].astype(np.float32)
        colours = below + (seen - below) / np.where(mixed, share, np.float32(1))
        result[rows] = np.where(mixed, np.rint(np.clip(colours, 0, largest)), seen).astype(pixels.dtype)
    return result


def alpha_bits(alpha: AlphaPlane, bits: int) -> AlphaPlane:
    """Convert alpha to 8 or 16 bits, rounded to nearest."""
    if bits == 16:
        return alpha.astype(np.uint16) * np.uint16(257) if alpha.dtype == np.uint8 else alpha
    return ((alpha.astype(np.uint32) + 128) // 257).astype(np.uint8) if alpha.dtype == np.uint16 else alpha


def three_channels(alpha: AlphaPlane) -> Pixels:
    """Return alpha as `(H, W, 3)`, three equal channels, so that it is resized and aligned like a frame."""
    return cast(Pixels, np.repeat(alpha[..., None], 3, axis=2))
