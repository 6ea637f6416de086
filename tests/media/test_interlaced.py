"""Interlaced video is made progressive: a picture for each frame, or for each field at twice the rate."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from support import media

from vidnst.config.loader import build_config
from vidnst.frames import ClipInfo
from vidnst.media.input.container import read_container
from vidnst.media.input.fields import of_fields
from vidnst.media.input.frame_reader import FrameReader
from vidnst.media.input.packet_times import PacketTimes
from vidnst.media.input.probe import probe, probe_input
from vidnst.media.input.scan import find_scan

FIELDS = 24
SIZE = (96, 64)


def bar(number: int) -> media.Picture:
    """A dark bar that moves to the right by two pixels a field, before a soft gradient."""
    picture = np.full((SIZE[1], SIZE[0], 3), 170, np.uint8)
    picture[:, 10 + 2 * number : 22 + 2 * number] = 40
    return picture


def write_interlaced(path: Path, *, top_first: bool = True, codec: tuple[str, ...] = ()) -> Path:
    """Weave 50 pictures a second into 25 frames of two fields."""
    flat = media.write_video(
        path.with_suffix(".flat.mkv"), [bar(number) for number in range(FIELDS)], rate=50, codec=media.FFV1
    )
    mode, order = ("interleave_top", "tt") if top_first else ("interleave_bottom", "bb")
    flags = ("-flags", "+ilme+ildct", "-field_order", order)
    x264 = ("-c:v", "libx264", "-crf", "5", "-preset", "fast", "-x264-params", f"{'tff' if top_first else 'bff'}=1")
    setfield = f"tinterlace={mode},setfield={'tff' if top_first else 'bff'},format=yuv420p"
    media.run_ffmpeg("-i", flat, "-vf", setfield, *(codec or x264), *flags, path)
    return path


def combing(clip: ClipInfo) -> float:
    """Mean difference between neighbouring lines, in levels; the bar's edges are straight."""
    frames = [frame.pixels.astype(float) for frame in FrameReader(clip)]
    return float(np.mean([np.abs(np.diff(pixels, axis=0)).mean() for pixels in frames]))


def bar_position(pixels: np.ndarray) -> float:
    """Left edge of the bar, from the middle lines."""
    dark = pixels[28:36].mean(axis=(0, 2)) < 105
    return float(np.flatnonzero(dark)[0])


MPEG2 = ("-c:v", "mpeg2video", "-q:v", "2")


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", ()), ("a.mpg", MPEG2), ("a.mkv", ()), ("a.mov", ("-c:v", "prores_ks"))]
)
def test_auto_makes_interlaced_frames_progressive(name: str, codec: tuple[str, ...], tmp_path: Path) -> None:
    path = write_interlaced(tmp_path / name, codec=codec)
    combed, smooth = probe(path, deinterlace="off"), probe(path, deinterlace="auto")
    assert smooth.decoder.deinterlace == "frame"
    assert smooth.frame_count == combed.frame_count == FIELDS // 2
    assert smooth.rate == combed.rate == 25
    assert smooth.pts_seconds == combed.pts_seconds
    assert combing(smooth) < 0.3 * combing(combed)


@pytest.mark.parametrize("top_first", [True, False])
def test_each_field_becomes_a_frame_in_order(top_first: bool, tmp_path: Path) -> None:
    path = write_interlaced(tmp_path / "a.mp4", top_first=top_first)
    clip = probe(path, deinterlace="field")
    assert (clip.frame_count, clip.rate) == (FIELDS, 50)
    assert not clip.bad_frames
    positions = [bar_position(frame.pixels) for frame in FrameReader(clip)]
    assert np.abs(np.array(positions) - [10 + 2 * number for number in range(FIELDS)]).max() <= 2
    assert sorted(set(positions)) == positions


