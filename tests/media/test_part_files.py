"""Temporary names: made fresh, so that nothing that was there is touched, and swept where they are ours."""

import os
from pathlib import Path

import pytest
from support.media import numbered_pictures, write_pictures

from vidnst.config import OutputConfig
from vidnst.errors import OutputError
from vidnst.files.atomic_write import write_bytes_atomically
from vidnst.files.part_files import PartMaker, is_part_name, is_part_of, new_part, remove_part, remove_parts
from vidnst.media.input.probe import probe
from vidnst.media.output.encode import encode


@pytest.mark.parametrize("name", ["outdir", "out_%04d.png", "out.mkv"])
def test_foreign_part_folder_is_left_alone(name: str, tmp_path: Path) -> None:
    sources = write_pictures(tmp_path / "source", numbered_pictures(2))
    foreign = tmp_path / f".{Path(name).stem}.part{Path(name).suffix}"
    foreign.mkdir()
    (foreign / "mine.txt").write_text("mine")
    clip, settings = probe(str(tmp_path / "source")), OutputConfig()
    encode(sources, tmp_path / name, clip=clip, start=0, end=2, settings=settings)
    assert (foreign / "mine.txt").read_text() == "mine"
    assert not [path for path in tmp_path.iterdir() if is_part_name(path.name) and path != foreign]


def test_part_that_is_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / ".a.part.json").symlink_to(tmp_path / "mine")
    write_bytes_atomically(tmp_path / "a.json", b"new")
    assert (tmp_path / "mine").read_bytes() == b"mine"
    assert (tmp_path / ".a.part.json").is_symlink()


def test_folder_of_frames_with_folders_in_it_is_not_replaced(tmp_path: Path) -> None:
    sources = write_pictures(tmp_path / "source", numbered_pictures(2))
    (tmp_path / "out" / "000001.png").mkdir(parents=True)
    (tmp_path / "out" / "000001.png" / "mine.txt").write_text("mine")
    (tmp_path / "out" / "000000.png").write_bytes(b"old")
    clip = probe(str(tmp_path / "source"))
    with pytest.raises(OutputError, match=r"folder 000001\.png"):
        encode(sources, tmp_path / "out", clip=clip, start=0, end=2, settings=OutputConfig())
    assert (tmp_path / "out" / "000001.png" / "mine.txt").exists()
    assert (tmp_path / "out" / "000000.png").exists()


def test_names_are_fresh_and_recognised(tmp_path: Path) -> None:
    output = tmp_path / "a.b.mp4"
    announced: list[Path] = []
    maker = PartMaker(announce=announced.append)
    parts = [new_part(output), new_part(output), maker.file(output), maker.directory(output)]
    assert len(set(parts)) == 4
    assert announced == parts[2:]
    assert all(is_part_name(part.name) and is_part_of(part, output) for part in parts)
    assert PartMaker(tmp_path / "source").folder == tmp_path / "source"
    for foreign in (".a.part.mp4", "a.b.mp4", ".a.b.0123456789ab.part.mkv", ".c.0123456789ab.part.mp4"):
        assert not is_part_of(tmp_path / foreign, output)
    assert not is_part_of(tmp_path / "elsewhere" / parts[0].name, output)


def test_files_keep_the_permissions_of_the_process(tmp_path: Path) -> None:
    write_bytes_atomically(tmp_path / "a.json", b"1")
    (tmp_path / "b.json").write_bytes(b"1")
    assert (tmp_path / "a.json").stat().st_mode == (tmp_path / "b.json").stat().st_mode


def test_sweeping_follows_no_links(tmp_path: Path) -> None:
    mine, folder = tmp_path / "mine", tmp_path / "run"
    mine.mkdir()
    folder.mkdir()
    (mine / "a.txt").write_text("mine")
    ours = PartMaker(folder).directory(Path("out"))
    (ours / "000000.png").write_text("half")
    (ours / "link").symlink_to(mine)
    (folder / ".b.part").symlink_to(mine)
    (folder / ".c.part.png").write_text("half")
    (folder / ".hidden").write_text("mine")
    remove_parts(folder)
    assert (mine / "a.txt").exists()
    assert sorted(os.listdir(folder)) == [".b.part", ".hidden"]
    remove_part(folder / ".b.part")
    assert (mine / "a.txt").exists()
