"""Which styles a frame sees: entries with moments or shots, and what they come to at a time. Pure functions."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from vidnst.errors import ConfigError
from vidnst.style.guidance import StyleMix

REST = "rest"
"""The region of all that no mask covers; all of the frame where there are no masks."""


@dataclass(frozen=True, slots=True)
class TimedStyle:
    """A style of the list, and where and when it holds."""

    style: int
    """Its number in the list."""
    weight: float = 1.0
    name: str = "style"
    """What it is called in messages."""
    at: Fraction | None = None
    """Seconds from the clip's first frame; None is always."""
    shots: tuple[int, ...] = ()
    """Numbers of shots, from 0; empty is all."""
    region: str = REST


def check_entries(entries: Sequence[TimedStyle]) -> None:
    """See that moments ascend in every region, and that none has both moments and shots.

    Raises:
        ConfigError: names the first entry that is wrong.
    """
    for region in {entry.region: None for entry in entries}:
        inside = [entry for entry in entries if entry.region == region]
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


def check_shots(entries: Sequence[TimedStyle], shots: int) -> None:
    """See that every shot has styles in every region that has any.

    Args:
        entries: all styles.
        shots: how many there are.

    Raises:
        ConfigError: a shot has no style, or an entry names a shot that is not there.
    """
    for entry in entries:
        for shot in entry.shots:
            if shot >= shots:
                there = "only shot 0" if shots == 1 else f"shots 0 to {shots - 1}"
                raise ConfigError(
                    f"style {entry.name} is for shot {shot}, and the range has {there}",
                    "see the shots with --dry-run, or give the cuts yourself with input.shots",
                )
    for region in {entry.region: None for entry in entries}:
        for shot in range(shots):
            if not _seen(entries, region, shot):
                raise ConfigError(
                    f"shot {shot} has no style{_in(region)}", "add one for it, or one that names no shot for all others"
                )


def pulls_at(entries: Sequence[TimedStyle], region: str, *, seconds: Fraction, shot: int) -> tuple[StyleMix, ...]:
    """What pulls in a region at a time of a shot.

    Styles that hold always and those of the moment share by weight. Before the first moment the first holds, after the
    last the last. Between two each target lies on the straight line between the one's and the other's textures; where
    moments have several styles, each of one goes over into each of the other, by the product of their shares: so at a
    moment its styles pull just as if they were the only ones.

    Args:
        entries: all styles, checked.
        region: the region's name.
        seconds: from the clip's first frame.
        shot: the number of its shot.

    Returns:
        Shares sum to 1; empty where the region has no styles.
    """
    seen = _seen(entries, region, shot)
    always = [(((entry.style, 1.0),), entry.weight) for entry in seen if entry.at is None]
    found = always + _between([entry for entry in seen if entry.at is not None], seconds)
    whole = sum(weight for _, weight in found)
    return tuple(StyleMix(weight / whole, blend) for blend, weight in found)


def parts_of(mixes: Sequence[StyleMix]) -> dict[int, float]:
    """How much of each style is in some mixes, by its number; the parts sum to 1."""
    parts: dict[int, float] = {}
    for mix in mixes:
        for style, part in mix.styles:
            parts[style] = parts.get(style, 0.0) + mix.share * part
    return parts


def unseen(entries: Sequence[TimedStyle], times: Sequence[Fraction]) -> list[TimedStyle]:
    """The entries with moments of which nothing is seen at any of some times (ascending, in seconds)."""
    lost: list[TimedStyle] = []
    for region in {entry.region: None for entry in entries}:
        moments = sorted({entry.at for entry in entries if entry.region == region and entry.at is not None})
        for number, moment in enumerate(moments):
            # A style begins to be seen after the moment before its own, and is gone at the one after.
            first = 0 if number == 0 else bisect_right(times, moments[number - 1])
            stop = len(times) if number == len(moments) - 1 else bisect_left(times, moments[number + 1])
            if first >= stop:
                lost += [entry for entry in entries if entry.region == region and entry.at == moment]
    return lost


def _seen(entries: Sequence[TimedStyle], region: str, shot: int) -> list[TimedStyle]:
    """A region's styles in a shot: those that name it, or else those that name none."""
    inside = [entry for entry in entries if entry.region == region]
    return [entry for entry in inside if shot in entry.shots] or [entry for entry in inside if not entry.shots]


def _between(timed: Sequence[TimedStyle], seconds: Fraction) -> list[tuple[tuple[tuple[int, float], ...], float]]:
    """Blends with their weights: what the moments around a time come to."""
    if not timed:
        return []
    moments = sorted({entry.at for entry in timed if entry.at is not None})
    before = max((at for at in moments if at <= seconds), default=moments[0])
    after = min((at for at in moments if at > seconds), default=moments[-1])
    way = 0.0 if after <= before else float((seconds - before) / (after - before))
    one, two = ([entry for entry in timed if entry.at == at] for at in (before, after))
    if way <= 0:
        return [(((entry.style, 1.0),), entry.weight) for entry in one]
    weights = [sum(entry.weight for entry in group) for group in (one, two)]
    whole = (1 - way) * weights[0] + way * weights[1]
    return [
        (
            ((early.style, 1 - way), (late.style, way)),
            whole * (early.weight / weights[0]) * (late.weight / weights[1]),
        )
        for early in one
        for late in two
    ]


def _seconds(at: Fraction) -> str:
    return f"{float(at):g} s"


def _in(region: str) -> str:
    return "" if region == REST else f" in region {region}"
