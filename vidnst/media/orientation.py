"""The eight orientations of stored pictures, by EXIF's numbers: what turns and flips them upright."""

from collections.abc import Sequence
from typing import Any

import cv2
from numpy.typing import NDArray

_CLOCKWISE_DEGREES = {1: 0, 2: 0, 3: 180, 4: 180, 5: 270, 6: 90, 7: 90, 8: 270}
_ROTATIONS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def orientation_of(matrix: Sequence[float]) -> int:
    """Return the orientation of a display matrix: nine numbers a, b, u, c, d, v, x, y, w.

    (a, b) is where the matrix puts the x axis and (c, d) the y axis; x points to the right and y down. The angle is
    rounded to a quarter turn.
    """
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    if abs(b) + abs(c) > abs(a) + abs(d):
        return {(True, True): 5, (True, False): 6, (False, False): 7, (False, True): 8}[b > 0, c > 0]
    return {(True, True): 1, (False, True): 2, (False, False): 3, (True, False): 4}[a >= 0, d >= 0]


def swaps_sides(orientation: int) -> bool:
    """Return whether width and height change places."""
    return orientation >= 5


def is_mirrored(orientation: int) -> bool:
    """Return whether the picture is flipped, not only turned."""
    return orientation in (2, 4, 5, 7)


def clockwise_degrees(orientation: int) -> int:
    """Return the clockwise turn, 0, 90, 180 or 270, that follows a flip from left to right, if it is mirrored."""
    return _CLOCKWISE_DEGREES[orientation]


def make_upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Flip and turn a stored picture, `(H, W)` or `(H, W, 3)`, uint8 or uint16."""
    if is_mirrored(orientation):
        pixels = cv2.flip(pixels, 1)
    degrees = clockwise_degrees(orientation)
    return cv2.rotate(pixels, _ROTATIONS[degrees]) if degrees else pixels
