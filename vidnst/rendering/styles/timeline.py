"""The timeline of styles: when and where each holds, and how they mix at a given time. Pure functions."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from vidnst.errors import ConfigError
from vidnst.style.guidance import StyleMix

REST = "rest"
"""The region that no mask covers; the whole frame if there are no masks."""


@dataclass(frozen=True, slots=True)
class TimedStyle:
    """A style, with when and where it holds."""

    style: int
    """Its position in the list of styles."""
    weight: float = 1.0
    name: str = "style"
    """Its name in messages."""
    at: Fraction | None = None
    """Seconds from the clip's first frame; None is always."""
    shots: tuple[int, ...] = ()
    """Shots in which it holds, from 0; empty is all."""
    region: str = REST


def check_timeline(timeline: Sequence[TimedStyle]) -> None:
    """Check that moments ascend in every region, and that no region has both moments and shots.

    Raises:
        ConfigError: names the first style that is wrong.
    """
    for region in {entry.region: None for entry in timeline}:
        inside = [entry for entry in timeline if entry.region == region]
        timed = [(entry, entry.at) for entry in inside if entry.at is not None]
        for (before, early), (after, late) in pairwise(timed):
            if late < early:
                when = f"{_seconds(late)} comes after {before.name} at {_seconds(early)}"
                raise ConfigError(
                    f"style {after.name} at {when}{_in(region)}",
                    "give the styles in the order of their moments",
                )
        placed = next((entry for entry in inside if entry.shots), None)
        if timed and placed:
            raise ConfigError(
                f"style {timed[0][0].name} holds from a moment and {placed.name} for a shot{_in(region)}",
                "use moments or shots, not both; other regions are free to use the other",
            )


def check_shots(timeline: Sequence[TimedStyle], shots: int) -> None:
    """Check that every shot has a style in every region that has any.

    Args:
        timeline: all styles.
        shots: number of shots.

    Raises:
        ConfigError: a shot has no style, or a style is for a shot that does not exist.
    """
    for entry in timeline:
        for shot in entry.shots:
            if shot >= shots:
                existing = "only shot 0" if shots == 1 else f"shots 0 to {shots - 1}"
                raise ConfigError(
                    f"style {entry.name} is for shot {shot}, and the range has {existing}",
                    "see the shots with --dry-run, or give the cuts yourself with input.shots",
                )
    for region in {entry.region: None for entry in timeline}:
        for shot in range(shots):
            if not _active(timeline, region, shot):
                raise ConfigError(
                    f"shot {shot} has no style{_in(region)}", "add one for it, or one that names no shot for all others"
                )


def style_mixes(timeline: Sequence[TimedStyle], region: str, *, seconds: Fraction, shot: int) -> tuple[StyleMix, ...]:
    """Return the mixes of styles that apply in a region at a time of a shot.

    Styles without a moment and the styles of the current moment share by weight. Before the first moment its styles
    hold, after the last moment the last ones. Between two moments each target lies on the straight line between the
    textures of one style and of the other. If the moments have several styles, each of the first is blended into each
    of the second, weighted by the product of their shares, so that at a moment its styles apply as if alone.

    Args:
        timeline: all styles, checked.
        region: the region's name.
        seconds: time from the clip's first frame.
        shot: number of the shot.

    Returns:
        Mixes whose shares sum to 1; empty if the region has no styles.
    """
    active = _active(timeline, region, shot)
    always = [(((entry.style, 1.0),), entry.weight) for entry in active if entry.at is None]
    mixes = always + _between([entry for entry in active if entry.at is not None], seconds)
    total = sum(weight for _, weight in mixes)
    return tuple(StyleMix(weight / total, styles) for styles, weight in mixes)


def never_shown(timeline: Sequence[TimedStyle], times: Sequence[Fraction]) -> list[TimedStyle]:
    """Return the styles with moments that no frame shows, given the frames' times in ascending seconds."""
    hidden: list[TimedStyle] = []
    for region in {entry.region: None for entry in timeline}:
        moments = sorted({entry.at for entry in timeline if entry.region == region and entry.at is not None})
        for number, moment in enumerate(moments):
            # A style shows after the moment before its own, until the moment after.
            first = 0 if number == 0 else bisect_right(times, moments[number - 1])
            stop = len(times) if number == len(moments) - 1 else bisect_left(times, moments[number + 1])
            if first >= stop:
                hidden += [entry for entry in timeline if entry.region == region and entry.at == moment]
    return hidden


def _active(timeline: Sequence[TimedStyle], region: str, shot: int) -> list[TimedStyle]:
    """Return a region's styles in a shot: those for that shot, or else those for no shot in particular."""
    inside = [entry for entry in timeline if entry.region == region]
    return [entry for entry in inside if shot in entry.shots] or [entry for entry in inside if not entry.shots]


def _between(timed: Sequence[TimedStyle], seconds: Fraction) -> list[tuple[tuple[tuple[int, float], ...], float]]:
    """Return the blends of the styles of the two moments around a time, with their weights."""
    if not timed:
        return []
    moments = sorted({entry.at for entry in timed if entry.at is not None})
    before = max((at for at in moments if at <= seconds), default=moments[0])
    after = min((at for at in moments if at > seconds), default=moments[-1])
    position = 0.0 if after <= before else float((seconds - before) / (after - before))
    one, two = ([entry for entry in timed if entry.at == at] for at in (before, after))
    if position <= 0:
        return [(((entry.style, 1.0),), entry.weight) for entry in one]
    weights = [sum(entry.weight for entry in group) for group in (one, two)]
    total = (1 - position) * weights[0] + position * weights[1]
    return [
        (
            ((early.style, 1 - position), (late.style, position)),
            total * (early.weight / weights[0]) * (late.weight / weights[1]),
        )
        for early in one
        for late in two
    ]


def _seconds(at: Fraction) -> str:
    return f"{float(at):g} s"


def _in(region: str) -> str:
    return "" if region == REST else f" in region {region}"
