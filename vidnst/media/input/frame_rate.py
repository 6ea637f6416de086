"""Frame rates from time stamps: detection of a constant rate and its exact value."""

from collections.abc import Iterable, Sequence
from fractions import Fraction

COARSEST_TICK_SECONDS = Fraction(1, 500)
"""Time stamps of a coarser clock (GIF: 1/100 s) are taken as exact, not as those of a constant rate, rounded."""

_NTSC = (12, 15, 24, 30, 48, 60, 90, 120, 240)
_STANDARD = tuple(Fraction(n * 1000, 1001) for n in _NTSC) + tuple(Fraction(n) for n in range(1, 241))
_ROUNDING = Fraction(6, 1000)
"""Headers give rates to two decimals."""


def standard_rate(rounded: Fraction) -> Fraction:
    """Return the standard rate that a header rounds to two decimals (29.97 is 30000/1001), or the value itself."""
    nearest = min(_STANDARD, key=lambda rate: abs(rate - rounded))
    return nearest if abs(nearest - rounded) <= _ROUNDING else rounded


def find_constant_rate(
    pts_seconds: Sequence[Fraction], *, tick_seconds: Fraction, hints: Iterable[Fraction] = ()
) -> Fraction | None:
    """Find the constant rate r at which frame n appears n/r after the first, up to the rounding of the file's clock.

    Args:
        pts_seconds: two or more time stamps, ascending.
        tick_seconds: resolution of the clock; the rounding errors of two time stamps differ by less.
        hints: rates from the header, preferred if several rates fit.

    Returns:
        None if the rate varies.
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
    """Return whether every time stamp is exact, or less than `slack` off."""
    first, period = pts_seconds[0], 1 / rate
    for number, pts in enumerate(pts_seconds):
        error = abs(pts - first - number * period)
        if error and error >= slack:
            return False
    return True
