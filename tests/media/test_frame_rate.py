"""Rates from time stamps."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidnst.media.input.frame_rate import find_constant_rate, standard_rate

MS = Fraction(1, 1000)


def rounded(count: int, rate: Fraction, tick: Fraction, first: int = 0) -> list[Fraction]:
    return [(first + round(n / rate / tick)) * tick for n in range(count)]


@pytest.mark.parametrize(
    ("header", "rate"),
    [
        ("29.97", Fraction(30000, 1001)),
        ("23.98", Fraction(24000, 1001)),
        ("59.94", Fraction(60000, 1001)),
        ("24", Fraction(24)),
        ("12.5", Fraction(25, 2)),
        ("7.14", Fraction(714, 100)),
    ],
)
def test_header_rate_maps_to_standard_rate(header: str, rate: Fraction) -> None:
    assert standard_rate(Fraction(header)) == rate


@pytest.mark.parametrize(
    "rate", [Fraction(24000, 1001), Fraction(30000, 1001), Fraction(25), Fraction(60), Fraction(24)]
)
@pytest.mark.parametrize("count", [2, 3, 10, 500])
def test_millisecond_rounding_is_undone_by_header_rate(rate: Fraction, count: int) -> None:
    hint = Fraction(round(rate * 100), 100)
    assert find_constant_rate(rounded(count, rate, MS, 7), tick_seconds=MS, hints=[hint]) == rate


@given(st.fractions(1, 120, max_denominator=50), st.integers(2, 60))
def test_exact_time_stamps_give_exact_rate(rate: Fraction, count: int) -> None:
    pts = [n / rate for n in range(count)]
    assert find_constant_rate(pts, tick_seconds=Fraction(0)) == rate


@given(st.integers(1, 40), st.sampled_from([Fraction(24000, 1001), Fraction(25), Fraction(30)]))
def test_missing_frame_makes_rate_variable(gap: int, rate: Fraction) -> None:
    pts = rounded(50, rate, MS)
    del pts[gap]
    assert find_constant_rate(pts, tick_seconds=MS, hints=[rate]) is None


def test_coarse_clock_is_taken_as_exact() -> None:
    tick = Fraction(1, 100)
    assert find_constant_rate(rounded(20, Fraction(30), tick), tick_seconds=tick, hints=[Fraction(30)]) is None
