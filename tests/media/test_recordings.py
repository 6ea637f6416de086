"""Recordings: sound that begins later than the picture, and parts that were joined byte by byte."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support import media

from vidnst.media.input.container import read_container
from vidnst.media.input.frame_reader import FrameReader
from vidnst.media.input.probe import probe

AUDIO_FRAME_SECONDS = 0.032
"""The longest frame of the codecs here, AC-3 at 48 kHz."""

TS = ("-f", "mpegts", "-c:v", "libx264", "-g", "12", "-bf", "2", "-c:a", "aac")
KINDS = {
    "a.ts": TS,
    "a.m2ts": (*TS[2:-1], "ac3", "-f", "mpegts", "-mpegts_m2ts_mode", "1"),
    "a.vob": ("-f", "vob", "-c:v", "mpeg2video", "-b:v", "2M", "-g", "12", "-c:a", "mp2", "-b:a", "192k"),
    "a.mp4": ("-c:v", "libx264", "-c:a", "aac"),
    "a.mkv": ("-c:v", "libx264", "-c:a", "ac3"),
}


def write_recording(
    path: Path,
    options: tuple[str, ...],
    *,
    flash: int = 30,
    count: int = 50,
    sound_late_seconds: float = 0,
    clock_seconds: float = 0,
) -> Path:
    """Write 25 frames a second with a beep at the flash, and a clock that starts at `clock_seconds`."""
    beep = flash / 25 - sound_late_seconds
    tone = (
        f"aevalsrc='if(between(t,{beep},{beep + 0.1}),sin(2*PI*1000*t),0)':s=48000:d={count / 25 - sound_late_seconds}"
    )
    light = f"color=black:s=64x48:r=25:d={count / 25},geq=lum='if(eq(N,{flash}),235,16)':cb=128:cr=128"
    media.run_ffmpeg(
        "-f", "lavfi", "-i", light, "-itsoffset", str(sound_late_seconds), "-f", "lavfi", "-i", f"{tone}:c=stereo",
        "-output_ts_offset", str(clock_seconds), *options, path,
    )  # fmt: skip
    return path


def step_seconds(path: Path, *, flash: int) -> float:
    """How much later the beep is than frame `flash`, the only bright one."""
    bright = [frame for frame in FrameReader(probe(path)) if frame.pixels.mean() > 128]
    assert [frame.index for frame in bright] == [flash]
    return media.beep_seconds(path) - float(bright[0].pts_seconds - read_container(path).start_seconds)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("output", ["o.mp4", "o.mkv"])
@pytest.mark.parametrize("start", [0, 20])
def test_late_sound_is_in_step(name: str, output: str, start: int, tmp_path: Path, transcode: Callable) -> None:
    path = write_recording(tmp_path / name, KINDS[name], sound_late_seconds=0.377)
    trip = transcode(path, output, start=start)
    assert step_seconds(trip.output, flash=30 - start) == pytest.approx(0, abs=AUDIO_FRAME_SECONDS)


@pytest.mark.parametrize("output", ["o.mp4", "o.mov"])
def test_late_sound_of_a_range_ends_with_the_pictures(output: str, tmp_path: Path, transcode: Callable) -> None:
    path = write_recording(tmp_path / "a.ts", KINDS["a.ts"], sound_late_seconds=0.377)
    trip = transcode(path, output, end=35)
    sound = read_container(trip.output).audio[0]
    assert sound.duration_seconds is not None
    assert float((sound.start_seconds or 0) + sound.duration_seconds) == pytest.approx(35 / 25, abs=0.05)
