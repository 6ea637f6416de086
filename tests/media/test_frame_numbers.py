"""Patterns of numbered files, and numbers that are missing."""

from pathlib import Path

import pytest
from support import media

from vidnst.errors import SourceError
from vidnst.media.input.frame_numbers import NumberPattern, numbers_of
from vidnst.media.input.probe import probe


@pytest.mark.parametrize(
    ("name", "number", "file"),
    [
        ("shot_%04d.exr", 7, "shot_0007.exr"),
        ("shot_%04d.exr", 12345, "shot_12345.exr"),
        ("shot.####.exr", 1001, "shot.1001.exr"),
        ("shot.#.exr", 12, "shot.12.exr"),
        ("sc01_##_v####.png", 3, "sc01_##_v0003.png"),
        ("100%%_%d.tif", 5, "100%_5.tif"),
        ("%03d.jpg", 0, "000.jpg"),
    ],
)
def test_pattern_names_files_and_reads_them_back(name: str, number: int, file: str) -> None:
    pattern = NumberPattern.parse(Path("folder") / name)
    assert pattern is not None
    assert pattern.path(number) == Path("folder") / file
    assert pattern.number(file) == number


@pytest.mark.parametrize("name", ["shot.exr", "take#1.png", "take#.png", "100%.png", "50%%d.png", "%x.png"])
def test_other_names_are_no_patterns(name: str) -> None:
    assert NumberPattern.parse(Path(name)) is None


@pytest.mark.parametrize(
    "name", ["shot_12.exr", "shot_12345678901234.exr", "shot_00a1.exr", "shot_0001.png", "0001.exr"]
)
def test_other_files_do_not_match(name: str) -> None:
    pattern = NumberPattern.parse(Path("shot_%04d.exr"))
    assert pattern is not None
    assert pattern.number(name) is None


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["a1001.png", "a1002.png"], (1001, 1002)),
        (["a9.png", "a10.png", "a12.png"], (9, 10, 12)),
        (["v2_0003.png", "v2_0004.png"], (3, 4)),
        (["f1_v2.png", "f2_v2.png"], (1, 2)),
        (["shot_1001.png"], (1001,)),
        (["a.png", "b.png"], ()),
        (["a1.png", "b2.png"], ()),
    ],
)
def test_numbers_are_found_in_names(names: list[str], numbers: tuple[int, ...]) -> None:
    assert numbers_of([Path("x") / name for name in names]) == numbers


def gappy(folder: Path) -> None:
    for number in (3, 4, 6, 9):
        media.write_picture(folder / f"f.{number:04d}.png", media.numbered_picture(number))


@pytest.mark.parametrize("pattern", ["f.%04d.png", "f.####.png"])
def test_missing_numbers_are_an_error_that_names_them(pattern: str, tmp_path: Path) -> None:
    gappy(tmp_path)
    with pytest.raises(SourceError, match=r"numbers 5 and 7 to 8 of .* are missing \(3 to 9 exist\); .*--missing"):
        probe(tmp_path / pattern)


def test_missing_numbers_repeat_the_image_before(tmp_path: Path) -> None:
    gappy(tmp_path)
    clip = probe(tmp_path / "f.####.png", missing="repeat")
    assert clip.numbers == (3, 4, 5, 6, 7, 8, 9)
    assert [path.name[2:6] for path in clip.paths] == ["0003", "0004", "0004", "0006", "0006", "0006", "0009"]
    assert "numbers 5 and 7 to 8" in clip.notes[0]


def test_missing_numbers_are_skipped(tmp_path: Path) -> None:
    gappy(tmp_path)
    clip = probe(tmp_path / "f.####.png", missing="skip")
    assert clip.numbers == (3, 4, 6, 9)
    assert clip.frame_count == 4
    assert "left out" in clip.notes[0]


@pytest.mark.parametrize("source", [".", "*.png"])
def test_gaps_of_a_folder_are_no_error_but_a_note(source: str, tmp_path: Path) -> None:
    gappy(tmp_path)
    clip = probe(tmp_path / source)
    assert clip.numbers == (3, 4, 6, 9)
    assert len(clip.notes) == 1


def test_a_vast_gap_is_not_filled(tmp_path: Path) -> None:
    for number in (1, 999_999_999):
        media.write_picture(tmp_path / f"{number}.png", media.numbered_picture(1))
    with pytest.raises(SourceError, match="more than"):
        probe(tmp_path / "%d.png", missing="repeat")


def test_many_gaps_are_counted(tmp_path: Path) -> None:
    for number in range(1, 20, 2):
        media.write_picture(tmp_path / f"{number}.png", media.numbered_picture(1))
    with pytest.raises(SourceError, match="numbers 2, 4, 6 and 6 more of"):
        probe(tmp_path / "%d.png")


def test_names_without_numbers_have_none(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        media.write_picture(tmp_path / name, media.numbered_picture(1))
    assert probe(tmp_path).numbers == ()
