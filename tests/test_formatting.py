"""Numbers, durations and sizes as users read them."""

import pytest

from vidnst.formatting import (
    counted,
    format_bytes,
    format_clock,
    format_duration,
    format_gibibytes,
    format_gigabytes,
    format_number,
)


@pytest.mark.parametrize(
    ("seconds", "duration", "clock"),
    [
        (None, "-", "-"),
        (4.2, "4.2 s", "0:04"),
        (59.99, "60 s", "1:00"),
        (200, "3 min 20 s", "3:20"),
        (7500.4, "2 h 05 min", "2:05:00"),
    ],
)
def test_durations(seconds: float | None, duration: str, clock: str) -> None:
    assert (format_duration(seconds), format_clock(seconds)) == (duration, clock)


@pytest.mark.parametrize(
    ("count", "text"), [(None, "-"), (0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (12_340_000_000, "12.3 GB")]
)
def test_bytes_get_the_unit_that_fits(count: int | None, text: str) -> None:
    assert format_bytes(count) == text


def test_bytes_in_a_fixed_unit() -> None:
    assert format_gigabytes(1_260_000_000) == "1.3 GB"
    assert format_gibibytes(3 << 29) == "1.50 GiB"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0"),
        (0.5, "0.5"),
        (1234.5, "1234"),
        (12.345, "12.3"),
        (2.0, "2"),
        (1e-5, "1e-05"),
        (3e7, "3e+07"),
    ],
)
def test_numbers_have_three_figures(value: float | None, text: str) -> None:
    assert format_number(value) == text


def test_counted_nouns() -> None:
    assert [counted(count, "clip") for count in (0, 1, 2)] == ["0 clips", "1 clip", "2 clips"]
