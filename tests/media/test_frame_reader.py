"""Reading frames by index."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import media

from vidnst.errors import BadFrameError
from vidnst.frames import ClipInfo
from vidnst.media.input.frame_reader import FrameReader, fit_size
from vidnst.media.input.probe import probe

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


def test_seek_gives_same_pixels_as_sequential_read(long_clip: ClipInfo) -> None:
    everything = [frame.pixels for frame in FrameReader(long_clip)]
    last = long_clip.frame_count - 1
    for index in (0, 1, 299, 303, 377, 420, last):
        with FrameReader(long_clip) as reader:
            frame = reader.read(index)
            assert np.array_equal(frame.pixels, everything[index])
            assert frame.pts_seconds == long_clip.pts_seconds[index]
            after = min(index + 2, last)
            assert np.array_equal(reader.read(after).pixels, everything[after])


def test_iteration_is_limited_to_range(long_clip: ClipInfo) -> None:
    frames = list(FrameReader(long_clip, start=100, end=104))
    assert [frame.index for frame in frames] == [100, 101, 102, 103]
    assert [media.read_index(frame.pixels) for frame in frames] == [100, 101, 102, 103]


def test_frame_can_be_read_twice_but_not_backwards(tmp_path: Path) -> None:
    clip = probe(media.write_video(tmp_path / "a.mp4", media.numbered_pictures(5)))
    with FrameReader(clip) as reader:
        assert reader.read(2) is reader.read(2)
        with pytest.raises(ValueError, match="comes before"):
            reader.read(1)
        with pytest.raises(ValueError, match="outside"):
            reader.read(5)


def test_frames_have_requested_size(tmp_path: Path) -> None:
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
def test_bad_frame_is_repeated_and_reported(damaged: ClipInfo, indices: range) -> None:
    reported: list[int] = []
    with FrameReader(damaged, on_bad_frame="repeat", on_repeated=reported.append) as reader:
        shown = [media.read_index(reader.read(index).pixels) for index in indices]
    instead = {4: 3, 5: 3, 9: 8}
    assert shown == [instead.get(index, index) for index in indices]
    assert reported == [index for index in indices if index in instead]


def test_bad_first_frame_cannot_be_repeated(damaged: ClipInfo) -> None:
    with pytest.raises(BadFrameError, match="no frame before it"):
        FrameReader(damaged, on_bad_frame="repeat").read(0)


def test_bad_image_is_a_bad_frame(tmp_path: Path) -> None:
    paths = media.write_pictures(tmp_path, media.numbered_pictures(4))
    clip = probe(tmp_path)
    paths[2].write_bytes(paths[2].read_bytes()[:200])
    with pytest.raises(BadFrameError, match=r"0002\.png does not decode"):
        list(FrameReader(clip))
    reported: list[int] = []
    frames = list(FrameReader(clip, on_bad_frame="repeat", on_repeated=reported.append))
    assert [media.read_index(frame.pixels) for frame in frames] == [0, 1, 1, 3]
    assert reported == [2]


def test_changed_source_is_detected(tmp_path: Path) -> None:
    path = media.write_video(tmp_path / "a.mp4", media.numbered_pictures(8))
    clip = probe(path)
    media.write_video(path, media.numbered_pictures(8), rate=24)
    with pytest.raises(BadFrameError, match="decodes differently"):
        list(FrameReader(clip))


def test_shortened_source_is_detected(tmp_path: Path) -> None:
    path = media.write_video(tmp_path / "a.mp4", media.numbered_pictures(8))
    clip = probe(path)
    media.write_video(path, media.numbered_pictures(6))
    with pytest.raises(BadFrameError, match="frame 6 "):
        list(FrameReader(clip))


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(16, 6000))
def test_fit_size_keeps_proportions_and_never_grows(width: int, height: int, longest: int) -> None:
    fitted = fit_size(width, height, longest)
    if longest >= max(width, height):
        assert fitted == (width, height)
        return
    assert all(side % 2 == 0 and side >= 2 for side in fitted)
    assert longest - 1 <= max(fitted) <= longest
    exact = Fraction(min(width, height) * max(fitted), max(width, height))
    assert abs(min(fitted) - max(2, exact)) <= 1
    assert (fitted[0] >= fitted[1]) == (width >= height) or fitted[0] == fitted[1]
