"""Optical flow between source frames, and where it can be trusted."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.frames import Pixels, upper_8_bits

_PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}

_INVERSE_STEPS = 4


@dataclass(frozen=True, slots=True)
class Flow:
    """Where each pixel of a frame was (or will be) in a reference picture.

    May be smaller than the frame: vectors are then enlarged, and scaled, when they are used.
    """

    vectors_px: NDArray[np.float32]
    """`(h, w, 2)` float32, x then y, in pixels of its own size: frame(p) shows what reference(p + vectors[p]) shows."""
    valid: NDArray[np.uint8]
    """`(h, w)` uint8, 255 where the vector is trusted and 0 where it is not (occluded, out of frame, inconsistent)."""


class FlowPair(NamedTuple):
    """The flows between two frames, both ways."""

    forward: Flow
    """On the first one's grid, into the second."""
    backward: Flow
    """On the second one's grid, into the first."""


def estimate_flow(
    frame: Pixels,
    reference: Pixels,
    *,
    preset: Literal["ultrafast", "fast", "medium"] = "medium",
    size: int = 640,
    consistency: float = 0.01,
    slack_px: float = 0.5,
) -> Flow:
    """Flow from `frame` into `reference`: the first of the two that `estimate_pair` gives for them, without the work
    that only the second takes."""
    one, two = (shrink(_grey(picture), size) for picture in (frame, reference))
    forward, backward = _dis(one, two, preset, None), _dis(two, one, preset, None)
    return Flow(forward, check_consistency(forward, backward, consistency, slack_px))


def estimate_pair(
    first: Pixels,
    second: Pixels,
    *,
    preset: Literal["ultrafast", "fast", "medium"] = "medium",
    size: int = 640,
    consistency: float = 0.01,
    slack_px: float = 0.5,
    guess: FlowPair | None = None,
) -> FlowPair:
    """Flows between two frames by DIS, each checked against the other.

    Args:
        first: `(H, W, 3)` uint8 or uint16 sRGB.
        second: the same shape.
        preset: effort of DIS (Kroeger 2016).
        size: longest side at which they are computed, in pixels.
        consistency, slack_px: see `check_consistency`.
        guess: where to begin, of the size at which the flows are computed. What DIS finds over a far distance from
            nothing loses fast motion, and flows over short distances added up drift; refining the sum does neither.
    """
    one, two = (shrink(_grey(picture), size) for picture in (first, second))
    begin = (None, None) if guess is None else (guess.forward.vectors_px, guess.backward.vectors_px)
    forward, backward = _dis(one, two, preset, begin[0]), _dis(two, one, preset, begin[1])
    return checked_pair(forward, backward, consistency, slack_px)


def checked_pair(
    forward: NDArray[np.float32], backward: NDArray[np.float32], consistency: float, slack_px: float
) -> FlowPair:
    """Two opposite fields of vectors, each with where it is consistent with the other.

    Where it is, `backward` is then made the inverse of `forward`. The check lets them differ by half a pixel, and a
    stroke that is fetched back and forth along two such flows is blurred by as much.
    """
    valid = check_consistency(backward, forward, consistency, slack_px)
    return FlowPair(
        Flow(forward, check_consistency(forward, backward, consistency, slack_px)),
        Flow(_inverse(forward, backward, valid), valid),
    )


def _inverse(
    vectors_px: NDArray[np.float32], begin: NDArray[np.float32], where: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """The vectors w of another grid for which w(p) = -v(p + w(p)), by fixed-point iteration from `begin`.

    Where it does not converge (v jumps), or is not asked for, `begin` stays.
    """
    inverse, off = begin.copy(), _missed(vectors_px, begin)
    squared, asked = _squared(off), where > 0
    for _ in range(_INVERSE_STEPS):
        further = inverse - off
        still_off = _missed(vectors_px, further)
        still_squared = _squared(still_off)
        better = ((still_squared < squared) & asked).astype(np.uint8)
        for found, kept in ((further, inverse), (still_off, off), (still_squared, squared)):
            cv2.copyTo(found, better, kept)
    return inverse


def _missed(vectors_px: NDArray[np.float32], back: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far from its beginning a pixel ends that goes along `back` and then along `vectors_px`: `(h, w, 2)`."""
    x, y = sampling_grid(back)
    onward = cv2.remap(vectors_px, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.add(onward, back), np.float32)


def _squared(vectors_px: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lengths of vectors, squared: `(h, w)`. Added up by NumPy over so short an axis, they take ten times as long."""
    x, y = cv2.split(cv2.multiply(vectors_px, vectors_px))
    return np.asarray(np.add(x, y, out=x), np.float32)


def shrink(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """`(H, W)` or `(H, W, 3)` with its longest side at most `size` pixels, averaged over areas."""
    height, width = picture.shape[:2]
    scale = size / max(height, width)
    if scale >= 1:
        return picture
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(picture, shape, interpolation=cv2.INTER_AREA), np.uint8)


def _grey(pixels: Pixels) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(upper_8_bits(pixels), cv2.COLOR_RGB2GRAY), np.uint8)


def _dis(
    frame: NDArray[np.uint8], reference: NDArray[np.uint8], preset: str, begin: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    start = np.zeros((*frame.shape, 2), np.float32) if begin is None else begin.copy()
    if min(frame.shape) < 16:  # DIS matches 8x8 patches over several scales and asserts on less
        return start
    flow = cv2.DISOpticalFlow.create(_PRESETS[preset]).calc(frame, reference, start)
    return np.asarray(flow, np.float32)


def sampling_grid(vectors_px: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Absolute x and y positions, each `(h, w)` float32, that the vectors point to."""
    height, width = vectors_px.shape[:2]
    x, y = cv2.split(vectors_px)
    x += np.arange(width, dtype=np.float32)
    y += np.arange(height, dtype=np.float32)[:, None]
    return np.asarray(x, np.float32), np.asarray(y, np.float32)


def check_consistency(
    forward: NDArray[np.float32], backward: NDArray[np.float32], consistency: float, slack_px: float
) -> NDArray[np.uint8]:
    """Where a flow is trusted, given the flow back.

    A vector w with backward flow w' at its end is trusted where the end is inside the picture and
    `|w + w'|^2 <= consistency * (|w|^2 + |w'|^2) + slack_px` (Sundaram 2010, equation 5). Their second condition, on
    motion boundaries, is left out: it removes the steadiest pixels of slow pans.

    Args:
        forward: `(h, w, 2)` float32, x then y, in pixels.
        backward: the same shape, on the other picture's grid.
        consistency: squared mismatch allowed, as a share of the squared flows.
        slack_px: squared mismatch allowed at rest, in pixels squared.

    Returns:
        `(h, w)` uint8, 255 where the forward flow is trusted and 0 elsewhere.
    """
    height, width = forward.shape[:2]
    x, y = sampling_grid(forward)
    back = np.asarray(cv2.remap(backward, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)
    mismatch = _squared(forward + back)
    allowed = consistency * (_squared(forward) + _squared(back)) + slack_px
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    trusted: NDArray[np.bool_] = (mismatch <= allowed) & inside
    return trusted.astype(np.uint8) * np.uint8(255)
