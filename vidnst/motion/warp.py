"""Fetching a picture along a flow."""

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.motion.flow import Flow, sampling_grid


def warp(picture: NDArray[np.float32], flow: Flow) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fetch `picture`, which lies on the flow's reference, onto the flow's frame.

    Bicubic, since a chain of frames resamples the same stroke again and again and bilinear sampling would blur it a
    little every time; what bicubic overshoots is clamped. A flow smaller than the picture is enlarged first.

    Args:
        picture: `(H, W, C)` float32 in [0, 1].
        flow: from the frame into the picture's own frame, at any size of the same aspect.

    Returns:
        The warped picture, `(H, W, C)` float32 in [0, 1], and its validity, `(H, W)` float32 in [0, 1]. Where it is
        not valid the warped picture holds whatever the vectors pointed to.
    """
    height, width = picture.shape[:2]
    vectors_px, valid = enlarge(flow, height, width)
    x, y = sampling_grid(vectors_px)
    warped = np.asarray(cv2.remap(picture, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.float32)
    return np.clip(warped, 0, 1).reshape(picture.shape), valid


def enlarge(flow: Flow, height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Vectors `(height, width, 2)` in pixels of that size, and validity `(height, width)` float32 in [0, 1]."""
    valid = flow.valid.astype(np.float32) / np.float32(255)
    small_height, small_width = valid.shape
    if (small_height, small_width) == (height, width):
        return flow.vectors_px, valid
    scale = np.array([width / small_width, height / small_height], np.float32)
    vectors_px = cv2.resize(flow.vectors_px, (width, height), interpolation=cv2.INTER_LINEAR) * scale
    valid_large = cv2.resize(valid, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(vectors_px, np.float32), np.asarray(valid_large, np.float32)
