"""Masks of a shot's first frame, tracked through the shot along the optical flow."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.config import MotionConfig
from vidnst.frames import Pixels, upper_8_bits
from vidnst.motion.flow import Flow, FlowPair, compose_pairs, estimate_pair, shrink
from vidnst.motion.warp import warp

_MATCH_LEVELS = 24.0
"""Difference, in levels of 255, up to which a pixel is believed to show the same in another frame."""
_MIN_FIRST_SHARE = 0.05
"""Share of a frame that must still match the first one; below it the first frame is no longer used."""
_FILL_SIDE_PX = 320
"""Longest side at which unknown pixels are filled in."""
_FILL_REACH = 0.06
"""Distance of the farthest neighbours that vote, as a share of the longest side."""
_FILL_STEPS = 6
"""Number of neighbours in each direction up to that distance."""
_FILL_CONTRAST = 3.0
"""Slope by which the vote of the neighbours becomes a mask value."""
_FILL_LEVELS = 12.0
"""Difference of colour, in levels of 255, at which a neighbour's vote counts e^-1/2 as much."""


class MaskTracker:
    """Tracks the masks of a shot from frame to frame.

    A pixel takes its mask from the first frame where the flow leads there and the picture looks the same, which does
    not drift and keeps edges sharp; otherwise from the previous frame in the same way. Disoccluded pixels take it from
    neighbours of their own colour: behind a moving object these show the background.

    Args:
        frame: the first frame, `(H, W, 3)` uint8 or uint16.
        masks: its masks, `(H, W)` uint8, 255 inside.
        config: settings of the flow estimate.
    """

    def __init__(self, frame: Pixels, masks: Sequence[NDArray[np.uint8]], config: MotionConfig) -> None:
        self._config = config
        self._first = self._previous = frame
        self._first_masks = self._masks = [mask.astype(np.float32) / np.float32(255) for mask in masks]
        self._to_first: FlowPair | None = None
        self._first_lost = False

    def step(self, frame: Pixels) -> list[NDArray[np.uint8]]:
        """Return the masks of the next frame, `(H, W)` uint8 each."""
        to_previous = estimate_pair(frame, self._previous, self._config)
        masks = self._from_previous(frame, to_previous.forward)
        if not self._first_lost:
            masks = self._from_first(frame, to_previous, masks)
        self._previous, self._masks = frame, masks
        return [np.rint(mask * 255).astype(np.uint8) for mask in masks]

    def _from_previous(self, frame: Pixels, flow: Flow) -> list[NDArray[np.float32]]:
        match = _match(frame, self._previous, flow)
        return [fill_unknown(_warp_mask(mask, flow), match, frame) for mask in self._masks]

    def _from_first(
        self, frame: Pixels, to_previous: FlowPair, masks: list[NDArray[np.float32]]
    ) -> list[NDArray[np.float32]]:
        """Replace the masks where the frame matches the first one."""
        if self._previous is self._first:
            self._to_first = to_previous
        else:
            guess = to_previous if self._to_first is None else compose_pairs(to_previous, self._to_first)
            self._to_first = estimate_pair(frame, self._first, self._config, guess=guess)
        flow = self._to_first.forward
        match = _match(frame, self._first, flow)
        self._first_lost = float(match.mean()) < _MIN_FIRST_SHARE
        return [
            match * _warp_mask(first, flow) + (1 - match) * other
            for first, other in zip(self._first_masks, masks, strict=True)
        ]


def _match(frame: Pixels, reference: Pixels, flow: Flow) -> NDArray[np.float32]:
    """Return `(H, W)` in [0, 1]: 1 where the flow is valid and the warped reference looks like the frame."""
    warped, valid = warp(upper_8_bits(reference).astype(np.float32) / np.float32(255), flow)
    difference = np.abs(upper_8_bits(frame).astype(np.float32) - warped * 255).max(axis=-1)
    smooth = np.asarray(cv2.blur(difference, (5, 5)), np.float32)
    return np.asarray(valid * np.clip(2 - smooth / _MATCH_LEVELS, 0, 1), np.float32)


def _warp_mask(mask: NDArray[np.float32], flow: Flow) -> NDArray[np.float32]:
    return warp(mask[..., None], flow)[0][..., 0]


def fill_unknown(mask: NDArray[np.float32], valid: NDArray[np.float32], frame: Pixels) -> NDArray[np.float32]:
    """Fill the unknown pixels of a mask by a vote of known neighbours, weighted by similar colour and distance.

    Args:
        mask: `(H, W)` in [0, 1].
        valid: `(H, W)` in [0, 1], 1 where the mask is known.
        frame: `(H, W, 3)` uint8 or uint16, for the colours.

    Returns:
        `(H, W)` in [0, 1]; pixels without a known neighbour within reach are unchanged.
    """
    small = shrink(upper_8_bits(frame), _FILL_SIDE_PX)
    size = (small.shape[1], small.shape[0])
    known = np.asarray(cv2.resize(valid, size, interpolation=cv2.INTER_AREA), np.float32) > 0.99
    rows, columns = np.nonzero(~known)
    if not rows.size or not known.any():
        return mask
    coarse = np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA), np.float32)
    colours = small.astype(np.float32)
    total, weight = np.zeros(rows.size, np.float32), np.zeros(rows.size, np.float32)
    step = max(1.0, _FILL_REACH * max(size) / _FILL_STEPS)
    for down in range(-_FILL_STEPS, _FILL_STEPS + 1):
        for across in range(-_FILL_STEPS, _FILL_STEPS + 1):
            y = np.clip(rows + round(down * step), 0, size[1] - 1)
            x = np.clip(columns + round(across * step), 0, size[0] - 1)
            colour_distance = np.square(colours[y, x] - colours[rows, columns]).mean(axis=-1) / _FILL_LEVELS**2
            distance = (down**2 + across**2) / _FILL_STEPS**2
            share = known[y, x] * np.exp(-colour_distance / 2 - 2 * distance)
            total, weight = total + share * coarse[y, x], weight + share
    # A pixel is inside or outside: the plain mean of the votes would put a haze around moving objects.
    vote = np.clip((total / np.maximum(weight, 1e-6) - 0.5) * _FILL_CONTRAST + 0.5, 0, 1)
    filled = coarse.copy()
    filled[rows, columns] = np.where(weight > 1e-6, vote, coarse[rows, columns])
    large = np.asarray(cv2.resize(filled, (mask.shape[1], mask.shape[0]), interpolation=cv2.INTER_LINEAR), np.float32)
    return np.clip(valid * mask + (1 - valid) * large, 0, 1).astype(np.float32, copy=False)
