"""Outputs of numbered image files: names, checks, verification, and what stays when writing fails."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import media
from support.exr import from_pixels, read_values, write_shot

from vidnst.config import OutputConfig
from vidnst.errors import CancelledError, ConfigError, OutputError
from vidnst.frames import ClipInfo
from vidnst.media.images import read_image, write_png
from vidnst.media.input.probe import probe
from vidnst.media.output import frame_sequence
from vidnst.media.output.encode import encode
from vidnst.media.output.formats import OutputKind, choose_format
from vidnst.media.output.frame_sequence import left_alone, sequence_files, sequence_numbers
from vidnst.media.output.preflight import check_output


@pytest.fixture
def clip(tmp_path: Path) -> ClipInfo:
    write_shot(tmp_path / "in", (1001, 1002, 1003))
    return probe(tmp_path / "in" / "shot_%04d.exr")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", ["a_%04d.exr", "a.####.png", "a.#.tif", "a_%d.tiff", "a%03d.jpg", "a%03d.webp"])
def test_patterns_of_images_are_sequences(name: str) -> None:
    for frames in (1, 5):
        target = choose_format(Path(name), OutputConfig(), frames=frames, width=64, height=64)
        assert target.kind is OutputKind.SEQUENCE


@pytest.mark.parametrize("name", ["a#1.mp4", "a_%04d.mkv", "a.##.gif"])
def test_patterns_of_videos_are_plain_names(name: str) -> None:
    target = choose_format(Path(name), OutputConfig(), frames=5, width=64, height=64)
    assert target.kind in (OutputKind.VIDEO, OutputKind.ANIMATION)


@pytest.mark.parametrize("name", ["a.exr", "a.tif", "a%%04d.png"])
def test_one_name_for_several_frames_suggests_a_pattern(name: str) -> None:
    with pytest.raises(OutputError, match=r"number them \(.*_%04d\."):
        choose_format(Path(name), OutputConfig(), frames=2, width=64, height=64)


def test_dpx_and_videos_codecs_are_refused() -> None:
    with pytest.raises(OutputError, match="does not determine a format"):
        choose_format(Path("a_%04d.dpx"), OutputConfig(), frames=2, width=64, height=64)
    with pytest.raises(OutputError, match="cannot hold h264"):
        choose_format(Path("a_%04d.png"), OutputConfig(codec="h264"), frames=2, width=64, height=64)


def test_numbers_are_the_sources_unless_a_start_is_given(clip: ClipInfo) -> None:
    gappy = replace(clip, numbers=(1001, 1002, 1005))
    assert sequence_numbers(gappy, 0, 3, OutputConfig()) == (1001, 1002, 1005)
    assert sequence_numbers(gappy, 1, 3, OutputConfig(start_number=1)) == (1, 4)
    assert sequence_numbers(replace(clip, numbers=()), 1, 3, OutputConfig()) == (1, 2)


def finished(folder: Path, clip: ClipInfo) -> list[Path]:
    folder.mkdir()
    frames = [folder / f"{index}.png" for index in range(clip.frame_count)]
    for path, source in zip(frames, clip.paths, strict=True):
        write_png(path, read_image(source), bits=16)
    return frames


def run(clip: ClipInfo, output: Path, frames: list[Path], **more: Any) -> None:
    settings = OutputConfig(bits=8 if output.suffix == ".jpg" else 16)
    encode(frames, output, clip=clip, start=0, end=clip.frame_count, settings=settings, **more)


@pytest.mark.parametrize(
    ("name", "first", "exact"),
    [
        ("out_%04d.exr", "out_1001.exr", True),
        ("out.######.png", "out.001001.png", True),
        ("out_%d.tif", "out_1001.tif", True),
        ("out_%d.jpg", "out_1001.jpg", False),
    ],
)
def test_frames_are_written_and_read_back(name: str, first: str, exact: bool, clip: ClipInfo, tmp_path: Path) -> None:
    output = tmp_path / "out" / name
    output.parent.mkdir()
    check_output(output, OutputConfig(bits=16 if exact else 8), clip=clip)
    run(clip, output, finished(tmp_path / "frames", clip))
    assert [names(output.parent)[0], len(names(output.parent))] == [first, 3]
    back = probe(output)
    assert back.numbers == (1001, 1002, 1003)
    for number, path in enumerate(back.paths):
        seen, wanted = read_image(path, bits=16), read_image(clip.paths[number])
        assert np.array_equal(seen, wanted) if exact else np.abs(seen.astype(int) - wanted).mean() < 700
        assert media.read_index(seen) == 1 + number


def test_source_values_pass_through_unchanged(clip: ClipInfo, tmp_path: Path) -> None:
    run(clip, tmp_path / "out_%04d.exr", finished(tmp_path / "frames", clip))
    assert np.array_equal(read_values(tmp_path / "out_1002.exr"), from_pixels(media.numbered_picture(2)))


def test_pattern_must_not_match_the_source(clip: ClipInfo, tmp_path: Path) -> None:
    for output in (tmp_path / "in" / "shot_%04d.exr", tmp_path / "in" / ".." / "in" / "shot_####.exr"):
        with pytest.raises(OutputError, match=r"matches shot_1001\.exr, which is an input"):
            check_output(output, OutputConfig(start_number=5), clip=clip, overwrite=True)


def test_link_to_the_source_is_not_replaced(clip: ClipInfo, tmp_path: Path) -> None:
    (tmp_path / "a_1002.exr").hardlink_to(clip.paths[0])
    with pytest.raises(OutputError, match=r"a_1002\.exr is an input"):
        check_output(tmp_path / "a_%04d.exr", OutputConfig(), clip=clip, overwrite=True)


def test_existing_files_need_overwrite_and_others_stay(clip: ClipInfo, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in ("a_1002.exr", "a_2000.exr", "notes.txt", "a_1002.exr.bak"):
        (out / name).write_bytes(b"old")
    with pytest.raises(
        OutputError, match=r"a_1002\.exr and 1 more that match a_%04d\.exr exist already; .*--overwrite"
    ):
        check_output(out / "a_%04d.exr", OutputConfig(), clip=clip)
    check_output(out / "a_%04d.exr", OutputConfig(), clip=clip, overwrite=True)
    files = sequence_files(out / "a_%04d.exr", OutputConfig(), clip=clip, start=0, end=3)
    assert files is not None
    assert "a_2000.exr" in (left_alone(out / "a_%04d.exr", files) or "")
    run(clip, out / "a_%04d.exr", finished(tmp_path / "frames", clip))
    assert names(out) == ["a_1001.exr", "a_1002.exr", "a_1002.exr.bak", "a_1003.exr", "a_2000.exr", "notes.txt"]
    assert (out / "a_2000.exr").read_bytes() == b"old"
    assert (out / "a_1002.exr").read_bytes() != b"old"


def test_folder_in_the_place_of_a_frame_is_refused(clip: ClipInfo, tmp_path: Path) -> None:
    (tmp_path / "a_1003.exr").mkdir()
    (tmp_path / "a_1001.exr").write_bytes(b"old")
    with pytest.raises(OutputError, match=r"a_1003\.exr is not a file"):
        check_output(tmp_path / "a_%04d.exr", OutputConfig(), clip=clip, overwrite=True)


def test_missing_folder_is_named(clip: ClipInfo, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"no such|does not exist"):
        check_output(tmp_path / "none" / "a_%04d.exr", OutputConfig(), clip=clip)


@pytest.mark.parametrize("stop", [1, 3])
def test_nothing_is_named_before_all_frames_are_verified(
    stop: int, clip: ClipInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a_1001.tif").write_bytes(b"old")
    frames = finished(tmp_path / "frames", clip)
    done: list[int] = []
    with pytest.raises(CancelledError):
        run(clip, out / "a_%04d.tif", frames, on_progress=done.append, cancelled=lambda: len(done) == stop - 1)
    assert names(out) == ["a_1001.tif"]
    assert (out / "a_1001.tif").read_bytes() == b"old"
    real = frame_sequence.images.write_image

    def spoil(path: Path, pixels: Any, **more: Any) -> None:
        real(path, pixels if "1003" not in path.name else pixels[:, ::-1], **more)

    monkeypatch.setattr(frame_sequence.images, "write_image", spoil)
    with pytest.raises(OutputError, match=r"a_1003\.tif does not read back as it was written"):
        run(clip, out / "a_%04d.tif", frames)
    assert (out / "a_1001.tif").read_bytes() == b"old"


def test_start_number_is_that_of_folders_too(clip: ClipInfo, tmp_path: Path) -> None:
    frames = finished(tmp_path / "frames", clip)
    settings = OutputConfig(bits=16, start_number=7)
    encode(frames, tmp_path / "folder", clip=clip, start=0, end=3, settings=settings)
    assert names(tmp_path / "folder") == ["000007.png", "000008.png", "000009.png"]


def test_unknown_colour_space_is_named(tmp_path: Path) -> None:
    pytest.importorskip("PyOpenColorIO", reason="the extra ocio is not installed")
    write_shot(tmp_path, (1,))
    with pytest.raises(ConfigError, match="no colour space 'nonsense'"):
        read_image(tmp_path / "shot_0001.exr", transform="ocio:nonsense")
