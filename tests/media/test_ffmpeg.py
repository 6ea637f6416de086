"""ffmpeg as a checked child process."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import media

from vidnst.errors import CancelledError, DiskFullError, EncoderError, SourceError
from vidnst.media import ffmpeg
from vidnst.media.input.container import read_container
from vidnst.media.input.fingerprint import fingerprint

COLOUR = ("-f", "lavfi", "-i", "color=red:s=64x64:r=25")


def test_executable_has_usual_encoders() -> None:
    assert ffmpeg.executable().is_file()
    assert {"libx264", "png", "aac"} <= ffmpeg.encoders()


def test_progress_ends_with_last_frame(tmp_path: Path) -> None:
    seen: list[int] = []
    ffmpeg.run([*COLOUR, "-frames:v", "40", "-y", ffmpeg.file_url(tmp_path / "o.mp4")], on_progress=seen.append)
    assert seen[-1] == 40


def test_failure_contains_ffmpegs_last_lines(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"ffmpeg failed with status \d+: .*no_such_encoder"):
        ffmpeg.run([*COLOUR, "-frames:v", "1", "-c:v", "no_such_encoder", ffmpeg.file_url(tmp_path / "o.mp4")])


def test_full_disk_has_its_own_error() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(DiskFullError):
        ffmpeg.run([*COLOUR, "-frames:v", "200", "-f", "rawvideo", "-y", ffmpeg.file_url(full)])


def test_cancelling_kills_ffmpeg_at_once(tmp_path: Path) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(64 * 64 * 3)

    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "64x64", "-i", "pipe:0"]
    begun: list[int] = []
    with pytest.raises(CancelledError):
        ffmpeg.run(
            [*raw, "-y", ffmpeg.file_url(tmp_path / "o.mp4")],
            feed=endless(),
            on_progress=begun.append,
            cancelled=lambda: bool(begun),
        )
    size = (tmp_path / "o.mp4").stat().st_size
    time.sleep(0.3)
    assert (tmp_path / "o.mp4").stat().st_size == size, "ffmpeg is still writing"


def test_error_in_feed_or_callback_reaches_caller(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield bytes(64 * 64 * 3)
        raise SourceError("the feed broke")

    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "64x64", "-i", "pipe:0"]
    with pytest.raises(SourceError, match="the feed broke"):
        ffmpeg.run([*raw, "-y", ffmpeg.file_url(tmp_path / "o.mp4")], feed=broken())

    def angry(_: int) -> None:
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        ffmpeg.run([*COLOUR, "-frames:v", "50000", "-y", ffmpeg.file_url(tmp_path / "p.mp4")], on_progress=angry)


def test_unread_rest_of_feed_is_no_error(tmp_path: Path) -> None:
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "64x64", "-i", "pipe:0", "-frames:v", "2"]
    feed = (bytes(64 * 64 * 3) for _ in range(5000))
    ffmpeg.run([*raw, "-y", ffmpeg.file_url(tmp_path / "o.mp4")], feed=feed)
    assert read_container(tmp_path / "o.mp4").duration_seconds is not None


def test_inputs_cannot_access_network(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("ffconcat version 1.0\nfile http://127.0.0.1:9/a.mp4\n")
    args = [*ffmpeg.PROTOCOL_OPTIONS, "-f", "concat", "-safe", "0", "-i", ffmpeg.file_url(tmp_path / "list.txt")]
    status, _, words = ffmpeg.run_and_capture([*args, "-f", "null", "-"])
    assert status
    assert "not on whitelist" in words


def test_metadata_is_not_parsed_as_stream(tmp_path: Path) -> None:
    path = tmp_path / "m.mkv"
    lie = "x\n  Stream #0:7: Video: h264, yuv420p, 9999x9999, 99 fps"
    video = media.write_video(tmp_path / "v.mp4", media.numbered_pictures(3))
    media.run_ffmpeg("-i", video, "-c", "copy", "-metadata", f"comment={lie}", "-metadata", f"title={lie}", path)
    info = read_container(path)
    assert (info.width, info.height, info.video_index) == (*media.SIZE, 0)


def test_fingerprint_depends_on_bytes_and_file_boundaries(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"one")
    second.write_bytes(b"two")
    whole = fingerprint([first, second])
    assert len(whole) == 64
    assert fingerprint([second, first]) != whole
    assert fingerprint([first.rename(tmp_path / "c"), second]) == whole
    (tmp_path / "c").write_bytes(b"on")
    second.write_bytes(b"etwo")
    assert fingerprint([tmp_path / "c", second]) != whole
    with pytest.raises(SourceError, match="cannot be read"):
        fingerprint([tmp_path / "gone"])
