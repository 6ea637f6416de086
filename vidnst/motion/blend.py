"""Where a warm frame begins: finished states, fetched onto it and blended."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidnst.frames import Pixels, State, unit
from vidnst.motion.fill import match_colours
from vidnst.motion.flow import Flow
from vidnst.motion.warp import warp


@dataclass(frozen=True, slots=True)
class Start:
    """A finished state and how it is fetched onto the frame to be stylized."""

    state: State
    flow: Flow | None = None
    """From the frame into the state's own; None where they are the same."""
    weight: float = 1.0
    """Share in the blend of all that are valid at a place."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a warm frame begins at and is pulled toward."""

    picture: NDArray[np.float32]
    """`(H, W, 3)` in [0, 1]."""
    valid: NDArray[np.float32]
    """`(H, W)` in [0, 1]: where the picture comes from states."""


def blend(content: Pixels, starts: Sequence[Start]) -> Beginning:
    """The warped states, blended by weight and validity, and recoloured content where none is valid.

    Args:
        content: `(H, W, 3)` uint8 or uint16, the frame to be stylized.
        starts: at least one.
    """
    total = np.zeros(content.shape, np.float32)
    trust = np.zeros(content.shape[:2], np.float32)
    valid = np.zeros_like(trust)
    for start in starts:
        fetched, seen = _fetch(start)
        total += fetched * (start.weight * seen)[..., None]
        trust += start.weight * seen
        valid = np.maximum(valid, seen)
    mean = np.asarray(total / np.maximum(trust, 1e-6)[..., None], np.float32)
    fill = match_colours(unit(content), mean, valid)
    picture = valid[..., None] * mean + (1 - valid[..., None]) * fill
    return Beginning(picture.astype(np.float32, copy=False), valid)


def _fetch(start: Start) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    picture = unit(start.state)
    if start.flow is None:
        return picture, np.ones(picture.shape[:2], np.float32)
    return warp(picture, start.flow)
