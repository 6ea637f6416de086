"""How steady a clip is: warping errors in the published definitions, from one function."""

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.motion.flow import Flow, sampling_grid
from vidnst.motion.warp import enlarge


def warp_error(
    current: NDArray[np.float32],
    previous: NDArray[np.float32],
    flow: Flow,
    *,
    norm: Literal["valid", "all"] = "valid",
    root: bool = False,
) -> float:
    """Squared difference between a picture and an earlier one fetched onto it, where the flow is valid.

    With M the validity, W the bilinear warp and D = H * W * C:

    - `norm="valid"`: `sum M (W(previous) - current)^2 / sum M`, the form of Lai 2018. Lai warps the later frame back
      to the earlier one; here the earlier is always fetched forward.
    - `norm="all"`: the same sum over D: Ruder 2016.
    - `root=True`: the square root. Huang 2017 and ReCoNet 2018 take it after the mean over a clip's frames, so for
      their number average this function's `norm="all"` values and take the root of that.

    Args:
        current: `(H, W, C)` float32 in [0, 1].
        previous: the same shape.
        flow: from the current frame into the previous one, found on the *source* frames.

    Returns:
        The error; with nothing valid, the mean over all pixels (Lai's rule).
    """
    height, width, channels = current.shape
    vectors_px, validity = enlarge(flow, height, width)
    x, y = sampling_grid(vectors_px)
    warped = cv2.remap(previous, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    mask = (validity >= 0.999)[..., None]
    squared = np.square(warped.reshape(current.shape).astype(np.float64) - current)
    if norm == "valid" and mask.any():
        error = float((squared * mask).sum() / (mask.sum() * channels))
    elif norm == "valid":
        error = float(squared.mean())
    else:
        error = float((squared * mask).sum() / squared.size)
    return float(np.sqrt(error)) if root else error
