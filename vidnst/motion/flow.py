"""Optical flow between source frames, and where it can be trusted."""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.frames import Pixels

_PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}


@dataclass(frozen=True, slots=True)
class Flow:
    """Where each pixel of a frame was (or will be) in a reference picture.

    May be smaller than the frame: vectors are then enlarged, and scaled, when they are used.
    """

    vectors_px: NDArray[np.float32]
    """`(h, w, 2)` float32, x then y, in pixels of its own size: frame(p) shows what reference(p + vectors[p]) shows."""
    valid: NDArray[np.uint8]
    """`(h, w)` uint8, 255 where the vector is trusted and 0 where it is not (occluded, out of frame, inconsistent)."""


def estimate_flow(
    frame: Pixels,
    reference: Pixels,
    *,
    preset: Literal["ultrafast", "fast", "medium"] = "medium",
    size: int = 640,
    consistency: float = 0.01,
    slack_px: float = 0.5,
) -> Flow:
    """Flow from `frame` into `reference` by DIS, checked against the flow back.

    Args:
        frame: `(H, W, 3)` uint8 or uint16 sRGB.
        reference: the same shape.
        preset: effort of DIS (Kroeger 2016).
        size: longest side at which it is computed, in pixels.
        consistency, slack_px: a vector w with backward flow w' at its end is trusted where
            `|w + w'|^2 <= consistency * (|w|^2 + |w'|^2) + slack_px` (Sundaram 2010, equation 5).
            Their second condition, on motion boundaries, is left out: it removes the steadiest pixels of slow pans.
    """
    small_frame, small_reference = _grey(frame, size), _grey(reference, size)
    forward = _dis(small_frame, small_reference, preset)
    backward = _dis(small_reference, small_frame, preset)
    return Flow(forward, _consistent(forward, backward, consistency, slack_px))


def _grey(pixels: Pixels, size: int) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    scale = size / max(height, width)
    if scale < 1:
        shape = (max(1, round(width * scale)), max(1, round(height * scale)))
        grey = cv2.resize(grey, shape, interpolation=cv2.INTER_AREA)
    return grey.astype(np.uint8, copy=False)


def _dis(frame: NDArray[np.uint8], reference: NDArray[np.uint8], preset: str) -> NDArray[np.float32]:
    if min(frame.shape) < 16:  # DIS matches 8x8 patches over several scales and asserts on less
        return np.zeros((*frame.shape, 2), np.float32)
    start = np.zeros((*frame.shape, 2), np.float32)
    flow = cv2.DISOpticalFlow.create(_PRESETS[preset]).calc(frame, reference, start)
    return np.asarray(flow, np.float32)


def sampling_grid(vectors_px: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Absolute x and y positions, each `(h, w)` float32, that the vectors point to."""
    height, width = vectors_px.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return x + vectors_px[..., 0], y + vectors_px[..., 1]


def _consistent(
    forward: NDArray[np.float32], backward: NDArray[np.float32], consistency: float, slack_px: float
) -> NDArray[np.uint8]:
    height, width = forward.shape[:2]
    x, y = sampling_grid(forward)
    back = cv2.remap(backward, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    mismatch = np.square(forward + back).sum(-1)
    allowed = consistency * (np.square(forward).sum(-1) + np.square(back).sum(-1)) + slack_px
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return np.where((mismatch <= allowed) & inside, 255, 0).astype(np.uint8)
