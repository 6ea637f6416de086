"""Fetching a picture along a flow."""

from dataclasses import dataclass

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
    at = places(flow, *picture.shape[:2])
    channels = np.ascontiguousarray(picture.transpose(2, 0, 1))
    return np.ascontiguousarray(fetch(channels, at).transpose(1, 2, 0)), at.valid


@dataclass(frozen=True, slots=True)
class SamplingGrid:
    """Where each pixel of a frame is found in a reference picture of some size: a flow, ready for use."""

    x: NDArray[np.float32]
    """`(H, W)`, in pixels from the left."""
    y: NDArray[np.float32]
    """`(H, W)`, in pixels from the top."""
    valid: NDArray[np.float32]
    """`(H, W)` in [0, 1]: how far that is trusted."""


def places(flow: Flow, height: int, width: int) -> SamplingGrid:
    """A flow of any size of the same aspect for pictures of this one; made once for all that is fetched along it."""
    vectors_px, valid = enlarge(flow, height, width)
    return SamplingGrid(*sampling_grid(vectors_px), valid)


def fetch(channels: NDArray[np.float32], at: SamplingGrid) -> NDArray[np.float32]:
    """A picture, channel by channel, fetched onto the frame as `warp` does it; OpenCV needs half the time for that.

    Args:
        channels: `(C, H, W)` float32 in [0, 1].
        at: of the same size.

    Returns:
        The same shape.
    """
    fetched = np.empty_like(channels)
    for channel, result in zip(channels, fetched, strict=True):
        cv2.remap(channel, at.x, at.y, cv2.INTER_CUBIC, dst=result, borderMode=cv2.BORDER_REPLICATE)
    return np.clip(fetched, 0, 1, out=fetched)


def enlarge(flow: Flow, height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Vectors `(height, width, 2)` in pixels of that size, and validity `(height, width)` float32 in [0, 1]."""
    valid = flow.valid.astype(np.float32) / np.float32(255)
    small_height, small_width = valid.shape
    if (small_height, small_width) == (height, width):
        return flow.vectors_px, valid
    vectors_px = np.asarray(cv2.resize(flow.vectors_px, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    across, down = np.float32(width / small_width), np.float32(height / small_height)
    if across == down:
        vectors_px *= across  # in one go: NumPy takes several times as long for every second number
    else:
        vectors_px[..., 0] *= across
        vectors_px[..., 1] *= down
    valid_large = cv2.resize(valid, (width, height), interpolation=cv2.INTER_LINEAR)
    return vectors_px, np.asarray(valid_large, np.float32)
