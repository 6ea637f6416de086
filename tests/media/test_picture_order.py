"""The order of pictures: by name, by time of capture, as given; and names that globs and file systems trip over."""

from pathlib import Path

import pytest
from PIL import Image
from support import media, stills

from vidnst.errors import SourceError
from vidnst.files import file_names
from vidnst.files.part_files import is_part_of, new_part
from vidnst.media.input import image_files
from vidnst.media.input.frame_reader import FrameReader
from vidnst.media.input.image_header import read_image_header
from vidnst.media.input.probe import probe
from vidnst.runs.layout import run_folder_of

NOON = "2024:05:01 12:00:{:02d}"


def write_shots(folder: Path, *shots: tuple[str, int, str]) -> None:
    """Write photos: name, second and fraction of it."""
    for number, (name, second, fraction) in enumerate(shots):
        stills.write_photo(folder / name, number, taken=NOON.format(second), fraction=fraction)


def names(paths: tuple[Path, ...]) -> list[str]:
    return [path.name for path in paths]


@pytest.mark.parametrize(
    "ordered",
    [
        ["IMG_1.jpg", "IMG_1 (1).jpg", "IMG_1 (2).jpg", "IMG_2.jpg", "IMG_10.jpg"],
        ["a.jpg", "a-1.jpg", "a_edited.jpg", "b.jpg"],
        ["DSC.jpeg", "DSC.JPG", "DSC copy.jpg", "dsd.jpg"],
    ],
)
def test_copies_follow_their_original(tmp_path: Path, ordered: list[str]) -> None:
    for name in reversed(ordered):
        (tmp_path / name).write_bytes(b"")
    assert names(image_files.list_images(tmp_path) or ()) == ordered


def test_order_of_time_survives_a_counter_that_rolls_over(tmp_path: Path) -> None:
    write_shots(tmp_path, ("DSC_9998.jpg", 1, ""), ("DSC_9999.jpg", 2, ""), ("DSC_0001.jpg", 3, ""))
    clip = probe(tmp_path, order="time")
    assert names(clip.paths) == ["DSC_9998.jpg", "DSC_9999.jpg", "DSC_0001.jpg"]
    assert [media.read_index(frame.pixels) for frame in FrameReader(clip)] == [0, 1, 2]
    assert clip.notes == ()
    by_name = probe(tmp_path)
    assert names(by_name.paths) == ["DSC_0001.jpg", "DSC_9998.jpg", "DSC_9999.jpg"]
    note, gap = by_name.notes
    assert "numbers 2 to 9997 of" in gap
    assert note.startswith("DSC_0001.jpg comes before DSC_9998.jpg but was taken after it: use --order time")


def test_fractions_of_a_second_order_a_burst(tmp_path: Path) -> None:
    write_shots(tmp_path, ("c.jpg", 7, "05"), ("a.jpg", 7, "25"), ("d.jpg", 7, "7"), ("b.jpg", 8, "001"))
    assert names(probe(tmp_path, order="time").paths) == ["c.jpg", "a.jpg", "d.jpg", "b.jpg"]


def test_pictures_of_one_moment_go_by_name(tmp_path: Path) -> None:
    write_shots(tmp_path, ("p10.jpg", 7, ""), ("p2.jpg", 7, ""), ("p1.jpg", 9, ""), ("z.jpg", 1, ""))
    assert names(probe(tmp_path, order="time").paths) == ["z.jpg", "p2.jpg", "p10.jpg", "p1.jpg"]


def test_agreeing_times_give_no_note(tmp_path: Path) -> None:
    write_shots(tmp_path, ("a.jpg", 1, ""), ("b.jpg", 1, ""), ("c.jpg", 2, ""))
    media.write_picture(tmp_path / "d.png", media.numbered_picture(3))
    assert probe(tmp_path).notes == ()


