"""Sound comes along: copied where it can be, in step with the pictures, trimmed with the range."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from support import media

from vidnst.config import OutputConfig
from vidnst.errors import OutputError
from vidnst.media.input.container import read_container
from vidnst.media.input.frame_reader import FrameReader
from vidnst.media.input.probe import probe
from vidnst.media.input.stream_facts import AudioStream
from vidnst.media.output.audio import encoder_for, output_options
from vidnst.media.output.encode import encode


def flash_seconds(path: Path) -> float:
    """When the white frame appears, counted from the container's start."""
    bright = [frame for frame in FrameReader(probe(path)) if frame.pixels.mean() > 128]
    assert len(bright) == 1
    return float(bright[0].pts_seconds - read_container(path).start_seconds)


def step_seconds(path: Path) -> float:
    """How much later the beep is than the flash."""
    return media.beep_seconds(path) - flash_seconds(path)


SOURCES = {
    "aac.mp4": ("-c:a", "aac"),
    "ac3.mkv": ("-c:a", "ac3"),
    "pcm.mov": ("-c:a", "pcm_s16le"),
    "mp3.mkv": ("-c:a", "libmp3lame"),
    "opus.mkv": ("-c:a", "libopus"),
    "aac.ts": ("-c:a", "aac"),
}
COPIED = {
    ".mp4": {"aac", "ac3", "mp3", "opus"},
    ".mov": {"aac", "ac3", "mp3", "pcm_s16le"},
    ".mkv": {"aac", "ac3", "mp3", "opus", "pcm_s16le"},
    ".webm": {"opus"},
}
OTHERWISE = {".mp4": "aac", ".mov": "pcm_s24le", ".mkv": "flac", ".webm": "opus"}


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
@pytest.mark.parametrize("source", SOURCES)
def test_audio_is_copied_or_encoded_in_sync(tmp_path: Path, transcode: Callable, source: str, suffix: str) -> None:
    path = media.write_flash_and_beep(tmp_path / source, sound=SOURCES[source])
    codec = read_container(path).audio[0].codec
    trip = transcode(path, f"o{suffix}")
    assert read_container(trip.output).audio[0].codec == (codec if codec in COPIED[suffix] else OTHERWISE[suffix])
    assert step_seconds(trip.output) == pytest.approx(step_seconds(path), abs=0.003)


@pytest.mark.parametrize("name", ["o.mp4", "o.mkv", "o.webm"])
def test_audio_is_trimmed_to_range(tmp_path: Path, transcode: Callable, name: str) -> None:
    path = media.write_flash_and_beep(tmp_path / "s.mp4", flash=40, count=75)
    trip = transcode(path, name, start=30, end=60)
    found = read_container(trip.output)
    assert flash_seconds(trip.output) == pytest.approx(10 / 25, abs=0.002)
    assert step_seconds(trip.output) == pytest.approx(0, abs=0.003)
    assert found.duration_seconds is not None
    assert float(found.duration_seconds) == pytest.approx(30 / 25, abs=0.05)


@pytest.mark.parametrize("start", [0, 15])
@pytest.mark.parametrize("name", ["o.mp4", "o.mkv"])
def test_audio_is_in_sync_with_late_video_start(tmp_path: Path, transcode: Callable, name: str, start: int) -> None:
    path = media.write_flash_and_beep(tmp_path / "late.mkv", pictures_late_seconds=0.4)
    trip = transcode(path, name, start=start)
    assert step_seconds(trip.output) == pytest.approx(step_seconds(path), abs=0.003)
    if start == 0:
        assert float(probe(trip.output).pts_seconds[0]) == pytest.approx(0.4, abs=0.002)


@pytest.mark.parametrize(("rate", "count", "seconds"), [(25, 50, 10), (1, 50, 49), (2, 300, 128)])
def test_interleaving_waits_for_encoder_buffer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: int, count: int, seconds: int
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("vidnst.media.output.encode.ffmpeg.run", lambda args, **options: asked.extend(map(str, args)))
    source = media.write_flash_and_beep(tmp_path / "s.mp4", count=2, flash=1)
    pts = tuple(Fraction(number, rate) for number in range(count))
    clip = replace(probe(source), rate=Fraction(rate), pts_seconds=pts, last_duration_seconds=Fraction(1, rate))
    (frame,) = media.write_pictures(tmp_path, media.numbered_pictures(1))
    with pytest.raises(OutputError):  # nothing is written
        encode([frame] * count, tmp_path / "o.mp4", clip=clip, start=0, end=count, settings=OutputConfig())
    assert asked[asked.index("-max_interleave_delta") + 1] == str(seconds * 1_000_000)


