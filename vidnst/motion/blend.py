"""Where a warm frame begins: finished states, fetched onto it and blended."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.frames import LUMA_WEIGHTS, Pixels, State, to_float_planes
from vidnst.motion.detail_gain import contrast, most_lost, raise_detail
from vidnst.motion.disocclusion import match_colours
from vidnst.motion.flow import Flow
from vidnst.motion.warp import fetch, places

BORDER_SIDE_PX = 3
"""Of the neighbourhood that `smooth_borders` looks at."""
_LIGHT_BLUR = 0.006
"""Standard deviation, as a share of the longest side, that keeps noise and misplaced edges out of a change of light."""


_FAINT_LIGHT = 1e-5
"""Mean square of a change of light, as little as noise gives, under which it tells nothing."""
_TELLING = 0.1
"""How far the lights of states must differ, as a share of how far they are from the frame's, to tell anything."""
_LIGHT_FITS = 4
"""Times that a gain of light is found, each but the first without what the one before did not explain."""
_STRONGEST_ANSWER = 1.5
"""The most that a painting grows brighter for its source's growing brighter by one."""
LEAST_TRUST = 1e-6
"""Sum of weights times validities that a blend is divided by at least."""


@dataclass(frozen=True, slots=True)
class WarmSource:
    """A finished state and how it is fetched onto the frame to be stylized."""

    state: State
    flow: Flow | None = None
    """From the frame into the state's own; None where they are the same."""
    weight: float = 1.0
    """Share in the blend of all that are valid at a place."""
    source: Pixels | None = None
    """The state's frame as it was before stylizing; needed to follow light and to see what stands still."""


@dataclass(frozen=True, slots=True)
class BlendedStart:
    """What a warm frame begins at and is pulled toward."""

    picture: NDArray[np.float32]
    """`(3, H, W)` in [0, 1]."""
    valid: NDArray[np.float32]
    """`(H, W)` in [0, 1]: where the picture comes from states."""
    light: NDArray[np.float32] | None = None
    """`(H, W)` in [-1, 1]: how much brighter the frame is than where the picture comes from."""
    still: NDArray[np.float32] | None = None
    """`(H, W)` in [0, 1]: where the source does not move."""
    before: NDArray[np.float32] | None = None
    """`(3, H, W)` in [0, 1]: the source where the picture comes from, if nothing told how the picture answers to the
    change of light since; None where the picture is in the frame's light."""


@dataclass(frozen=True, slots=True)
class _Fetched:
    """A start on the frame's grid, arrays as in `BlendedStart`."""

    picture: NDArray[np.float32]
    valid: NDArray[np.float32]
    detail: NDArray[np.float32] | None = None
    """Contrast of its state's detail: see `detail.contrast`."""
    light: NDArray[np.float32] | None = None
    still: NDArray[np.float32] | None = None
    before: NDArray[np.float32] | None = None
    """The start's source, fetched like it."""


def blend(
    content: Pixels, starts: Sequence[WarmSource], *, follow_light: bool = False, still_levels: float = 0.0
) -> BlendedStart:
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
    picture, several = to_float_planes(content), len(starts) > 1
    fetched = [
        _fetch(picture, start, detailed=several, follow_light=follow_light, still_levels=still_levels)
        for start in starts
    ]
    lit = True
    if follow_light:
        fetched, lit = _lit(fetched)
    shares = [np.float32(start.weight) * one.valid for start, one in zip(starts, fetched, strict=True)]
    trust = np.maximum(np.sum(shares, axis=0), np.float32(LEAST_TRUST))
    shares = [share / trust for share in shares]
    begun = _mean([one.picture for one in fetched], shares)
    valid = np.maximum.reduce([one.valid for one in fetched])
    if several:
        wanted = _mean([one.detail for one in fetched if one.detail is not None], shares)
        begun = raise_detail(begun, wanted, most_lost(shares))
    if valid.min() < 1:
        begun = _over(valid, begun, match_colours(picture, begun, valid))
    lights = [one.light for one in fetched if one.light is not None]
    stills = [one.still for one in fetched if one.still is not None]
    return BlendedStart(
        begun,
        valid,
        light=_mean(lights, shares) if follow_light else None,
        still=np.minimum.reduce(stills) if stills else None,
        before=None if lit else _mean([one.before for one in fetched if one.before is not None], shares),
    )


