"""Styles over time and by shot: the styles that a frame gets from a list of entries, and lists that are refused."""

from fractions import Fraction

import pytest

from vidnst.errors import ConfigError
from vidnst.rendering.styles.timeline import (
    REST,
    TimedStyle,
    check_shots,
    check_timeline,
    never_shown,
    style_mixes,
)
from vidnst.style.guidance import StyleMix, style_shares


def seen(entries: list[TimedStyle], seconds: float, *, shot: int = 0, region: str = REST) -> tuple[StyleMix, ...]:
    return style_mixes(entries, region, seconds=Fraction(seconds), shot=shot)


def at(style: int, seconds: float, weight: float = 1.0, region: str = REST) -> TimedStyle:
    return TimedStyle(style, weight, f"s{style}", Fraction(seconds), region=region)


def test_styles_without_times_share_by_weight() -> None:
    entries = [TimedStyle(0, 1.0), TimedStyle(1, 3.0)]
    assert seen(entries, 0) == seen(entries, 99) == (StyleMix(0.25, ((0, 1.0),)), StyleMix(0.75, ((1, 1.0),)))


def test_first_and_last_style_extend_beyond_their_times() -> None:
    entries = [at(0, 2), at(1, 6)]
    assert seen(entries, 0) == seen(entries, 2) == (StyleMix(1.0, ((0, 1.0),)),)
    assert seen(entries, 6) == seen(entries, 50) == (StyleMix(1.0, ((1, 1.0),)),)


@pytest.mark.parametrize(("seconds", "way"), [(3, 0.25), (4, 0.5), (5.5, 0.875)])
def test_target_blends_linearly_between_times(seconds: float, way: float) -> None:
    entries = [at(0, 2), at(1, 6), at(2, 60)]
    assert seen(entries, seconds) == (StyleMix(1.0, ((0, 1 - way), (1, way))),)


def test_several_styles_at_one_time_share_by_weight() -> None:
    entries = [at(0, 0, 1.0), at(1, 0, 3.0), at(2, 8, 2.0), at(3, 8, 2.0)]
    assert seen(entries, 0) == seen([TimedStyle(0, 1.0), TimedStyle(1, 3.0)], 0)
    middle = seen(entries, 4)
    assert len(middle) == 4
    assert sum(mix.share for mix in middle) == pytest.approx(1)
    of_first = sum(mix.share * dict(mix.styles).get(0, 0.0) for mix in middle)
    assert of_first == pytest.approx(0.25 / 2)


def test_style_without_time_stays_with_timed_styles() -> None:
    entries = [TimedStyle(0, 1.0), at(1, 0), at(2, 10)]
    assert seen(entries, 5) == (StyleMix(0.5, ((0, 1.0),)), StyleMix(0.5, ((1, 0.5), (2, 0.5))))


def test_shot_styles_replace_common_styles() -> None:
    entries = [TimedStyle(0), TimedStyle(1, shots=(2,)), TimedStyle(2, shots=(0, 2))]
    assert [dict(mix.styles) for mix in seen(entries, 0, shot=2)] == [{1: 1.0}, {2: 1.0}]
    assert [dict(mix.styles) for mix in seen(entries, 0, shot=0)] == [{2: 1.0}]
    assert [dict(mix.styles) for mix in seen(entries, 0, shot=1)] == [{0: 1.0}]


def test_style_parts_sum_over_mixes() -> None:
    entries = [TimedStyle(0, 1.0), at(1, 0, 1.0), at(0, 10, 1.0)]
    assert style_shares(seen(entries, 5)) == pytest.approx({0: 0.75, 1: 0.25})


def test_regions_have_separate_timelines() -> None:
    entries = [at(0, 0, region="sky"), at(1, 10, region="sky"), TimedStyle(2)]
    assert seen(entries, 5, region="sky") == (StyleMix(1.0, ((0, 0.5), (1, 0.5))),)
    assert seen(entries, 5) == (StyleMix(1.0, ((2, 1.0),)),)
    assert seen(entries, 5, region="sea") == ()


def test_times_out_of_order_are_refused() -> None:
    with pytest.raises(ConfigError, match="s1 at 2 s comes after s0 at 5 s"):
        check_timeline([at(0, 5), at(1, 2)])
    check_timeline([at(0, 5), at(1, 2, region="sky"), at(2, 5), at(3, 3, region="sky")])


def test_times_and_shots_in_one_region_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"s0 holds from a moment and b\.jpg for a shot in region sky"):
        check_timeline([at(0, 5, region="sky"), TimedStyle(1, name="b.jpg", shots=(1,), region="sky")])
    check_timeline([at(0, 5, region="sky"), TimedStyle(1, shots=(1,))])


def test_shots_without_styles_and_vice_versa_are_refused() -> None:
    with pytest.raises(ConfigError, match="shot 1 has no style"):
        check_shots([TimedStyle(0, shots=(0,)), TimedStyle(1, shots=(2,))], 3)
    with pytest.raises(ConfigError, match="is for shot 3, and the range has shots 0 to 2"):
        check_shots([TimedStyle(0), TimedStyle(1, shots=(3,))], 3)
    check_shots([TimedStyle(0, shots=(0,)), TimedStyle(1)], 3)


def test_unseen_styles_are_detected() -> None:
    times = [Fraction(second) for second in range(10)]
    late = [at(0, 0), at(1, 20), at(2, 30)]
    assert [entry.style for entry in never_shown(late, times)] == [2]
    assert [entry.style for entry in never_shown(late, [Fraction(25)])] == [0]
    assert never_shown([at(0, 50)], times) == []
    between_frames = [at(0, 0.25), at(1, 0.5), at(2, 0.75)]
    assert [entry.style for entry in never_shown(between_frames, times)] == [1]
