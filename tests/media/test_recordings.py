"""Recordings: sound that begins later than the picture, and parts that were joined byte by byte."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support import media

from vidnst.config import OutputConfig
from vidnst.media.input.container import read_container
from vidnst.media.input.frame_reader import FrameReader
from vidnst.media.input.probe import probe
from vidnst.media.output.preflight import check_output

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


@pytest.mark.parametrize(("output", "start"), [("o.mp4", 0), ("o.mkv", 100)])
def test_sound_that_begins_far_in_is_in_step(output: str, start: int, tmp_path: Path, transcode: Callable) -> None:
    path = write_recording(tmp_path / "a.ts", KINDS["a.ts"], sound_late_seconds=12, flash=320, count=350)
    (sound,) = read_container(path).audio
    assert (sound.channels, sound.sample_rate) == (2, 48000)
    trip = transcode(path, output, start=start)
    assert step_seconds(trip.output, flash=320 - start) == pytest.approx(0, abs=AUDIO_FRAME_SECONDS)


def test_clock_that_wraps_around_is_no_join(tmp_path: Path, transcode: Callable) -> None:
    path = write_recording(tmp_path / "a.ts", TS, clock_seconds=2**33 / 90000 - 2.4)  # the muxer adds 1.4 s
    clip = probe(path)
    assert (clip.parts, clip.frame_count, clip.variable_rate, clip.notes) == (1, 50, False, ())
    assert step_seconds(transcode(path, "o.mp4").output, flash=30) == pytest.approx(0, abs=AUDIO_FRAME_SECONDS)


def test_pause_of_the_sound_is_no_join(tmp_path: Path, transcode: Callable) -> None:
    tone = "aevalsrc='if(between(t,14,14.1),sin(2*PI*1000*t),0)':s=48000:d=15:c=stereo,aselect='lt(t,1)+gt(t,13)'"
    light = "color=black:s=64x48:r=25:d=15,geq=lum='if(eq(N,350),235,16)':cb=128:cr=128"
    media.run_ffmpeg("-f", "lavfi", "-i", light, "-f", "lavfi", "-i", tone, *TS, tmp_path / "a.ts")
    clip = probe(tmp_path / "a.ts")
    assert (clip.parts, clip.frame_count, clip.notes) == (1, 375, ())
    trip = transcode(tmp_path / "a.ts", "o.mp4")
    assert step_seconds(trip.output, flash=350) == pytest.approx(0, abs=AUDIO_FRAME_SECONDS)


def join(path: Path, *parts: Path) -> Path:
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def write_parts(folder: Path, name: str, *, late: float = 0) -> tuple[Path, Path]:
    """Write two recordings of two and one seconds, whose clocks start at 0 and 90 s, with a flash and a beep each."""
    first = write_recording(folder / f"first_{name}", KINDS[name], flash=10, count=50, sound_late_seconds=late)
    second = write_recording(
        folder / f"second_{name}", KINDS[name], flash=15, count=30, sound_late_seconds=late, clock_seconds=90
    )
    return first, second


def beeps(path: Path) -> list[float]:
    """Return when each beep begins, in seconds from the container's start."""
    filters = "aresample=async=1:first_pts=0,aresample=48000"
    raw = media.run_ffmpeg("-i", path, "-map", "0:a:0", "-af", filters, "-ac", "1", "-f", "s16le", "pipe:1")
    loud = np.abs(np.frombuffer(raw, np.int16).astype(np.int32)) > 3000
    found = np.flatnonzero(loud) / 48000
    return [float(at) for number, at in enumerate(found) if number == 0 or at - found[number - 1] > 0.3]


def flashes(path: Path) -> list[float]:
    """Return when each bright frame is shown, in seconds from the container's start."""
    begin = read_container(path).start_seconds
    return [float(frame.pts_seconds - begin) for frame in FrameReader(probe(path)) if frame.pixels.mean() > 128]


@pytest.mark.parametrize("name", ["a.ts", "a.m2ts", "a.vob"])
@pytest.mark.parametrize("order", ["forward", "backward", "twice"])
def test_joined_recordings_play_on(name: str, order: str, tmp_path: Path, transcode: Callable) -> None:
    first, second = write_parts(tmp_path, name, late=0.2)
    parts = {"forward": (first, second), "backward": (second, first), "twice": (first, first)}[order]
    counts = [probe(part).frame_count for part in parts]
    path = join(tmp_path / name, *parts)
    clip = probe(path)
    assert (clip.parts, clip.rate, clip.variable_rate) == (2, 25, False)
    assert abs(clip.frame_count - sum(counts)) <= 1  # a VOB repeats its last frame, if nothing follows
    assert float(clip.duration_seconds) == pytest.approx(clip.frame_count / 25)
    assert [note.split(";")[0] for note in clip.notes] == [f"the clock of {name} jumps once"]
    trip = transcode(path, "o.mp4")
    assert len(flashes(trip.output)) == 2
    assert beeps(trip.output) == pytest.approx(flashes(trip.output), abs=AUDIO_FRAME_SECONDS)


