"""Files that end early, and frames that a decoder drops: what is missing is said, or the file is refused."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support import media, stills
from support.renders import quick_config, run_folder

import vidnst
from vidnst.errors import BadFrameError, SourceError
from vidnst.media.input.frame_reader import FrameReader
from vidnst.media.input.probe import probe
from vidnst.media.input.video_capture import VideoCapture

MJPEG = ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p")
MPEG2 = ("-c:v", "mpeg2video", "-pix_fmt", "yuv420p")
FIRST = ("-movflags", "+faststart", "-g", "10")
FRAMES = media.numbered_pictures(40)

DECLARED: dict[str, Sequence[str]] = {
    "a.mkv": media.H264,
    "a.webm": ("-c:v", "libvpx", "-b:v", "1M"),
    "a.avi": MJPEG,
    "a.mp4": (*media.H264, *FIRST),
    "a.mov": (*MJPEG, *FIRST),
    "a.flv": ("-c:v", "flv1"),
}
"""Containers whose header says how long the video is, with a codec."""


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


@pytest.mark.parametrize("name", DECLARED)
def test_videos_cut_short_are_called_incomplete(tmp_path: Path, name: str) -> None:
    path = media.write_video(tmp_path / name, FRAMES, codec=DECLARED[name])
    assert probe(path).notes == ()
    notes = [note for note in probe(cut(path, 0.7)).notes if "is incomplete" in note]
    assert len(notes) == 1
    assert notes[0].startswith(f"{name} is incomplete: its header says 1.600 s, of which ")


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.webm"])
def test_sound_that_lasts_longer_is_no_early_end(tmp_path: Path, name: str) -> None:
    video = media.write_video(tmp_path / "v.mkv", FRAMES)
    codec = ("-c:v", "libvpx", "-c:a", "libopus") if name == "a.webm" else ("-c:v", "copy", "-c:a", "aac")
    sound = ("-f", "lavfi", "-i", "sine=frequency=300:duration=4")
    media.run_ffmpeg("-i", video, *sound, *codec, tmp_path / name)
    assert probe(tmp_path / name).notes == ()


def test_unknown_duration_of_the_last_frame_is_no_early_end(tmp_path: Path) -> None:
    codec = ("-c:v", "wmv2", "-q:v", "2")
    path = media.write_video(tmp_path / "a.wmv", FRAMES[:8], pts_seconds=media.UNEVEN_PTS, codec=codec)
    assert probe(path).notes == ()


@pytest.mark.parametrize("share", [0.3, 0.999])
@pytest.mark.parametrize("suffix", [".webp", ".png", ".avif"])
def test_cut_animations_are_refused_as_incomplete(tmp_path: Path, suffix: str, share: float) -> None:
    path = stills.write_animation(tmp_path / f"a{suffix}", FRAMES[:8], suffix[1:].upper(), duration=40)
    with pytest.raises(SourceError, match=rf"the image .*a{suffix} is incomplete: the file ends before its last part"):
        probe(cut(path, share))


@pytest.mark.parametrize("suffix", [".heic", ".webp"])
def test_cut_photographs_are_refused_as_incomplete(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".heic":
        stills.write_heic(path, media.numbered_picture(1, (320, 200)))
    else:
        media.write_picture(path, media.numbered_picture(1, (320, 200)))
    with pytest.raises(SourceError, match="is incomplete: the file ends before its last part"):
        probe(cut(path, 0.7))


def test_cut_png_file_does_not_decode(tmp_path: Path) -> None:
    path = cut(media.write_picture(tmp_path / "a.png", media.numbered_picture(1, (320, 200))), 0.7)
    with pytest.raises(SourceError, match=r"a\.png does not decode"):  # in a burst, it may be repeated
        probe(path)


@pytest.mark.parametrize("share", [0.6, 0.97])
def test_cut_gifs_are_called_incomplete(tmp_path: Path, share: float) -> None:
    path = media.write_video(tmp_path / "a.gif", FRAMES[:8], codec=())
    assert probe(path).notes == ()
    assert any("its end mark is missing" in note for note in probe(cut(path, share)).notes)


@pytest.mark.parametrize("policy", ["error", "repeat"])
def test_a_cut_page_is_found_before_painting(tmp_path: Path, policy: Any) -> None:
    path = cut(stills.write_animation(tmp_path / "a.tif", FRAMES[:8], "TIFF"), 0.95)
    config = quick_config(optimize={"iterations": 0}, input={"on_bad_frame": policy})
    if policy == "error":
        with pytest.raises(BadFrameError, match=r"1 of 8 frames does not decode \(frame 7 of .*a\.tif\)"):
            vidnst.render(path, style=(), output=tmp_path / "out", config=config)
        assert not run_folder(tmp_path / "out").exists()
        return
    warnings = vidnst.render(path, style=(), output=tmp_path / "out", config=config).warnings
    assert any("frame 7 of" in note and "shows the frame before it" in note for note in warnings)
    assert [media.read_index(frame.pixels) for frame in FrameReader(probe(tmp_path / "out"))] == [*range(7), 6]


def test_damaged_packets_are_named(tmp_path: Path) -> None:
    path = cut(media.write_video(tmp_path / "a.avi", FRAMES, codec=("-c:v", "mpeg4")), 0.5)
    notes = probe(path).notes
    assert any("1 packet of a.avi is damaged or cut off (at 0." in note for note in notes)


@pytest.mark.parametrize("name", ["a.mpg", "a.ts"])
def test_frames_that_opencv_drops_are_read_by_libav(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    path = media.write_video(tmp_path / name, FRAMES[:12], codec=media.H264 if name == "a.mp4" else MPEG2)
    grab, count = VideoCapture.grab, 0

    def drop_the_last(capture: VideoCapture) -> bool:
        nonlocal count
        count += 1
        return count <= 11 and grab(capture)

    monkeypatch.setattr(VideoCapture, "grab", drop_the_last)
    clip = probe(path)
    assert clip.frame_count == 12
    assert clip.bad_frames == ()
    assert [media.read_index(frame.pixels) for frame in FrameReader(clip)] == list(range(12))