def test_time_of_heic_is_read(tmp_path: Path) -> None:
    for name, second in (("a.heic", 5), ("b.heic", 3)):
        data = stills.exif(taken=NOON.format(second))
        stills.write_heic(tmp_path / name, media.numbered_picture(second), metadata=data)
    assert names(probe(tmp_path, order="time").paths) == ["b.heic", "a.heic"]


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "AVIF"])
def test_time_of_other_formats_is_read(tmp_path: Path, kind: str) -> None:
    for name, second in (("a.png", 5), ("b.png", 3)):
        data = stills.exif(taken=NOON.format(second), fraction="5")
        Image.fromarray(media.numbered_picture(second)).save(tmp_path / name, kind, exif=data)
    assert names(probe(tmp_path, order="time").paths) == ["b.png", "a.png"]
    assert str(read_image_header(tmp_path / "b.png").taken) == "2024-05-01 12:00:03.500000"


@pytest.mark.parametrize("taken", ["", "0000:00:00 00:00:00", "yesterday"])
def test_order_of_time_needs_times(tmp_path: Path, taken: str) -> None:
    write_shots(tmp_path, ("a.jpg", 1, ""), ("b.jpg", 2, ""))
    stills.write_photo(tmp_path / "c.jpg", 1, taken=taken)
    with pytest.raises(SourceError, match=r"c\.jpg has no time of capture .*; use --order name"):
        probe(tmp_path, order="time")


def test_files_named_one_by_one_stay_as_given(tmp_path: Path) -> None:
    write_shots(tmp_path, ("a.jpg", 1, ""), ("b.jpg", 2, ""), ("c.jpg", 3, ""))
    given = [tmp_path / name for name in ("b.jpg", "c.jpg", "a.jpg")]
    clip = probe(given)
    assert list(clip.paths) == given
    assert [media.read_index(frame.pixels) for frame in FrameReader(clip)] == [1, 2, 0]
    assert list(probe(given, order="name").paths) == sorted(given)
    assert list(probe(given, order="time").paths) == sorted(given)
    assert list(probe([str(path) for path in given], order="given").paths) == given


def test_glob_expanded_by_a_shell_is_sorted_and_named(tmp_path: Path) -> None:
    paths = media.write_pictures(tmp_path, media.numbered_pictures(12), "p{}.png")
    expanded = sorted(paths, key=str)
    clip = probe(expanded)
    assert list(clip.paths) == paths
    assert "look like a glob that the shell expanded (p10.png too early)" in clip.notes[0]
    assert list(probe(expanded, order="given").paths) == expanded


@pytest.mark.parametrize("folder", ["shoot [2024]", "a*b?", "x [1] [2]/deep [3]"])
@pytest.mark.parametrize("pattern", ["*.png", "p[0-1].png", "p?.png", "**/*.png", "p%d.png"])
def test_magic_characters_in_a_folder_are_literal(tmp_path: Path, folder: str, pattern: str) -> None:
    media.write_pictures(tmp_path / folder, media.numbered_pictures(2), "p{}.png")
    found = image_files.list_images(str(tmp_path / folder / pattern)) or ()
    assert [path.relative_to(tmp_path / folder).as_posix() for path in found] == ["p0.png", "p1.png"]


def test_globs_in_folders_still_match(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for day in ("day 1", "day 2", "day [3]"):
        media.write_pictures(tmp_path / day, media.numbered_pictures(1), "p{}.png")
    monkeypatch.chdir(tmp_path)
    assert names(image_files.list_images("day*/p*.png") or ()) == ["p0.png"] * 3
    assert image_files.list_images("day [12]/*.png") == (Path("day 1/p0.png"), Path("day 2/p0.png"))


@pytest.mark.parametrize("name", ["x" * 251 + ".mp4", "ä" * 125 + ".mp4", "n" * 242 + ".mp4"])
def test_derived_names_fit_into_a_file_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"1")
    run_folder_of(path).write_bytes(b"1")
    part = new_part(path)
    for derived in (part, run_folder_of(path), new_part(run_folder_of(path))):
        assert len(derived.name.encode()) <= 255
    assert is_part_of(part, path)
    assert part.name.startswith(".")
    assert part.name.endswith(".part.mp4")
    assert run_folder_of(path).name.endswith(".vidnst")
    assert len(file_names.part_prefix(name).encode()) <= 247


def test_derived_names_of_different_long_names_differ() -> None:
    one, two = (run_folder_of(Path("/a") / ("x" * 250 + end)) for end in ("1.mp4", "2.mp4"))
    assert one != two
    assert run_folder_of(Path("short.mp4")) == Path("short.mp4.vidnst")