def _mean(values: Sequence[NDArray[np.float32]], shares: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Values `(H, W)` or `(C, H, W)` by their shares `(H, W)`."""
    total = values[0] * shares[0]
    part = np.empty_like(total)
    for value, share in zip(values[1:], shares[1:], strict=True):
        total += np.multiply(value, share, out=part)
    return total


def _fetch(
    picture: NDArray[np.float32], start: WarmSource, *, detailed: bool, follow_light: bool, still_levels: float
) -> _Fetched:
    """One start on the frame's grid, with its detail, how much brighter the frame is, and where it stands still."""
    state = to_float_planes(start.state)
    detail = contrast(state) if detailed else None
    if start.flow is None:
        whole = np.ones(picture.shape[1:], np.float32)
        return _Fetched(state, whole, detail, light=np.zeros_like(whole), before=picture)
    at = places(start.flow, *picture.shape[1:])
    at = replace(at, valid=smooth_borders(at.valid))
    if detail is not None:
        detail = fetch(detail, at)
    fetched = _Fetched(fetch(state, at), at.valid, detail)
    if start.source is None:
        return fetched
    source, still = to_float_planes(start.source), None
    if still_levels:
        still = standing_still(
            luma_of_planes(picture), luma_of_planes(source), levels=still_levels, any_light=follow_light
        )
        own = _over(still, state, fetched.picture)
        fetched = replace(fetched, picture=own, valid=np.maximum(at.valid, still), still=still)
    if not follow_light:
        return fetched
    before = fetch(source, at)
    before = before if still is None else _over(still, source, before)
    blur_px = max(1.0, _LIGHT_BLUR * max(at.valid.shape))
    change = np.asarray(cv2.GaussianBlur(luma_of_planes(picture) - luma_of_planes(before), (0, 0), blur_px), np.float32)
    return replace(fetched, light=change, before=before)


def _lit(fetched: Sequence[_Fetched]) -> tuple[list[_Fetched], bool]:
    """States brought to the frame's light, and whether that could be done.

    By what share a painting answers to light depends on its style and weights. States of different light tell: each
    channel's share is the one with which they agree best where they overlap. A single state, or several of the same
    light, tell nothing.
    """
    known = [(one, one.light) for one in fetched if one.light is not None]
    needed = sum(float((one.valid * np.square(light)).sum()) for one, light in known)
    above, below = np.zeros(3), 0.0
    for (one, light), (other, other_light) in itertools.combinations(known, 2):
        change = light - other_light
        weight = one.valid * other.valid * change
        above += [
            float((weight * (there - here)).sum()) for here, there in zip(one.picture, other.picture, strict=True)
        ]
        below += float((weight * change).sum())
    faint = _FAINT_LIGHT * fetched[0].valid.size
    if below < _TELLING * needed:
        return list(fetched), needed < faint
    answer = np.clip(above / (below + faint), 0, _STRONGEST_ANSWER).astype(np.float32)[:, None, None]
    return [
        one if one.light is None else replace(one, picture=np.clip(one.picture + one.light * answer, 0, 1))
        for one in fetched
    ], True


def smooth_borders(valid: NDArray[np.float32]) -> NDArray[np.float32]:
    """Validity whose borders are even: 1 where all eight neighbours are valid, 0 where no more than half of them are.

    A check pixel by pixel leaves ragged borders, and states that differ there alternate along them from one pixel to
    the next; pass by pass that became rows of dots around whatever moves.

    Args:
        valid: `(H, W)` float32 in [0, 1].
    """
    share = cv2.blur(valid, (BORDER_SIDE_PX, BORDER_SIDE_PX))
    return np.asarray(np.clip(2 * share - 1, 0, 1), np.float32)


def standing_still(
    now: NDArray[np.float32], before: NDArray[np.float32], *, levels: float, any_light: bool
) -> NDArray[np.float32]:
    """Where a picture shows the same as an earlier one at the same place.

    Args:
        now: its luma, `(H, W)` float32 in [0, 1].
        before: the earlier one's.
        levels: largest difference of luma, in levels of 255, averaged over 5x5 pixels against noise.
        any_light: whether the two may be of different light: the gain and offset of luma that explain most are taken
            off first.

    Returns:
        `(H, W)` float32, 0 or 1 with soft edges.
    """
    then = _same_light(now, before) if any_light else before
    difference = cv2.blur(np.abs(cv2.blur(now - then, (3, 3))), (5, 5))
    still = (difference * 255 <= levels).astype(np.float32)
    kernel = np.ones((5, 5), np.uint8)
    return np.asarray(cv2.blur(cv2.erode(still, kernel), (5, 5)), np.float32)


def _same_light(now: NDArray[np.float32], then: NDArray[np.float32]) -> NDArray[np.float32]:
    """`then` with the gain and offset that bring it closest to `now`, found anew without what does not fit."""
    x, y = then.reshape(-1).astype(np.float64), now.reshape(-1).astype(np.float64)
    fit_x, fit_y = x, y
    gain, offset = 1.0, 0.0
    for left in reversed(range(_LIGHT_FITS)):
        mean_x, mean_y = fit_x.mean(), fit_y.mean()
        away = fit_x - mean_x
        gain = float((away * (fit_y - mean_y)).mean() / (np.square(away).mean() + 1e-6))
        offset = float(mean_y - gain * mean_x)
        if left:
            quality_problem = np.abs(y - gain * x - offset)
            keep = quality_problem <= 2.5 * np.median(quality_problem) + 1e-3
            fit_x, fit_y = x[keep], y[keep]
    return (then * np.float32(gain) + np.float32(offset)).astype(np.float32, copy=False)


def luma_of_planes(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute the `(H, W)` float32 Rec. 709 luma of a gamma-encoded `(3, H, W)` float32 picture."""
    # By OpenCV, not by `frames.luma`: NumPy sums the products in another order, which changes rendered pixels.
    return np.asarray(cv2.transform(cv2.merge(list(picture)), LUMA_WEIGHTS[None]), np.float32)


def _over(share: NDArray[np.float32], first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """By their shares `(H, W)`, of two pictures `(3, H, W)` or maps `(H, W)`."""
    return share * first + (1 - share) * second
