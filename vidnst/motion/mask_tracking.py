"""Masks of the first frame of a shot, carried along by the optical flow."""

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.frames import Pixels, upper_8_bits
from vidnst.motion.compose import compose_pairs
from vidnst.motion.flow import Flow, FlowPair, estimate_pair, shrink
from vidnst.motion.warp import warp

_ALIKE_LEVELS = 24.0
"""Difference, in levels of 255, up to which a place is believed to show what it did in another frame."""
_LEAST_SHARE = 0.05
"""Share of a frame that must still be found in the first one for that to be looked for any longer."""
_FILL_SIDE_PX = 320
"""Longest side at which what comes into view is compared with what lies around it."""
_FILL_REACH = 0.06
"""How far around, as a share of the longest side."""
_FILL_STEPS = 6
"""Places looked at between a pixel and that distance."""
_FILL_CONTRAST = 3.0
"""How decidedly a place goes with the majority of its neighbours."""
_FILL_LEVELS = 12.0
"""Difference of colour, in levels of 255, at which a neighbour's word counts e^-1/2 as much."""


class Follower:
    """Carries masks from frame to frame of a shot.

    A place takes its mask from the first frame where the flow finds it there and it looks the same: that does not
    drift, and keeps edges sharp. Else it takes it from the frame before in the same way. What has just come into view
    takes it from neighbours of its own colour: along the back edge of what moves that is what lies behind.

    Args:
        frame: the first one, `(H, W, 3)` uint8 or uint16.
        masks: of it, `(H, W)` uint8, 255 inside.
        preset, size, consistency, slack_px: see `flow.estimate_pair`.
    """

    def __init__(
        self,
        frame: Pixels,
        masks: Sequence[NDArray[np.uint8]],
        *,
        preset: Literal["ultrafast", "fast", "medium"] = "medium",
        size: int = 640,
        consistency: float = 0.01,
        slack_px: float = 0.5,
    ) -> None:
        self._preset: Literal["ultrafast", "fast", "medium"] = preset
        self._size, self._consistency, self._slack_px = size, consistency, slack_px
        self._first = self._before = frame
        self._first_masks = self._masks = [mask.astype(np.float32) / np.float32(255) for mask in masks]
        self._far: FlowPair | None = None
        self._lost = False

    def step(self, frame: Pixels) -> list[NDArray[np.uint8]]:
        """The masks of the next frame, `(H, W)` uint8 each."""
        near = self._pair(frame, self._before)
        found = self._from_before(frame, near.forward)
        if not self._lost:
            found = self._from_first(frame, near, found)
        self._before, self._masks = frame, found
        return [np.rint(mask * 255).astype(np.uint8) for mask in found]

    def _pair(self, frame: Pixels, reference: Pixels, guess: FlowPair | None = None) -> FlowPair:
        return estimate_pair(
            frame,
            reference,
            preset=self._preset,
            size=self._size,
            consistency=self._consistency,
            slack_px=self._slack_px,
            guess=guess,
        )

    def _from_before(self, frame: Pixels, flow: Flow) -> list[NDArray[np.float32]]:
        trust = _trust(frame, self._before, flow)
        return [filled(_warped(mask, flow), trust, frame) for mask in self._masks]

    def _from_first(self, frame: Pixels, near: FlowPair, found: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        guess = near if self._far is None else compose_pairs(near, self._far)
        self._far = near if self._before is self._first else self._pair(frame, self._first, guess)
        flow = self._far.forward
        trust = _trust(frame, self._first, flow)
        self._lost = float(trust.mean()) < _LEAST_SHARE
        return [
            trust * _warped(first, flow) + (1 - trust) * other
            for first, other in zip(self._first_masks, found, strict=True)
        ]


def _trust(frame: Pixels, reference: Pixels, flow: Flow) -> NDArray[np.float32]:
    """`(H, W)` in [0, 1]: where the flow is valid and what it fetches looks as the frame does."""
    there, valid = warp(upper_8_bits(reference).astype(np.float32) / np.float32(255), flow)
    apart = np.abs(upper_8_bits(frame).astype(np.float32) - there * 255).max(axis=-1)
    alike = np.asarray(cv2.blur(apart, (5, 5)), np.float32)
    return np.asarray(valid * np.clip(2 - alike / _ALIKE_LEVELS, 0, 1), np.float32)


def _warped(mask: NDArray[np.float32], flow: Flow) -> NDArray[np.float32]:
    return warp(mask[..., None], flow)[0][..., 0]


def filled(mask: NDArray[np.float32], valid: NDArray[np.float32], frame: Pixels) -> NDArray[np.float32]:
    """A mask that is known in parts, the rest of it taken from known neighbours of like colour.

    Args:
        mask: `(H, W)` in [0, 1].
        valid: `(H, W)` in [0, 1], where it is known.
        frame: `(H, W, 3)`, whose colours say what belongs together.

    Returns:
        `(H, W)` in [0, 1]; what has no known neighbour within reach stays as it was.
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
            apart = np.square(colours[y, x] - colours[rows, columns]).mean(axis=-1) / _FILL_LEVELS**2
            away = (down**2 + across**2) / _FILL_STEPS**2
            share = known[y, x] * np.exp(-apart / 2 - 2 * away)
            total, weight = total + share * coarse[y, x], weight + share
    guess = coarse.copy()
    # A place is in or out: what few neighbours say would be a haze around what moves.
    said = np.clip((total / np.maximum(weight, 1e-6) - 0.5) * _FILL_CONTRAST + 0.5, 0, 1)
    guess[rows, columns] = np.where(weight > 1e-6, said, coarse[rows, columns])
    large = np.asarray(cv2.resize(guess, (mask.shape[1], mask.shape[0]), interpolation=cv2.INTER_LINEAR), np.float32)
    return np.clip(valid * mask + (1 - valid) * large, 0, 1).astype(np.float32, copy=False)
