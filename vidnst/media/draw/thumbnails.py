"""JPEG thumbnails of bounded size for HTML pages."""

import cv2

from vidnst.errors import OutputError
from vidnst.frames import Pixels, to_bits

_QUALITIES = (84, 72, 58, 44, 30)


def encode_thumbnail(pixels: Pixels, *, longest_side: int, max_bytes: int) -> bytes:
    """Encode an image as a JPEG file, never enlarged.

    Args:
        pixels: `(H, W, 3)` uint8 or uint16 sRGB, RGB order.
        longest_side: largest width and height in pixels.
        max_bytes: largest file; quality, and then size, are reduced until it fits.

    Raises:
        OutputError: OpenCV cannot encode the image.
    """
    small = _shrink(to_bits(pixels, 8), longest_side)
    while True:
        for quality in _QUALITIES:
            done, data = cv2.imencode(
                ".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
            )
            if not done:
                raise OutputError(f"an image of {small.shape[1]}x{small.shape[0]} pixels cannot be encoded as JPEG")
            if len(data) <= max_bytes:
                return data.tobytes()
        if max(small.shape[:2]) <= 32:
            return data.tobytes()
        small = _shrink(small, max(small.shape[:2]) * 3 // 4)


def _shrink(pixels: Pixels, longest_side: int) -> Pixels:
    """Shrink an image to at most `longest_side` pixels in the same proportions; returns small images unchanged."""
    height, width = pixels.shape[:2]
    if max(height, width) <= longest_side:
        return pixels
    size = (
        max(1, round(width * longest_side / max(height, width))),
        max(1, round(height * longest_side / max(height, width))),
    )
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]
