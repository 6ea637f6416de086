"""Optical flow between source frames: estimated by DIS, checked for consistency, inverted and composed."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.config import MotionConfig
from vidnst.frames import Pixels, upper_8_bits

_DIS_PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
    "fine": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}
_MOST_ENLARGED = 2
"""Factor by which `fine` enlarges small pictures at most: it finds fractions of a pixel better."""
_FLAT = 200.0
"""Mean squared gradient, in levels of 255 per pixel, at which `fine` trusts what it found by half. Flat areas have
nothing to find fractions of a pixel by, and strokes that are painted there wobbled."""
_FLAT_SIGMA_PX = 2.0
_DEFAULTS = MotionConfig()
_INVERSION_STEPS = 4
_VALID = 254
"""Validity of 255 that an interpolated position must reach: next to an invalid pixel a flow is not trusted."""

_PixelArray = TypeVar("_PixelArray", NDArray[np.uint8], Pixels)


@dataclass(frozen=True, slots=True)
class Flow:
    """A vector field from a frame into a reference picture, with its validity.

    It may be smaller than the frame: the vectors are then resized and scaled when they are used.
    """

    vectors_px: NDArray[np.float32]
    """`(h, w, 2)` float32, x then y, in pixels of its own size: frame(p) shows what reference(p + vectors[p]) shows."""
    valid: NDArray[np.uint8]
    """`(h, w)` uint8: 255 where the vector is trusted, 0 where it is not (occluded, out of frame, inconsistent)."""


class FlowPair(NamedTuple):
    """The flows between two frames in both directions."""

    forward: Flow
    """The flow from the first frame into the second."""
    backward: Flow
    """The flow from the second frame into the first."""


class NotedFlowPair(FlowPair):
    """Flows with what else is worth telling of them."""

    note: str
    """Why they are not what the settings ask for; empty if they are."""
    sketch: str
    """A small copy of them as text (`flow_sketch.SketchPair`); empty if nobody wants one."""

    @classmethod
    def of(cls, pair: FlowPair, note: str = "", sketch: str = "") -> "NotedFlowPair":
        """The same flows with a note, or with a sketch; what they have of these stays."""
        noted = cls(*pair)
        old = (pair.note, pair.sketch) if isinstance(pair, NotedFlowPair) else ("", "")
        noted.note, noted.sketch = note or old[0], sketch or old[1]
        return noted


def with_flows(pair: FlowPair, flows: Iterable[Flow]) -> FlowPair:
    """Other flows, or what stands for them, in the place of a pair's; its notes stay."""
    other = FlowPair(*flows)
    return NotedFlowPair.of(other, pair.note, pair.sketch) if isinstance(pair, NotedFlowPair) else other


def estimate_flow(frame: Pixels, reference: Pixels, config: MotionConfig = _DEFAULTS) -> Flow:
    """Estimate the flow from `frame` into `reference`: `estimate_pair(...).forward` without computing the other."""
    one, two = (shrink(_grey(pixels), config.size) for pixels in (frame, reference))
    forward, backward = _dis(one, two, config, None), _dis(two, one, config, None)
    return Flow(forward, check_consistency(forward, backward, config.consistency, config.slack_px))


def estimate_pair(
    first: Pixels, second: Pixels, config: MotionConfig = _DEFAULTS, *, guess: FlowPair | None = None
) -> FlowPair:
    """Estimate the flows between two frames by DIS (Kroeger 2016), each checked against the other.

    Args:
        first: `(H, W, 3)` uint8 or uint16 sRGB.
        second: the same shape.
        config: the preset of DIS, the longest side at which flow is computed, and the consistency check.
        guess: initial flows at the size of the result. Over a long distance DIS without a guess loses fast motion,
            and composed short flows drift; refining the composed flows avoids both.
    """
    one, two = (shrink(_grey(pixels), config.size) for pixels in (first, second))
    initial = (None, None) if guess is None else (guess.forward.vectors_px, guess.backward.vectors_px)
    forward = _dis(one, two, config, initial[0])
    return consistent_pair(forward, _dis(two, one, config, initial[1]), config)


