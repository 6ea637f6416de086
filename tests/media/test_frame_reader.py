"""Reading frames by index, and places in a clip as people write them."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import media

from vidnst.config.timecode import frame_range, moment_seconds, parse_position
from vidnst.errors import BadFrameError, ConfigError, RangeError
from vidnst.frames import ClipInfo, SourceKind
from vidnst.media.input.frame_reader import FrameReader, fit_size
from vidnst.media.input.probe import probe


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


LONG = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-g", "250", "-bf", "3")


@pytest.fixture(scope="module", params=["steady.mp4", "steady.mkv", "steady.ts", "uneven.mp4"])
def long_clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ClipInfo:
    path = tmp_path_factory.mktemp("long") / request.param
    frames = media.numbered_pictures(720)
    if request.param.startswith("uneven"):
        options = ("-vf", "select='lt(n,360)+not(mod(n,3))'", "-fps_mode", "passthrough")
        media.write_video(path.with_name("all.mp4"), frames, codec=LONG)
        media.run_ffmpeg("-i", path.with_name("all.mp4"), *options, *LONG, path)
    else:
        media.write_video(path, frames, codec=LONG)
    return probe(path)


def test_frames_far_ahead_have_the_same_pixels_as_when_all_are_read(long_clip: ClipInfo) -> None:
    everything = [frame.pixels for frame in FrameReader(long_clip)]
    last = long_clip.frame_count - 1
    for index in (0, 1, 299, 303, 377, 420, last):
        with FrameReader(long_clip) as reader:
            frame = reader.read(index)
            assert np.array_equal(frame.pixels, everything[index])
            assert frame.pts_seconds == long_clip.pts_seconds[index]
            after = min(index + 2, last)
            assert np.array_equal(reader.read(after).pixels, everything[after])


def test_iteration_gives_just_the_range(long_clip: ClipInfo) -> None:
    frames = list(FrameReader(long_clip, start=100, end=104))
    assert [frame.index for frame in frames] == [100, 101, 102, 103]
    assert [media.read_index(frame.pixels) for frame in frames] == [100, 101, 102, 103]


def test_a_frame_may_be_read_twice_but_not_an_earlier_one(tmp_path: Path) -> None:
    clip = probe(media.write_video(tmp_path / "a.mp4", media.numbered_pictures(5)))
    with FrameReader(clip) as reader:
        assert reader.read(2) is reader.read(2)
        with pytest.raises(ValueError, match="comes before"):
            reader.read(1)
        with pytest.raises(ValueError, match="outside"):
            reader.read(5)


def test_frames_come_in_the_asked_size(tmp_path: Path) -> None:
    clip = probe(media.write_video(tmp_path / "a.mp4", media.numbered_pictures(2, (192, 128))))
    frame = FrameReader(clip, size=(96, 64)).read(1)
    assert frame.pixels.shape == (64, 96, 3)
    assert media.read_index(frame.pixels) == 1
    assert media.is_upright(frame.pixels)


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> ClipInfo:
    folder = tmp_path_factory.mktemp("damaged")
    whole = media.write_video(folder / "w.mp4", media.numbered_pictures(12), options=("-g", "1"))
    return probe(media.damage_packets(whole, folder / "d.mp4", [0, 4, 5, 9]))


def test_a_bad_frame_is_an_error_that_names_it(damaged: ClipInfo) -> None:
    with FrameReader(damaged, start=1) as reader:
        assert media.read_index(reader.read(3).pixels) == 3
        with pytest.raises(BadFrameError, match=r"frame 4 \(0\.160 s\) of .*d\.mp4 does not decode"):
            reader.read(4)
        assert media.read_index(reader.read(6).pixels) == 6


@pytest.mark.parametrize("indices", [range(1, 12), (5, 6, 9), (9, 10), (5, 9)])
def test_a_bad_frame_can_be_replaced_by_the_one_before_and_reported(damaged: ClipInfo, indices: range) -> None:
    reported: list[int] = []
    with FrameReader(damaged, on_bad_frame="repeat", on_repeated=reported.append) as reader:
        shown = [media.read_index(reader.read(index).pixels) for index in indices]
    instead = {4: 3, 5: 3, 9: 8}
    assert shown == [instead.get(index, index) for index in indices]
    assert reported == [index for index in indices if index in instead]


def test_a_bad_first_frame_cannot_be_replaced(damaged: ClipInfo) -> None:
    with pytest.raises(BadFrameError, match="no frame before it"):
        FrameReader(damaged, on_bad_frame="repeat").read(0)


def test_a_bad_picture_is_treated_like_a_bad_frame(tmp_path: Path) -> None:
    paths = media.write_pictures(tmp_path, media.numbered_pictures(4))
    clip = probe(tmp_path)
    paths[2].write_bytes(paths[2].read_bytes()[:200])
    with pytest.raises(BadFrameError, match=r"0002\.png does not decode"):
        list(FrameReader(clip))
    reported: list[int] = []
    frames = list(FrameReader(clip, on_bad_frame="repeat", on_repeated=reported.append))
    assert [media.read_index(frame.pixels) for frame in frames] == [0, 1, 1, 3]
    assert reported == [2]


def test_a_source_that_changed_since_it_was_probed_is_noticed(tmp_path: Path) -> None:
    path = media.write_video(tmp_path / "a.mp4", media.numbered_pictures(8))
    clip = probe(path)
    media.write_video(path, media.numbered_pictures(8), rate=24)
    with pytest.raises(BadFrameError, match="decodes differently"):
        list(FrameReader(clip))


def test_a_source_that_became_shorter_is_noticed(tmp_path: Path) -> None:
    path = media.write_video(tmp_path / "a.mp4", media.numbered_pictures(8))
    clip = probe(path)
    media.write_video(path, media.numbered_pictures(6))
    with pytest.raises(BadFrameError, match="frame 6 "):
        list(FrameReader(clip))


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(16, 6000))
def test_sizes_keep_their_proportions_and_never_grow(width: int, height: int, longest: int) -> None:
    fitted = fit_size(width, height, longest)
    if longest >= max(width, height):
        assert fitted == (width, height)
        return
    assert all(side % 2 == 0 and side >= 2 for side in fitted)
    assert longest - 1 <= max(fitted) <= longest
    exact = Fraction(min(width, height) * max(fitted), max(width, height))
    assert abs(min(fitted) - max(2, exact)) <= 1
    assert (fitted[0] >= fitted[1]) == (width >= height) or fitted[0] == fitted[1]


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
def test_positions_are_frames_seconds_or_timecodes(text: str, index: int) -> None:
    assert parse_position(text, steady_clip(250)) == index
    assert parse_position(text, steady_clip(250, first=Fraction(7, 3))) == index


@given(
    st.integers(0, 1999), st.sampled_from([Fraction(30000, 1001), Fraction(24000, 1001), Fraction(25), Fraction(60)])
)
def test_a_time_copied_to_the_millisecond_finds_its_frame(index: int, rate: Fraction) -> None:
    clip = steady_clip(2000, rate)
    assert parse_position(f"{float(clip.pts_seconds[index]):.3f}s", clip) == index


@pytest.mark.parametrize("text", ["", "soon", "-3", "1.5", "1:2:3:4", "5 frames", "00:00:1e3"])
def test_other_words_are_no_positions(text: str) -> None:
    with pytest.raises(ConfigError, match="no position"):
        parse_position(text, steady_clip(250))


@pytest.mark.parametrize("text", ["251", "10.1s", "00:01:00"])
def test_positions_outside_the_clip_are_refused_with_its_limits(text: str) -> None:
    with pytest.raises(RangeError, match=r"frames 0 to 249, 10\.000 s"):
        parse_position(text, steady_clip(250))


def test_ranges_are_checked() -> None:
    clip = steady_clip(250)
    assert frame_range(clip, None, None) == (0, 250)
    assert frame_range(clip, "20", "1.76s") == (20, 44)
    for start, end in (("44", "20"), ("20", "20"), ("250", None)):
        with pytest.raises(RangeError):
            frame_range(clip, start, end)


def test_positions_in_a_variable_rate_follow_the_time_stamps() -> None:
    clip = replace(steady_clip(8), pts_seconds=media.UNEVEN_PTS, last_duration_seconds=media.UNEVEN_LAST)
    assert [parse_position(f"{ms / 1000}s", clip) for ms in (0, 50, 240, 241, 800, 801, 1050)] == [0, 1, 3, 4, 7, 8, 8]


def test_a_moment_is_a_time_and_may_lie_behind_the_end() -> None:
    clip = steady_clip(250, first=Fraction(7, 3))
    assert moment_seconds("50", clip) == clip.pts_seconds[50] - clip.pts_seconds[0]
    assert moment_seconds(" 0:02.5 ", clip) == moment_seconds("2.5s", clip) == Fraction(5, 2)
    assert moment_seconds("250", clip) == clip.duration_seconds
    assert moment_seconds("300", clip) == clip.duration_seconds + 50 / clip.rate
    with pytest.raises(ConfigError, match="noon"):
        moment_seconds("noon", clip)