def test_range_over_the_join_is_in_step(tmp_path: Path, transcode: Callable) -> None:
    path = join(tmp_path / "a.ts", *write_parts(tmp_path, "a.ts"))
    trip = transcode(path, "o.mkv", start=30, end=75)
    assert flashes(trip.output) == [pytest.approx(1.4, abs=0.01)]
    assert beeps(trip.output) == pytest.approx(flashes(trip.output), abs=AUDIO_FRAME_SECONDS)
    assert probe(trip.output).frame_count == 45


def test_three_parts_are_joined(tmp_path: Path) -> None:
    first, second = write_parts(tmp_path, "a.ts")
    clip = probe(join(tmp_path / "a.ts", second, first, second))
    assert (clip.parts, clip.frame_count, clip.variable_rate) == (3, 110, False)
    assert [note for note in clip.notes if "jumps 2 times" in note]


def test_pause_of_a_second_is_no_join(tmp_path: Path) -> None:
    first = write_recording(tmp_path / "first.ts", TS, count=25)
    second = write_recording(tmp_path / "second.ts", TS, count=25, clock_seconds=2)
    clip = probe(join(tmp_path / "a.ts", first, second))
    assert (clip.parts, clip.frame_count) == (1, 50)
    assert float(clip.duration_seconds) == pytest.approx(3, abs=0.1)


def test_language_of_joined_sound_is_kept(tmp_path: Path, transcode: Callable) -> None:
    options = (*TS, "-metadata:s:a", "language=deu")
    first = write_recording(tmp_path / "first.ts", options, count=25)
    path = join(tmp_path / "a.ts", first, write_recording(tmp_path / "second.ts", options, clock_seconds=60))
    assert read_container(transcode(path, "o.mp4").output).audio[0].language == "deu"


def test_sound_that_cannot_be_joined_is_named(tmp_path: Path, transcode: Callable) -> None:
    options = (*TS[:-1], "pcm_bluray", "-mpegts_m2ts_mode", "1", "-ar", "48000")
    first = write_recording(tmp_path / "first.m2ts", options, count=25)
    path = join(tmp_path / "a.m2ts", first, write_recording(tmp_path / "b.m2ts", options, count=25, clock_seconds=60))
    (note,) = check_output(tmp_path / "o.mp4", OutputConfig(), clip=probe(path))
    assert note == "audio track 1 of a.m2ts (codec pcm_bluray) is dropped, since its parts cannot be joined"
    assert read_container(transcode(path, "o.mp4").output).audio == ()


@pytest.mark.parametrize("codecs", [("aac", "ac3"), ("ac3", "aac")])
def test_sound_that_changes_its_codec_is_named(codecs: tuple[str, str], tmp_path: Path, transcode: Callable) -> None:
    parts = [
        write_recording(tmp_path / f"{name}.ts", (*TS[:-1], name), count=25, clock_seconds=60 * number)
        for number, name in enumerate(codecs)
    ]
    path = join(tmp_path / "a.ts", *parts)
    (note,) = check_output(tmp_path / "o.mp4", OutputConfig(), clip=probe(path))
    assert note.startswith("audio track 1 of a.ts")
    assert note.endswith("is dropped, since its parts cannot be joined")
    trip = transcode(path, "o.mp4")
    assert (read_container(trip.output).audio, probe(trip.output).frame_count) == ((), 50)


def test_sound_of_a_later_part_alone_is_in_step(tmp_path: Path, transcode: Callable) -> None:
    first, second = write_parts(tmp_path, "a.ts")
    media.run_ffmpeg("-i", first, "-map", "0:v", "-c", "copy", tmp_path / "silent.ts")
    path = join(tmp_path / "a.ts", tmp_path / "silent.ts", second)
    trip = transcode(path, "o.mp4")
    assert beeps(trip.output) == pytest.approx(flashes(trip.output)[1:], abs=AUDIO_FRAME_SECONDS)
