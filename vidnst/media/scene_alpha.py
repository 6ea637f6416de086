"""Alpha of compositors' frames. In EXR files colours are multiplied by it (OpenEXR's technical introduction), which is
undone before they become display values, and done once more when they are written."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidnst.frames import AlphaPlane

_LEVELS = np.float32(65535)


def alpha_levels(alpha: NDArray[Any]) -> NDArray[np.uint16]:
    """Quantise alpha, of which 1 is opaque, to uint16, clipped; what is no number is transparent."""
    known = np.nan_to_num(alpha.astype(np.float32), nan=0, posinf=1, neginf=0)
    levels: NDArray[np.uint16] = np.rint(np.clip(known, 0, 1) * _LEVELS).astype(np.uint16)
    return levels


def separated(colours: NDArray[Any], alpha: NDArray[Any]) -> tuple[NDArray[np.float32], int]:
    """Divide finite colours by their alpha.

    Args:
        colours: `(H, W, 3)`, multiplied by alpha.
        alpha: `(H, W)`, as the file holds it; above 1 it counts as 1.

    Returns:
        Straight colours, black where all is transparent, and the number of pixels there that have light nevertheless.
    """
    share = np.clip(np.nan_to_num(alpha.astype(np.float32), nan=0, posinf=1, neginf=0), 0, 1)
    # What becomes fully transparent when alpha is quantised has no colour that could be painted.
    visible = alpha_levels(share) > 0
    straight = colours.astype(np.float32) / np.where(visible, share, np.float32(1))[..., None]
    glowing = int(np.count_nonzero(~visible & (colours != 0).any(axis=2)))
    return np.where(visible[..., None], straight, np.float32(0)), glowing


def premultiplied(colours: NDArray[np.float16], alpha: AlphaPlane) -> NDArray[np.float16]:
    """Return `(H, W, 4)` half floats: straight colours multiplied by alpha, and alpha itself."""
    share = alpha.astype(np.float32) / np.float32(np.iinfo(alpha.dtype).max)
    return np.dstack([colours.astype(np.float32) * share[..., None], share]).astype(np.float16)
