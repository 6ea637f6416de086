"""Names of files that are not UTF-8, or hold what libraries, demuxers and terminals could take for something else."""

import os
from pathlib import Path

import numpy as np
import pytest
from support.media import numbered_pictures, read_index, write_pictures, write_video

from vidnst.config import OutputConfig
from vidnst.errors import OutputError, SourceError
from vidnst.files.utf8_path import utf8_path
from vidnst.media.images import read_image, write_image
from vidnst.media.input.fingerprint import fingerprint
from vidnst.media.input.frame_numbers import NumberPattern
from vidnst.media.input.frame_reader import FrameReader
from vidnst.media.input.image_files import list_images
from vidnst.media.input.probe import probe
from vidnst.media.input.quick_frame import read_quick_frame
from vidnst.media.output.encode import encode
from vidnst.media.output.preflight import check_file

STEMS = (
    *(b"caf\xe9", b"\xff\xfe\x80", b"caf\xc3\xa9", "\u202egnp".encode(), b"line\nfeed\r", b"\x1b[31m\x07\x7f"),
    *(b"-i", b"%d%04d%%", b"file:a", b"http:b", b"concat:a|b", b"pipe:0", b"[0:v]'\\", b"#@:2*?{}", b" ", b"x" * 200),
    b"a\n  Stream #0:0: Video: h264, yuv420p, 9999x9999, 10 fps",
)
"""As bytes, without a suffix."""


@pytest.fixture(params=STEMS, ids=repr)
def stem(request: pytest.FixtureRequest) -> str:
    return os.fsdecode(request.param)


def test_video_is_read_under_any_name(stem: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / "plain.mkv", numbered_pictures(4)).rename(tmp_path / f"{stem}.mkv")
    clip = probe(str(path))
    assert clip.frame_count == 4
    assert clip.paths == (path,)
    assert clip.source == str(path)
    with FrameReader(clip) as reader:
        assert [read_index(frame.pixels) for frame in reader] == [0, 1, 2, 3]
    assert read_index(read_quick_frame(path, 2)) == 2
    assert len(fingerprint([path])) == 64


def test_pictures_are_read_under_any_name(stem: str, tmp_path: Path) -> None:
    folder = tmp_path / stem
    write_pictures(tmp_path / "plain", numbered_pictures(3))
    (tmp_path / "plain").rename(folder)
    for number, path in enumerate(sorted(folder.iterdir())):
        path.rename(folder / f"{stem}{number}.png")
    names = [folder / f"{stem}{number}.png" for number in range(3)]
    assert list_images(folder) == tuple(names)
    with FrameReader(probe([str(name) for name in names])) as reader:
        assert [read_index(frame.pixels) for frame in reader] == [0, 1, 2]


def test_glob_and_pattern_hold_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    stem = os.fsdecode(b"caf\xe9")
    expected = tuple(tmp_path / f"{stem}{number}.png" for number in range(3))
    for path, plain in zip(expected, write_pictures(tmp_path, numbered_pictures(3)), strict=True):
        plain.rename(path)
    assert list_images(f"{tmp_path}/{stem}*.png") == list_images(f"{tmp_path}/{stem}%d.png") == expected


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".apng", ".png"])
def test_output_is_written_under_any_name(stem: str, suffix: str, tmp_path: Path) -> None:
    frames = write_pictures(tmp_path / "frames", numbered_pictures(3))
    clip = probe(tmp_path / "frames")
    output = tmp_path / f"{stem}{suffix}"
    check_file(output)
    count = 1 if suffix == ".png" else 3
    encode(frames[:count], output, clip=clip, start=0, end=count, settings=OutputConfig())
    pattern = NumberPattern.parse(output) if suffix == ".png" else None
    written = pattern.path(0) if pattern else output
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "frames", written])
    assert probe(output).frame_count == count


def test_picture_keeps_its_bytes_under_any_name(stem: str, tmp_path: Path) -> None:
    pixels = numbered_pictures(1)[0]
    write_image(tmp_path / f"{stem}.png", pixels)
    assert np.array_equal(read_image(tmp_path / f"{stem}.png"), pixels)


def test_own_path_is_given_where_it_is_utf8(tmp_path: Path) -> None:
    with utf8_path(tmp_path / "é.mp4") as name:
        assert name == str(tmp_path / "é.mp4")


def test_link_keeps_plain_suffix_and_is_removed(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xe9.mp4")
    path.write_bytes(b"content")
    with utf8_path(path) as name:
        assert name.isascii()
        assert name.endswith(".mp4")
        assert Path(name).read_bytes() == b"content"
    assert not Path(name).parent.exists()
    assert path.exists()


def test_temporary_folder_that_is_not_utf8_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / os.fsdecode(b"\xe9")
    folder.mkdir()
    path = write_video(tmp_path / "a.mp4", numbered_pictures(2)).rename(folder / "a.mp4")
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    with pytest.raises(SourceError, match="TMPDIR"):
        probe(path)


@pytest.mark.parametrize("bytes_", [256, 300, 5000])
def test_output_name_too_long_for_its_disk_is_refused(bytes_: int, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=f"is {bytes_} bytes long"):
        check_file(tmp_path / ("x" * (bytes_ - 4) + ".gif"))


def test_longest_output_name_is_written(tmp_path: Path) -> None:
    frames = write_pictures(tmp_path / "frames", numbered_pictures(2))
    output = tmp_path / ("x" * 251 + ".gif")
    check_file(output)
    encode(frames, output, clip=probe(tmp_path / "frames"), start=0, end=2, settings=OutputConfig())
    assert output.is_file()


def test_path_too_long_for_the_system_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"path .* bytes long"):
        check_file(tmp_path / "/".join(["x" * 200] * 21) / "out.mp4")


@pytest.mark.parametrize("name", ["x" * 300, "/".join(["x" * 200] * 30), "a\0b.mp4", "a\0b.png"])
def test_source_that_cannot_exist_is_one_sentence(name: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="check the name"):
        probe(tmp_path / name)
