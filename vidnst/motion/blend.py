"""Where a warm frame begins: finished states, fetched onto it and blended."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.frames import Pixels, State, unit
from vidnst.motion.detail import contrast, raise_detail
from vidnst.motion.fill import match_colours
from vidnst.motion.flow import Flow
from vidnst.motion.warp import warp

_LIGHT_BLUR = 0.006
"""Standard deviation, as a share of the longest side, that keeps noise and misplaced edges out of a change of light."""


_FAINT_LIGHT = 1e-5
"""Mean square of a change of light, as little as noise gives, under which it tells nothing."""
_TELLING = 0.1
"""How far the lights of states must differ, as a share of how far they are from the frame's, to tell anything."""
_STRONGEST_ANSWER = 1.5
"""The most that a painting grows brighter for its source's growing brighter by one."""


@dataclass(frozen=True, slots=True)
class Start:
    """A finished state and how it is fetched onto the frame to be stylized."""

    state: State
    flow: Flow | None = None
    """From the frame into the state's own; None where they are the same."""
    weight: float = 1.0
    """Share in the blend of all that are valid at a place."""
    source: Pixels | None = None
    """The state's frame as it was before stylizing; needed to follow light and to see what stands still."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a warm frame begins at and is pulled toward."""

    picture: NDArray[np.float32]
    """`(H, W, 3)` in [0, 1]."""
    valid: NDArray[np.float32]
    """`(H, W)` in [0, 1]: where the picture comes from states."""
    light: NDArray[np.float32] | None = None
    """`(H, W)` in [-1, 1]: how much brighter the frame is than where the picture comes from."""
    still: NDArray[np.float32] | None = None
    """`(H, W)` in [0, 1]: where the source does not move."""
    before: NDArray[np.float32] | None = None
    """`(H, W, 3)` in [0, 1]: the source where the picture comes from, if nothing told how the picture answers to the
    change of light since; None where the picture is in the frame's light."""


@dataclass(frozen=True, slots=True)
class _Fetched:
    """A start on the frame's grid."""

    picture: NDArray[np.float32]
    valid: NDArray[np.float32]
    detail: NDArray[np.float32]
    """Contrast of its state's detail: see `detail.contrast`."""
    light: NDArray[np.float32] | None = None
    still: NDArray[np.float32] | None = None
    before: NDArray[np.float32] | None = None
    """The start's source, fetched like it."""


def blend(
    content: Pixels, starts: Sequence[Start], *, follow_light: bool = False, still_levels: float = 0.0
) -> Beginning:
    """The warped states, blended by weight and validity, and recoloured content where none is valid.

    Args:
        content: `(H, W, 3)` uint8 or uint16, the frame to be stylized.
        starts: at least one; with their sources, if one of the following is asked for.
        follow_light: whether states take over how the light has changed since.
        still_levels: largest difference, in levels of 255, up to which a place counts as standing still: there states
            are taken as they are, whatever the flow says. 0 asks for no such places.

    Raises:
        ValueError: light is to be followed and a start has no source.
    """
    if follow_light and any(start.flow is not None and start.source is None for start in starts):
        raise ValueError("following the light needs the source of every start")
    picture = unit(content)
    fetched = [_fetch(picture, start, follow_light=follow_light, still_levels=still_levels) for start in starts]
    lit = True
    if follow_light:
        fetched, lit = _lit(fetched)
    shares = [np.float32(start.weight) * one.valid for start, one in zip(starts, fetched, strict=True)]
    trust = np.maximum(np.sum(shares, axis=0), np.float32(1e-6))
    shares = [share / trust for share in shares]
    mean = _mean([one.picture for one in fetched], shares)
    valid = np.maximum.reduce([one.valid for one in fetched])
    if len(fetched) > 1:
        mean = raise_detail(mean, _mean([one.detail for one in fetched], shares))
    begun = valid[..., None] * mean + (1 - valid[..., None]) * match_colours(picture, mean, valid)
    lights = [one.light for one in fetched if one.light is not None]
    stills = [one.still for one in fetched if one.still is not None]
    return Beginning(
        begun.astype(np.float32, copy=False),
        valid,
        light=_mean(lights, shares) if follow_light else None,
        still=np.minimum.reduce(stills) if stills else None,
        before=None if lit else _mean([one.before for one in fetched if one.before is not None], shares),
    )


