"""Time codes: kept where the output can hold them, shifted with the range, named where they are lost."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest
from support import media

from vidnst.config import OutputConfig
from vidnst.media.input.container import read_container
from vidnst.media.input.probe import probe
from vidnst.media.output.formats import choose_format
from vidnst.media.output.preflight import check_output
from vidnst.media.output.timecode import output_timecode, parse_timecode

NTSC = Fraction(30000, 1001)
NTSC_60 = Fraction(60000, 1001)


def write_with_timecode(path: Path, code: str, *, rate: Fraction | int = 25, count: int = 6) -> Path:
    options = ["-timecode", code] if path.suffix != ".mkv" else ["-metadata", f"TIMECODE={code}"]
    return media.write_video(path, media.numbered_pictures(count), rate=rate, options=options)


def stored_timecode(path: Path) -> str | None:
    """The time code as PyAV alone reads it."""
    with av.open(str(path)) as container:
        tags = [container.metadata, *(stream.metadata for stream in container.streams)]
        found = [value for part in tags for key, value in part.items() if key.lower() == "timecode"]
    assert len(set(found)) <= 1
    return found[0] if found else None


@pytest.mark.parametrize("source", ["a.mov", "a.mp4", "a.mkv"])
@pytest.mark.parametrize("output", ["o.mov", "o.mp4", "o.mkv", "o.webm"])
def test_timecode_is_kept_and_shifted(source: str, output: str, tmp_path: Path, transcode: Callable) -> None:
    path = write_with_timecode(tmp_path / source, "01:00:00:00")
    trip = transcode(path, output, start=2)
    assert stored_timecode(trip.output) == "01:00:00:02"
    assert probe(trip.output).frame_count == 4


@pytest.mark.parametrize(
    ("rate", "code", "shifted"),
    [
        (NTSC, "00:00:59;28", "00:01:00;02"),
        (NTSC, "00:09:59;28", "00:10:00;00"),
        (NTSC, "23:59:59;28", "00:00:00;00"),
        (NTSC_60, "00:00:59;58", "00:01:00;04"),
        (Fraction(24000, 1001), "10:11:12:22", "10:11:13:00"),
        (50, "00:00:00:49", "00:00:01:01"),
    ],
)
def test_drop_frame_and_other_rates_are_shifted(
    rate: Fraction, code: str, shifted: str, tmp_path: Path, transcode: Callable
) -> None:
    path = write_with_timecode(tmp_path / "a.mov", code, rate=rate)
    trip = transcode(path, "o.mov", start=2, codec="h264")
    assert stored_timecode(trip.output) == shifted


@pytest.mark.parametrize("text", ["00:01:00;00", "24:00:00:00", "00:00:00:30", "1:2:3", "", "00:00:00;00"])
def test_labels_that_do_not_exist_are_no_timecode(text: str) -> None:
    rate = Fraction(25) if text == "00:00:00;00" else NTSC
    assert parse_timecode(text, rate) is None


@pytest.mark.parametrize("frames", [0, 1799, 1800, 17981, 17982, 107892, 2589407])
def test_drop_frame_counts_like_a_clock(frames: int) -> None:
    code = parse_timecode("00:00:00;00", NTSC)
    assert code is not None
    moved = code.shifted(frames)
    again = parse_timecode(str(moved), NTSC)
    assert again is not None
    assert again.frame == frames
    hours, minutes, seconds, frame = (int(part) for part in str(moved).replace(";", ":").split(":"))
    assert abs((hours * 3600 + minutes * 60 + seconds + frame / 30) - frames / NTSC) < 0.1


@pytest.mark.parametrize("name", ["o.m4v", "o.gif", "o.webp", "o.apng", "frames"])
def test_lost_timecode_is_named(name: str, tmp_path: Path) -> None:
    clip = probe(write_with_timecode(tmp_path / "a.mov", "01:00:00:00"))
    (note,) = check_output(tmp_path / name, OutputConfig(), clip=clip)
    assert note == f"the time code 01:00:00:00 is dropped, since {name} cannot hold one"


@pytest.mark.parametrize("code", ["01:00:00;00", "nonsense"])
def test_timecode_that_the_muxer_refuses_is_dropped(code: str, tmp_path: Path, transcode: Callable) -> None:
    path = write_with_timecode(tmp_path / "a.mkv", code)
    (note,) = check_output(tmp_path / "o.mp4", OutputConfig(), clip=probe(path))
    assert code in note
    assert stored_timecode(transcode(path, "o.mp4").output) is None


def test_timecode_of_a_varying_rate_is_named(tmp_path: Path, transcode: Callable) -> None:
    path = tmp_path / "a.mkv"
    options = ["-metadata", "TIMECODE=01:00:00:00"]
    media.write_video(path, media.numbered_pictures(8), pts_seconds=media.UNEVEN_PTS, options=options)
    (note,) = check_output(tmp_path / "o.mp4", OutputConfig(), clip=probe(path))
    assert "varies" in note
    assert stored_timecode(transcode(path, "o.mp4").output) is None


def test_timecode_track_next_to_sound_is_no_hindrance(tmp_path: Path, transcode: Callable) -> None:
    path = tmp_path / "a.mov"
    pictures = media.numbered_pictures(25)
    media.write_video(path, pictures, sound=("-c:a", "aac"), options=["-timecode", "10:00:00:00"])
    assert any(stream.kind == "data" for stream in read_container(path).streams)
    trip = transcode(path, "o.mov", start=5)
    assert stored_timecode(trip.output) == "10:00:00:05"
    assert len(read_container(trip.output).audio) == 1


@pytest.mark.parametrize("name", ["a.ts", "a.mpg", "a.vob"])
def test_timecode_of_mpeg_video_is_kept(name: str, tmp_path: Path, transcode: Callable) -> None:
    codec = ("-c:v", "mpeg2video", "-gop_timecode", "03:04:05:06")
    path = media.write_video(tmp_path / name, media.numbered_pictures(25), codec=codec)
    assert stored_timecode(transcode(path, "o.mov", start=20).output) == "03:04:06:01"


def test_mpeg_video_that_counts_from_zero_has_no_timecode(tmp_path: Path) -> None:
    path = media.write_video(tmp_path / "a.ts", media.numbered_pictures(6), codec=("-c:v", "mpeg2video"))
    assert read_container(path).timecode is None


@pytest.mark.parametrize(
    ("rate", "code", "written"), [("25", "00:00:01:12", "00:00:01:26"), ("30000/1001", "00:01:00;02", "00:01:00;06")]
)
def test_timecode_of_fields_has_their_rate(rate: str, code: str, written: str, tmp_path: Path) -> None:
    words = ("-f", "lavfi", "-i", f"testsrc2=s=64x48:r={rate}:d=0.4", "-vf", "setfield=tff", "-timecode", code)
    media.run_ffmpeg(*words, "-c:v", "mpeg2video", "-flags", "+ilme+ildct", tmp_path / "a.mov")
    clip = probe(tmp_path / "a.mov", deinterlace="field")
    target = choose_format(tmp_path / "o.mov", OutputConfig(), frames=6, width=64, height=48)
    assert output_timecode(read_container(tmp_path / "a.mov"), target, clip, start=2) == (written, None)
