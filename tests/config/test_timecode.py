"""Positions in a clip as frames, seconds and timecodes."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import media

from vidnst.config.timecode import frame_range, moment_seconds, parse_position
from vidnst.errors import ConfigError, RangeError
from vidnst.frames import ClipInfo, SourceKind


def steady_clip(count: int, rate: Fraction = Fraction(25), first: Fraction = Fraction(0)) -> ClipInfo:
    return ClipInfo(
        source="clip.mp4",
        kind=SourceKind.VIDEO,
        paths=(Path("clip.mp4"),),
        width=96,
        height=64,
        rate=rate,
        pts_seconds=tuple(first + n / rate for n in range(count)),
        last_duration_seconds=1 / rate,
        variable_rate=False,
        bit_depth=8,
    )


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("0", 0),
        ("20", 20),
        ("250", 250),
        ("1.5s", 38),
        ("1.52s", 38),
        ("1.56 s", 39),
        (".04s", 1),
        ("00:00:01.52", 38),
        ("0:01", 25),
        ("00:00:10", 250),
    ],
)
def test_position_is_frame_seconds_or_timecode(text: str, index: int) -> None:
    assert parse_position(text, steady_clip(250)) == index
    assert parse_position(text, steady_clip(250, first=Fraction(7, 3))) == index


@given(
    st.integers(0, 1999), st.sampled_from([Fraction(30000, 1001), Fraction(24000, 1001), Fraction(25), Fraction(60)])
)
def test_millisecond_time_finds_its_frame(index: int, rate: Fraction) -> None:
    clip = steady_clip(2000, rate)
    assert parse_position(f"{float(clip.pts_seconds[index]):.3f}s", clip) == index


@pytest.mark.parametrize("text", ["", "soon", "-3", "1.5", "1:2:3:4", "5 frames", "00:00:1e3"])
def test_invalid_positions_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not a position"):
        parse_position(text, steady_clip(250))


@pytest.mark.parametrize("text", ["251", "10.1s", "00:01:00"])
def test_position_outside_clip_is_refused(text: str) -> None:
    with pytest.raises(RangeError, match=r"frames 0 to 249, 10\.000 s"):
        parse_position(text, steady_clip(250))


def test_ranges_are_checked() -> None:
    clip = steady_clip(250)
    assert frame_range(clip, None, None) == (0, 250)
    assert frame_range(clip, "20", "1.76s") == (20, 44)
    for start, end in (("44", "20"), ("20", "20"), ("250", None)):
        with pytest.raises(RangeError):
            frame_range(clip, start, end)


def test_positions_at_variable_rate() -> None:
    clip = replace(steady_clip(8), pts_seconds=media.UNEVEN_PTS, last_duration_seconds=media.UNEVEN_LAST)
    assert [parse_position(f"{ms / 1000}s", clip) for ms in (0, 50, 240, 241, 800, 801, 1050)] == [0, 1, 3, 4, 7, 8, 8]


def test_moment_may_be_after_the_end() -> None:
    clip = steady_clip(250, first=Fraction(7, 3))
    assert moment_seconds("50", clip) == clip.pts_seconds[50] - clip.pts_seconds[0]
    assert moment_seconds(" 0:02.5 ", clip) == moment_seconds("2.5s", clip) == Fraction(5, 2)
    assert moment_seconds("250", clip) == clip.duration_seconds
    assert moment_seconds("300", clip) == clip.duration_seconds + 50 / clip.rate
    with pytest.raises(ConfigError, match="noon"):
        moment_seconds("noon", clip)
