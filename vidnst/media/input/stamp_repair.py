"""Repair of time stamps that are repeated or go backward: the good ones stay, the wrong ones get times in between."""

from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from statistics import median
from typing import TypeAlias

_MOST_WRONG = Fraction(1, 5)
"""Share of wrong stamps above which none can be trusted; B-frames in AVI, for example, have those of others."""

Stamp: TypeAlias = int | Fraction
"""A time in ticks."""


def repair_stamps(stamps: Sequence[Stamp | None]) -> tuple[list[Fraction], tuple[int, ...]] | None:
    """Make time stamps strictly ascending.

    As many stamps as possible are kept; among several ways, the one with the most even steps wins. Each of the others
    is placed evenly between the kept ones around it, at the ends with the usual step.

    Args:
        stamps: one for each frame in the order of display; None if a frame has none.

    Returns:
        The repaired stamps, and the indices of those that were wrong; None if too many are wrong.
    """
    known = [index for index, stamp in enumerate(stamps) if stamp is not None]
    values = [stamp for stamp in stamps if stamp is not None]
    late = [known[position] for position in _longest_ascending(values)]
    mirrored = [-value for value in reversed(values)]
    early = [known[len(values) - 1 - position] for position in reversed(_longest_ascending(mirrored))]
    if (len(stamps) - len(early)) > len(stamps) * _MOST_WRONG:
        return None
    repaired = min((_fill(stamps, kept) for kept in (early, late)), key=_unevenness)
    wrong = tuple(index for index, (old, new) in enumerate(zip(stamps, repaired, strict=True)) if old != new)
    return repaired, wrong


def _longest_ascending(values: Sequence[Stamp]) -> list[int]:
    """Return the positions of a longest strictly ascending subsequence; of several that with later elements."""
    tails: list[Stamp] = []
    ends: list[int] = []
    before: list[int] = []
    for position, value in enumerate(values):
        length = bisect_left(tails, value)
        before.append(ends[length - 1] if length else -1)
        tails[length : length + 1] = [value]
        ends[length : length + 1] = [position]
    chain = []
    at = ends[-1] if ends else -1
    while at >= 0:
        chain.append(at)
        at = before[at]
    return chain[::-1]


def _fill(stamps: Sequence[Stamp | None], kept: Sequence[int]) -> list[Fraction]:
    good = [Fraction(stamps[index] or 0) for index in kept]
    step = median(later - earlier for earlier, later in pairwise(good)) if len(good) > 1 else Fraction(1)
    # Virtual neighbours at both ends, so that every gap is filled alike.
    places = [-1, *kept, len(stamps)]
    times = [good[0] - step * (kept[0] + 1), *good, good[-1] + step * (len(stamps) - kept[-1])]
    filled: list[Fraction] = []
    for (place, time), (next_place, next_time) in pairwise(zip(places, times, strict=True)):
        share = (next_time - time) / (next_place - place)
        filled += [time + share * number for number in range(next_place - place)]
    return filled[1:]


def _unevenness(times: Sequence[Fraction]) -> Fraction:
    steps = [later - earlier for earlier, later in pairwise(times)]
    return sum((abs(later - earlier) for earlier, later in pairwise(steps)), Fraction(0))
