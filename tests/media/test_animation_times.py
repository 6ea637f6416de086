"""Delays of animations: none that browsers take for a mistake, the same duration, and frames of the right moments."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.media import UNEVEN_LAST, UNEVEN_PTS, numbered_pictures, read_index, write_pictures, write_style
from support.renders import quick_settings, warnings_in

import vidnst
from vidnst.config import OutputConfig
from vidnst.events import Event
from vidnst.frames import ClipInfo, SourceKind
from vidnst.media.output.animation_times import ChosenFrames, shown_frames, shown_frames_note
from vidnst.media.output.encode import encode
from vidnst.media.output.preflight import check_output


def even_times(count: int, rate: Fraction | int) -> tuple[list[Fraction], Fraction]:
    return [number / Fraction(rate) for number in range(count)], 1 / Fraction(rate)


def write_animation(folder: Path, suffix: str, pts: list[Fraction], last: Fraction) -> Path:
    paths = write_pictures(folder / "frames", numbered_pictures(len(pts)))
    rate = 1 / last
    clip = ClipInfo(
        source="clip",
        kind=SourceKind.PICTURES,
        paths=tuple(paths),
        width=96,
        height=64,
        rate=rate,
        pts_seconds=tuple(pts),
        last_duration_seconds=last,
        variable_rate=any(two - one != last for one, two in pairwise(pts)),
        bit_depth=8,
        video_codec="png",
    )
    output = folder / f"out{suffix}"
    check_output(output, OutputConfig(), clip=clip)
    encode(paths, output, clip=clip, start=0, end=len(pts), settings=OutputConfig())
    return output


def read_delays(path: Path) -> tuple[list[int], list[int]]:
    """Return the delay of each frame in milliseconds, and which of the numbered pictures it is."""
    delays, numbers = [], []
    with Image.open(path) as image:
        for place in range(image.n_frames):
            image.seek(place)
            image.load()
            delays.append(round(image.info["duration"]))
            numbers.append(read_index(np.asarray(image.convert("RGB"))))
    return delays, numbers


@pytest.mark.parametrize(
    ("rate", "count", "delays", "numbers"),
    [
        (60, 12, [20] * 10, [0, 1, 2, 3, 5, 6, 7, 8, 9, 11]),
        (50, 6, [20] * 6, [0, 1, 2, 3, 4, 5]),
        (30, 6, [30, 40, 30, 30, 40, 30], [0, 1, 2, 3, 4, 5]),
        (100, 6, [20, 20, 20], [0, 2, 4]),
        (240, 24, [20] * 5, [0, 6, 10, 15, 20]),
    ],
)
def test_gif_has_right_delays(rate: int, count: int, delays: list[int], numbers: list[int], tmp_path: Path) -> None:
    found, shown = read_delays(write_animation(tmp_path, ".gif", *even_times(count, rate)))
    assert (found, shown) == (delays, numbers)


def test_gif_of_uneven_times_keeps_frames_that_are_slow_enough(tmp_path: Path) -> None:
    ms = [0, 100, 108, 115, 125, 140, 300]
    found, shown = read_delays(write_animation(tmp_path, ".gif", [Fraction(at, 1000) for at in ms], Fraction(60, 1000)))
    assert (found, shown) == ([100, 20, 20, 160, 60], [0, 1, 4, 5, 6])


@pytest.mark.parametrize(("suffix", "rate"), [(".webp", 100), (".apng", 100), (".webp", 60), (".apng", 60)])
def test_other_animations_have_no_delay_of_ten_milliseconds(suffix: str, rate: int, tmp_path: Path) -> None:
    found, _ = read_delays(write_animation(tmp_path, suffix, *even_times(11, rate)))
    assert min(found) > 10
    assert abs(sum(found) - 11_000 / rate) <= 6
    assert (len(found) == 11) == (rate == 60)


def test_times_that_are_slow_enough_are_left_alone() -> None:
    assert shown_frames("gif", *even_times(100, 50)) is None
    assert shown_frames("gif", UNEVEN_PTS, UNEVEN_LAST) is None
    assert shown_frames("webp", *even_times(100, 90)) is None
    assert shown_frames("h264", *even_times(100, 1000)) is None


def test_single_frame_is_shown() -> None:
    shown = shown_frames("gif", [Fraction(7)], Fraction(1, 1000))
    assert shown is not None
    assert (shown.indices, shown.pts_seconds, shown.last_duration_seconds) == ((0,), (0,), Fraction(2, 100))


@given(st.lists(st.integers(1, 90), min_size=1, max_size=40), st.sampled_from(["gif", "webp", "apng"]))
def test_any_times_give_delays_that_browsers_show(steps: list[int], codec: str) -> None:
    ends = [Fraction(sum(steps[: place + 1]), 1000) for place in range(len(steps))]
    pts, last = [Fraction(0), *ends[:-1]], Fraction(steps[-1], 1000)
    shown = shown_frames(codec, pts, last)
    if shown is None:
        return
    tick, fewest = (Fraction(1, 100), 2) if codec == "gif" else (Fraction(1, 1000), 11)
    edges = [*shown.pts_seconds, shown.pts_seconds[-1] + shown.last_duration_seconds]
    assert all(two - one >= fewest * tick for one, two in pairwise(edges))
    assert list(shown.indices) == sorted(set(shown.indices))
    assert abs(edges[-1] - ends[-1]) <= max(tick / 2, fewest * tick - ends[-1])
    for index, at in zip(shown.indices, shown.pts_seconds, strict=True):
        assert -tick <= at - pts[index] < fewest * tick + tick


def test_note_says_what_happens_to_rate(tmp_path: Path) -> None:
    note = shown_frames_note(tmp_path / "o.gif", "gif", *even_times(60, 60))
    assert note is not None
    assert "o.gif shows 50 of 60 frames, 50 a second instead of 60" in note
    assert shown_frames_note(tmp_path / "o.gif", "gif", *even_times(50, 50)) is None


def test_render_says_at_start_what_it_leaves_out(tmp_path: Path) -> None:
    clip, style = write_pictures(tmp_path / "clip", numbered_pictures(12))[0].parent, write_style(tmp_path / "s.png")
    events: list[Event] = []
    output = tmp_path / "out.gif"
    config = quick_settings(input={"fps": 60}, output={"measure": True})
    vidnst.render(clip, style=style, output=output, config=config, on_event=events.append)
    assert [text for text in warnings_in(events) if "out.gif shows 10 of 12 frames" in text]
    with Image.open(output) as image:
        assert image.n_frames == 10


def test_chosen_frames_are_requested_one_by_one() -> None:
    frames = ChosenFrames([Path(f"{number}") for number in range(9)], (1, 4, 8))
    assert [str(path) for path in frames] == ["1", "4", "8"]
    assert [str(path) for path in frames[1:]] == ["4", "8"]