def test_frames_that_are_wrongly_called_progressive_are_found(tmp_path: Path) -> None:
    size, fields = (720, 576), 40
    frames = [np.full((size[1], size[0], 3), 170, np.uint8) for _ in range(fields)]
    for number, picture in enumerate(frames):
        picture[:, 40 + 9 * number : 160 + 9 * number] = 40
    flat = media.write_video(tmp_path / "flat.mkv", frames, rate=50, codec=media.FFV1)
    path = tmp_path / "a.mp4"
    weave = "tinterlace=interleave_bottom,setfield=prog,format=yuv420p"
    media.run_ffmpeg("-i", flat, "-vf", weave, "-c:v", "libx264", "-preset", "ultrafast", "-crf", "5", path)
    info = read_container(path)
    assert not info.video.is_interlaced
    assert find_scan(path, info) == (True, False)
    still = media.write_video(tmp_path / "p.mp4", frames[::2], rate=25)
    assert find_scan(still, read_container(still)) == (False, None)


def test_progressive_video_is_left_to_opencv(tmp_path: Path) -> None:
    path = media.write_video(tmp_path / "a.mp4", media.numbered_pictures(4))
    assert probe(path, deinterlace="auto").decoder.library == "opencv"


def test_frames_are_read_as_they_are_without_deinterlacing(tmp_path: Path) -> None:
    path = write_interlaced(tmp_path / "a.mp4")
    raw = media.run_ffmpeg("-i", path, "-pix_fmt", "gray", "-f", "rawvideo", "pipe:1")
    grey = np.frombuffer(raw, np.uint8).reshape(-1, SIZE[1], SIZE[0]).astype(float)
    for frame in FrameReader(probe(path)):  # OpenCV would return memory that nobody wrote
        assert np.abs(frame.pixels.mean(axis=2) - grey[frame.index]).max() < 8


def test_ranges_read_the_same_frames(tmp_path: Path) -> None:
    clip = probe(write_interlaced(tmp_path / "a.mkv"), deinterlace="field")
    every = {frame.index: frame.pixels for frame in FrameReader(clip)}
    for frame in FrameReader(clip, start=9, end=15):
        assert np.array_equal(frame.pixels, every[frame.index])


def test_setting_is_read_and_belongs_to_the_look(tmp_path: Path) -> None:
    path = write_interlaced(tmp_path / "a.mp4")
    found = {mode: probe_input(path, build_config({"input": {"deinterlace": mode}}).input) for mode in ("off", "field")}
    assert (found["off"].frame_count, found["field"].frame_count) == (FIELDS // 2, FIELDS)
    looks = [build_config({"input": {"deinterlace": mode}}).look() for mode in ("off", "frame")]
    assert looks[0] != looks[1]


def test_times_of_fields_lie_between_frames() -> None:
    times = of_fields(PacketTimes(Fraction(1, 1000), (80, 0, 40), (40, 40, 40)))
    assert times.time_base == Fraction(1, 2000)
    assert times.pts == (0, 40, 80, 120, 160, 200)
    assert times.durations == (40,) * 6


def test_later_interlaced_frames_are_found(tmp_path: Path) -> None:
    """A progressive part followed by an interlaced one, as television is recorded."""
    codec = ("-c:v", "mpeg2video", "-q:v", "2", "-g", "10")
    still = [bar(0)] * 30
    parts = [
        media.write_video(tmp_path / "a.ts", still, rate=25, codec=codec),
        write_interlaced(tmp_path / "b.ts", codec=codec),
    ]
    listing = tmp_path / "list.txt"
    listing.write_text("".join(f"file '{part}'\n" for part in parts))
    joined = tmp_path / "joined.mkv"
    media.run_ffmpeg("-f", "concat", "-safe", "0", "-i", listing, "-c", "copy", joined)
    assert not read_container(joined).video.is_interlaced
    clip = probe(joined, deinterlace="auto")
    assert (clip.decoder.library, clip.decoder.deinterlace) == ("libav", "frame")
    assert probe(joined).decoder.library == "libav"