def consistent_pair(forward: NDArray[np.float32], backward: NDArray[np.float32], config: MotionConfig) -> FlowPair:
    """Check two opposite vector fields against each other, and make `backward` the inverse of `forward` where valid.

    The check tolerates a mismatch of half a pixel, by which a stroke that is warped back and forth would be blurred.
    """
    valid = check_consistency(backward, forward, config.consistency, config.slack_px)
    return FlowPair(
        Flow(forward, check_consistency(forward, backward, config.consistency, config.slack_px)),
        Flow(_invert(forward, backward, valid), valid),
    )


def check_consistency(
    forward: NDArray[np.float32], backward: NDArray[np.float32], consistency: float, slack_px: float
) -> NDArray[np.uint8]:
    """Find the pixels where a flow is trusted, by the flow in the opposite direction.

    A vector w with backward flow w' at its end is trusted where the end is inside the picture and
    `|w + w'|^2 <= consistency * (|w|^2 + |w'|^2) + slack_px` (Sundaram 2010, equation 5). Their second condition, on
    motion boundaries, is left out: it removes the steadiest pixels of slow pans.

    Args:
        forward: `(h, w, 2)` float32, x then y, in pixels.
        backward: the same shape, on the other picture's grid.
        consistency: squared mismatch allowed, as a share of the squared flows.
        slack_px: squared mismatch allowed at rest, in square pixels.

    Returns:
        `(h, w)` uint8, 255 where the forward flow is trusted and 0 elsewhere.
    """
    height, width = forward.shape[:2]
    x, y = target_positions(forward)
    back = np.asarray(cv2.remap(backward, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)
    mismatch = _squared_lengths(forward + back)
    allowed = consistency * (_squared_lengths(forward) + _squared_lengths(back)) + slack_px
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    trusted: NDArray[np.bool_] = (mismatch <= allowed) & inside
    return trusted.astype(np.uint8) * np.uint8(255)


def compose_pairs(first: FlowPair, second: FlowPair) -> FlowPair:
    """Compose the flows between three frames into those between the outer two.

    Args:
        first: between the frame and the middle one.
        second: between the middle one and the reference.
    """
    return FlowPair(compose(first.forward, second.forward), compose(second.backward, first.backward))


def compose(first: Flow, second: Flow) -> Flow:
    """Compose two flows of one size: w(p) = v1(p) + v2(p + v1(p)), valid where both are.

    Args:
        first: from the frame into the middle one.
        second: from the middle one into the reference.
    """
    x, y = target_positions(first.vectors_px)
    onward = cv2.remap(second.vectors_px, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    valid = cv2.remap(second.valid, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    both = (first.valid == 255) & (valid >= _VALID)
    vectors_px: NDArray[np.float32] = first.vectors_px + onward
    return Flow(vectors_px, both.astype(np.uint8) * np.uint8(255))


def target_positions(vectors_px: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Compute the absolute x and y positions, each `(h, w)` float32, that vectors `(h, w, 2)` point to."""
    height, width = vectors_px.shape[:2]
    x, y = cv2.split(vectors_px)
    x += np.arange(width, dtype=np.float32)
    y += np.arange(height, dtype=np.float32)[:, None]
    return np.asarray(x, np.float32), np.asarray(y, np.float32)


def resize_vectors(vectors_px: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Resize vectors `(h, w, 2)` to `(height, width, 2)`, in pixels of that size; the same array if it has it."""
    small_height, small_width = vectors_px.shape[:2]
    if (small_height, small_width) == (height, width):
        return vectors_px
    resized = np.asarray(cv2.resize(vectors_px, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    scale_x, scale_y = np.float32(width / small_width), np.float32(height / small_height)
    if scale_x == scale_y:
        resized *= scale_x  # at once: NumPy takes several times as long for every second number
    else:
        resized[..., 0] *= scale_x
        resized[..., 1] *= scale_y
    return resized


def shrink(picture: _PixelArray, longest_px: int) -> _PixelArray:
    """Reduce `(H, W)` or `(H, W, 3)` by area averaging until its longest side is at most `longest_px`."""
    height, width = picture.shape[:2]
    scale = longest_px / max(height, width)
    if scale >= 1:
        return picture
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cast(_PixelArray, cv2.resize(picture, size, interpolation=cv2.INTER_AREA))


def _invert(
    vectors_px: NDArray[np.float32], initial: NDArray[np.float32], where: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Invert a flow v: find w with w(p) = -v(p + w(p)) by fixed-point iteration from `initial` (Chen 2008).

    `initial` stays where `where` is 0 and where the iteration does not converge, as v is discontinuous.
    """
    inverse, error = initial.copy(), _round_trip_error(vectors_px, initial)
    squared_error, wanted = _squared_lengths(error), where > 0
    for _ in range(_INVERSION_STEPS):
        next_inverse = inverse - error
        next_error = _round_trip_error(vectors_px, next_inverse)
        next_squared = _squared_lengths(next_error)
        better = ((next_squared < squared_error) & wanted).astype(np.uint8)
        for source, target in ((next_inverse, inverse), (next_error, error), (next_squared, squared_error)):
            cv2.copyTo(source, better, target)
    return inverse


def _round_trip_error(vectors_px: NDArray[np.float32], inverse: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute w(p) + v(p + w(p)), `(h, w, 2)`: the distance by which a pixel misses its origin after both flows."""
    x, y = target_positions(inverse)
    onward = cv2.remap(vectors_px, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.add(onward, inverse), np.float32)


def _squared_lengths(vectors_px: NDArray[np.float32]) -> NDArray[np.float32]:
    # NumPy's sum over an axis of length 2 takes ten times as long.
    x, y = cv2.split(cv2.multiply(vectors_px, vectors_px))
    return np.asarray(np.add(x, y, out=x), np.float32)


def _grey(pixels: Pixels) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(upper_8_bits(pixels), cv2.COLOR_RGB2GRAY), np.uint8)


def _dis(
    frame: NDArray[np.uint8], reference: NDArray[np.uint8], config: MotionConfig, initial: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    vectors_px = np.zeros((*frame.shape, 2), np.float32) if initial is None else initial.copy()
    if min(frame.shape) < 16:  # DIS matches 8x8 patches over several scales and fails on smaller pictures
        return vectors_px
    method = cv2.DISOpticalFlow.create(_DIS_PRESETS[config.preset])
    if config.preset != "fine":
        return np.asarray(method.calc(frame, reference, vectors_px), np.float32)
    smooth = np.asarray(method.calc(frame, reference, vectors_px.copy()), np.float32)
    method.setFinestScale(0)  # the others stop at half the size, and enlarge what they found
    height, width = frame.shape
    scale = min(_MOST_ENLARGED, max(1.0, config.size / max(height, width)))
    size = (round(width * scale), round(height * scale))
    one, two = (cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC) for picture in (frame, reference))
    flow = method.calc(one, two, resize_vectors(vectors_px, size[1], size[0]))
    fine = resize_vectors(np.asarray(flow, np.float32), height, width)
    return np.asarray(smooth + _texture(frame)[..., None] * (fine - smooth), np.float32)


def _texture(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How much a picture `(H, W)` has to go by around each pixel: 0 where it is flat, 1 at strong edges."""
    x, y = (cv2.Sobel(picture, cv2.CV_32F, *axes, scale=1 / 8) for axes in ((1, 0), (0, 1)))
    squares = cv2.GaussianBlur(x * x + y * y, (0, 0), _FLAT_SIGMA_PX)
    return np.asarray(squares / (squares + _FLAT), np.float32)
