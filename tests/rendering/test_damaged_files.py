"""Untrusted files: each ends in an output or in one error of one sentence, without hanging, crashing or leftovers."""

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import damaged_files, media

from vidnst.errors import SourceError
from vidnst.media import ffmpeg, images
from vidnst.media.input import image_files, limits, packet_times
from vidnst.media.input.probe import probe

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks, and reads /proc")


def _check(count: int, *seeds: int, suffixes: str = "") -> None:
    """Render damaged files in new processes, since forks would inherit the threads and memory of all tests before."""
    commands = [[sys.executable, damaged_files.__file__, str(count), str(seed), suffixes] for seed in seeds]
    runs = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for command in commands
    ]
    printed = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0] * len(runs), "".join(printed)


@linux
def test_damaged_files_end_in_output_or_one_error() -> None:
    _check(24, 4)


@linux
def test_damaged_files_of_large_decoders_end_likewise() -> None:
    _check(16, 11, suffixes="heic,avif,webp,tif,exr,dpx,ts")


@linux
@pytest.mark.slow
def test_many_files_of_large_decoders_end_likewise() -> None:
    _check(60, 12, 13, suffixes="heic,avif,webp,tif,exr,dpx,ts")


@linux
@pytest.mark.slow
def test_many_damaged_files_end_in_output_or_one_error() -> None:
    _check(60, 1, 2, 3)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _png(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(b"")) + _chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", [".png", ".mkv"])
def test_claimed_giant_size_is_refused_for_any_suffix(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"bomb{suffix}"
    path.write_bytes(_png(60_000, 60_000))
    with pytest.raises(SourceError, match=rf"more than {limits.MAX_PIXELS}|not a video"):
        probe(path)


def test_too_large_animation_is_refused_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = media.write_video(tmp_path / "a.gif", media.numbered_pictures(6), codec=())
    assert probe(path).frame_count == 6
    monkeypatch.setattr(limits, "MAX_ANIMATION_PIXELS", 6 * 96 * 64 - 1)
    monkeypatch.setattr("vidnst.media.input.probe.open_file", None)
    with pytest.raises(SourceError, match=rf"6 frames of 96x64, together more than {6 * 96 * 64 - 1} pixels"):
        probe(path)


def test_more_frames_than_the_limit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = media.write_video(tmp_path / "a.mp4", media.numbered_pictures(20))
    media.write_pictures(tmp_path / "burst", media.numbered_pictures(20))
    for module in (limits, packet_times, image_files):
        monkeypatch.setattr(module, "MAX_FRAMES", 19)
    for source in (video, tmp_path / "burst", tmp_path / "burst" / "%04d.png", tmp_path / "burst" / "*.png"):
        with pytest.raises(SourceError, match="more than 19 frames"):
            probe(source)


@pytest.mark.parametrize("name", ["x" * 5000, "x" * 300 + ".png", "a**b.png", "~nobody_has_this_name/a.png", "a\0.png"])
def test_invalid_file_names_are_refused(name: str) -> None:
    with pytest.raises(SourceError):
        probe(name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", ["pipe.png", "pipe.mp4"])
def test_named_pipe_is_refused_without_waiting(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(SourceError):
        probe(tmp_path / name)


def test_transparency_is_blended_over_white_in_strips(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (600, 17, 4), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "strips.png")
    Image.fromarray(pixels[250:260]).save(tmp_path / "one_strip.png")
    blended = images.read_image(tmp_path / "strips.png")
    assert np.array_equal(blended[250:260], images.read_image(tmp_path / "one_strip.png"))
    share = pixels[..., 3:] / 255
    assert np.abs(blended - (pixels[..., :3] * share + 255 * (1 - share))).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("suffix", [".m3u8", ".mp4", ".ffconcat", ".mkv", ".sdp", ".png"])
@pytest.mark.parametrize("number", range(len(damaged_files.PLAYLISTS)))
def test_playlists_open_no_other_file(suffix: str, number: int, tmp_path: Path) -> None:
    other = media.write_video(tmp_path / "other.mp4", media.numbered_pictures(2))
    path = tmp_path / f"list{suffix}"
    path.write_text(damaged_files.PLAYLISTS[number].format(other=other))
    with pytest.raises(SourceError):
        probe(path)


def test_ffmpeg_is_killed_at_output_and_time_limits() -> None:
    endless = ["-f", "lavfi", "-i", "testsrc=size=64x64:rate=25"]
    status, out, _ = ffmpeg.run_and_capture([*endless, "-f", "rawvideo", "pipe:1"], max_bytes=100_000)
    assert status != 0
    assert len(out) == 100_000
    status, _, _ = ffmpeg.run_and_capture([*endless, "-re", "-f", "null", "-"], seconds=0.3)
    assert status != 0
