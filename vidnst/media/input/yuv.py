"""YUV to R'G'B' in floating point: swscale's conversion to 16-bit RGB is wrong by up to four of 1024 levels.

The equations are those of ITU-T H.273, section 8.3: luma is Kr R' + (1 - Kr - Kb) G' + Kb B', and the chroma planes are
the scaled differences of B' and R' from it.
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

LUMA_SHARES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "bt709": (0.2126, 0.0722),
        "bt470bg": (0.299, 0.114),
        "smpte170m": (0.299, 0.114),
        "fcc": (0.30, 0.11),
        "smpte240m": (0.212, 0.087),
        "bt2020nc": (0.2627, 0.0593),
        "bt2020c": (0.2627, 0.0593),
    }
)
"""Kr and Kb of each matrix. Constant luminance (bt2020c) is treated like non-constant, as players do."""


def rgb_from_yuv(
    planes: NDArray[np.uint16], matrix: str, *, full_range: bool = False, bits: int = 16
) -> NDArray[np.float32]:
    """Convert three planes to gamma-encoded RGB.

    Args:
        planes: `(3, H, W)` uint16 Y, Cb, Cr, shifted to the upper bits of 16.
        matrix: a key of `LUMA_SHARES`.
        full_range: True if the codes use the full range.
        bits: the bits per channel before the shift, which decide the largest code of the full range.

    Returns:
        `(H, W, 3)` float32; nominally 0 to 1, but codes outside the nominal range lead outside of it.
    """
    largest = ((1 << bits) - 1) << (16 - bits)
    zero, luma_range, chroma_range = (0, largest, largest) if full_range else (16 << 8, 219 << 8, 224 << 8)
    luma, blue, red = (plane.astype(np.float32) for plane in planes)
    luma = (luma - zero) / np.float32(luma_range)
    red_share, blue_share = LUMA_SHARES[matrix]
    r = luma + np.float32(2 * (1 - red_share) / chroma_range) * (red - 32768)
    b = luma + np.float32(2 * (1 - blue_share) / chroma_range) * (blue - 32768)
    g = (luma - np.float32(red_share) * r - np.float32(blue_share) * b) / np.float32(1 - red_share - blue_share)
    return np.stack([r, g, b], axis=-1)