def test_silent_source_has_no_audio(tmp_path: Path, transcode: Callable) -> None:
    silent = transcode(media.write_video(tmp_path / "s.mp4", media.numbered_pictures(4)), "a.mp4")
    assert read_container(silent.output).audio == ()


def test_audio_can_be_dropped(tmp_path: Path, transcode: Callable) -> None:
    source = media.write_video(tmp_path / "s.mp4", media.numbered_pictures(4), sound=("-c:a", "aac"))
    assert read_container(transcode(source, "a.mp4", audio="none").output).audio == ()


def test_surround_audio_in_webm(tmp_path: Path, transcode: Callable) -> None:
    sound = ("-c:a", "ac3", "-af", "pan=5.1(side)|FL=c0|FR=c0|FC=c0|LFE=c0|SL=c0|SR=c0")
    source = media.write_video(tmp_path / "s.mkv", media.numbered_pictures(8), sound=sound)
    assert read_container(source).audio[0].layout == "5.1(side)"
    found = read_container(transcode(source, "o.webm").output)
    assert [(stream.codec, stream.layout) for stream in found.audio] == [("opus", "5.1")]


def test_all_audio_streams_keep_language(tmp_path: Path, transcode: Callable) -> None:
    video = media.write_video(tmp_path / "v.mp4", media.numbered_pictures(10))
    path = tmp_path / "two.mkv"
    media.run_ffmpeg(
        "-i", video, "-f", "lavfi", "-i", "sine=440:d=0.4", "-f", "lavfi", "-i", "sine=880:d=0.4",
        "-map", "0", "-map", "1", "-map", "2", "-c:v", "copy", "-c:a:0", "ac3", "-c:a:1", "pcm_s16le",
        "-metadata:s:a:0", "language=fre", "-metadata:s:a:1", "language=jpn", path,
    )  # fmt: skip
    trip = transcode(path, "o.mp4")
    assert [stream.codec for stream in read_container(trip.output).audio] == ["ac3", "aac"]
    assert headers(trip.output, "fre", "jpn") == {"fre", "jpn"}


@pytest.mark.parametrize("name", ["o.mp4", "o.mov", "o.mkv", "o.webm"])
def test_titles_and_chapters_are_kept(tmp_path: Path, transcode: Callable, name: str) -> None:
    (tmp_path / "meta.txt").write_text(
        ";FFMETADATA1\ntitle=Sea and sky\nartist=Nobody\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=400\ntitle=Dawn\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=400\nEND=800\ntitle=Dusk\n"
    )
    video = media.write_video(tmp_path / "v.mp4", media.numbered_pictures(20))
    path = tmp_path / "m.mkv"
    media.run_ffmpeg("-i", video, "-i", tmp_path / "meta.txt", "-map_metadata", "1", "-c", "copy", path)
    wanted = {"Sea and sky", "Nobody", "Dawn", "Dusk"}
    assert headers(path, *wanted) == wanted
    assert headers(transcode(path, name).output, *wanted) == wanted


def headers(path: Path, *words: str) -> set[str]:
    from vidnst.media import ffmpeg

    _, _, text = ffmpeg.run_and_capture(["-i", str(path)])
    return {word for word in words if word in text}


def test_bitrates_follow_the_channels() -> None:
    six = output_options(".webm", [AudioStream(index=1, codec="ac3", layout="5.1(side)")])
    assert six[six.index("-b:a:0") + 1] == "480k"
    one = output_options(".mp4", [AudioStream(index=1, codec="pcm_s16le", layout="mono")])
    assert one[one.index("-b:a:0") + 1] == "128k"
    assert encoder_for(".mkv", AudioStream(index=1, codec="adpcm_ms", layout="stereo")) == "flac"
