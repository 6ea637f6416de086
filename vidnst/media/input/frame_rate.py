"""Frame rates from time stamps: whether frames come steadily, and at which exact rate."""

from collections.abc import Iterable, Sequence
from fractions import Fraction

COARSEST_TICK_SECONDS = Fraction(1, 500)
"""Time stamps of a coarser clock (GIF: 1/100 s) are what is shown, not the rounding of a steady rate."""

_NTSC = (12, 15, 24, 30, 48, 60, 90, 120, 240)
_STANDARD = tuple(Fraction(n * 1000, 1001) for n in _NTSC) + tuple(Fraction(n) for n in range(1, 241))
_ROUNDING = Fraction(6, 1000)
"""Headers give rates with two decimals."""


def standard_rate(rounded: Fraction) -> Fraction:
    """The customary rate that a header's two decimals mean: 29.97 is 30000/1001; others are themselves."""
    nearest = min(_STANDARD, key=lambda rate: abs(rate - rounded))
    return nearest if abs(nearest - rounded) <= _ROUNDING else rounded


def steady_rate(
    pts_seconds: Sequence[Fraction], *, tick_seconds: Fraction, hints: Iterable[Fraction] = ()
) -> Fraction | None:
    """The rate r for which frame n appears n/r after the first, to within the rounding of the file's clock.

    Args:
        pts_seconds: two or more time stamps, ascending.
        tick_seconds: the clock's resolution; the rounding of two time stamps together is less than that.
        hints: rates that the header suggests; they decide where several rates fit.

    Returns:
        None where frames stay for different times.
    """
    span = pts_seconds[-1] - pts_seconds[0]
    if span <= 0:
        return None
    mean = (len(pts_seconds) - 1) / span
    slack = tick_seconds if tick_seconds <= COARSEST_TICK_SECONDS else Fraction(0)
    candidates = [mean, *(standard_rate(hint) for hint in hints), standard_rate(mean), mean.limit_denominator(1001)]
    exact = next((rate for rate in candidates if _fits(pts_seconds, rate, Fraction(0))), None)
    if exact is not None and (exact in _STANDARD or not slack):
        return exact
    return next((rate for rate in candidates[1:] if _fits(pts_seconds, rate, slack)), exact)


def _fits(pts_seconds: Sequence[Fraction], rate: Fraction, slack: Fraction) -> bool:
    """Whether every time stamp is the steady one, or less than `slack` away from it."""
    first, period = pts_seconds[0], 1 / rate
    for number, pts in enumerate(pts_seconds):
        away = abs(pts - first - number * period)
        if away and away >= slack:
            return False
    return True