def _mean(values: Sequence[NDArray[np.float32]], shares: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Values `(H, W)` or `(H, W, C)` by their shares `(H, W)`."""
    total = np.zeros_like(values[0])
    for value, share in zip(values, shares, strict=True):
        total += value * (share if value.ndim == 2 else share[..., None])
    return total


def _fetch(picture: NDArray[np.float32], start: Start, *, follow_light: bool, still_levels: float) -> _Fetched:
    """One start on the frame's grid, with how much brighter the frame is, and where it stands still."""
    state, source = unit(start.state), None if start.source is None else unit(start.source)
    detail = contrast(state)
    if start.flow is None:
        whole = np.ones(picture.shape[:2], np.float32)
        return _Fetched(state, whole, detail, light=np.zeros_like(whole), before=picture)
    warped, valid = warp(state, start.flow)
    detail, _ = warp(detail, start.flow)
    if source is None:
        return _Fetched(warped, valid, detail)
    still = None
    if still_levels:
        still = standing_still(picture, source, levels=still_levels, any_light=follow_light)
        warped, valid = _over(still[..., None], state, warped), np.maximum(valid, still)
    if not follow_light:
        return _Fetched(warped, valid, detail, still=still)
    before, _ = warp(source, start.flow)
    before = before if still is None else _over(still[..., None], source, before)
    blur_px = max(1.0, _LIGHT_BLUR * max(valid.shape))
    change = np.asarray(cv2.GaussianBlur(luma(picture) - luma(before), (0, 0), blur_px), np.float32)
    return _Fetched(warped, valid, detail, light=change, still=still, before=before)


def _lit(fetched: Sequence[_Fetched]) -> tuple[list[_Fetched], bool]:
    """States brought to the frame's light, and whether that could be done.

    By what share a painting answers to light depends on its style and weights. States of different light tell: each
    channel's share is the one with which they agree best where they overlap. A single state, or several of the same
    light, tell nothing.
    """
    above, below, needed = np.zeros(3), 0.0, 0.0
    for one, other in itertools.combinations_with_replacement(fetched, 2):
        if one.light is None or other.light is None:
            continue
        both = one.valid * other.valid
        change = one.light - other.light
        above += np.einsum("hw,hwc->c", both * change, other.picture - one.picture)
        below += float((both * np.square(change)).sum())
        needed += float((both * np.square(one.light)).sum()) if one is other else 0.0
    faint = _FAINT_LIGHT * fetched[0].valid.size
    if below < _TELLING * needed:
        return list(fetched), needed < faint
    answer = np.clip(above / (below + faint), 0, _STRONGEST_ANSWER).astype(np.float32)
    return [
        one if one.light is None else replace(one, picture=np.clip(one.picture + one.light[..., None] * answer, 0, 1))
        for one in fetched
    ], True


def standing_still(
    picture: NDArray[np.float32], before: NDArray[np.float32], *, levels: float, any_light: bool
) -> NDArray[np.float32]:
    """Where a picture shows the same as an earlier one at the same place.

    Args:
        picture: `(H, W, 3)` float32 in [0, 1].
        before: the same shape.
        levels: largest difference of luma, in levels of 255, averaged over 5x5 pixels against noise.
        any_light: whether the two may be of different light: the gain and offset of luma that explain most are taken
            off first.

    Returns:
        `(H, W)` float32, 0 or 1 with soft edges.
    """
    now, then = luma(picture), luma(before)
    if any_light:
        then = _same_light(now, then)
    difference = cv2.blur(np.abs(cv2.blur(now - then, (3, 3))), (5, 5))
    still = (difference * 255 <= levels).astype(np.float32)
    kernel = np.ones((5, 5), np.uint8)
    return np.asarray(cv2.blur(cv2.erode(still, kernel), (5, 5)), np.float32)


def _same_light(now: NDArray[np.float32], then: NDArray[np.float32]) -> NDArray[np.float32]:
    """`then` with the gain and offset that bring it closest to `now`, found anew without what does not fit."""
    x, y = then.reshape(-1).astype(np.float64), now.reshape(-1).astype(np.float64)
    keep = np.ones(x.shape, bool)
    gain, offset = 1.0, 0.0
    for _ in range(4):
        mean_x, mean_y = x[keep].mean(), y[keep].mean()
        spread = np.square(x[keep] - mean_x).mean() + 1e-6
        gain = float(((x[keep] - mean_x) * (y[keep] - mean_y)).mean() / spread)
        offset = float(mean_y - gain * mean_x)
        misfit = np.abs(y - gain * x - offset)
        keep = misfit <= 2.5 * np.median(misfit) + 1e-3
    return (then * np.float32(gain) + np.float32(offset)).astype(np.float32, copy=False)


def luma(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """`(H, W)` float32: the weighted sum of R', G' and B' of BT.709."""
    return np.asarray(cv2.transform(picture, np.array([[0.2126, 0.7152, 0.0722]], np.float32)), np.float32)


def _over(share: NDArray[np.float32], first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    return share * first + (1 - share) * second
