"""Archives for a machine without a package index."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from bench.gpu_carry import Wanted, carry, installed_name, pack, project_bytes, pydantic_core

FILES = {
    "tool/__init__.py": (b"VERSION = 1\n", 0o644),
    "tool/binaries/encoder": (b"\x7fELF", 0o755),
    "tool-1.0.data/purelib/tool/extra.py": (b"", 0o644),
    "tool-1.0.data/scripts/tool": (b"#!python", 0o755),
    "tool-1.0.dist-info/METADATA": (b"Name: tool\nRequires-Dist: pydantic-core==2.50.5\n", 0o644),
}


def wheel(folder: Path, *, year: int = 2020, files: dict[str, tuple[bytes, int]] = FILES) -> Path:
    path = folder / f"tool-1.0-py3-none-any-{year}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, (content, mode) in files.items():
            info = zipfile.ZipInfo(name, (year, 1, 1, 0, 0, 0))
            info.external_attr = mode << 16
            archive.writestr(info, content)
    return path


def members(packed: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:xz") as archive:
        return {member.name: member for member in archive.getmembers()}


def test_archive_has_what_an_installed_package_has(tmp_path: Path) -> None:
    packed = pack(wheel(tmp_path))
    found = members(packed)
    assert set(found) == {
        "tool/__init__.py",
        "tool/binaries/encoder",
        "tool/extra.py",
        "tool-1.0.dist-info/METADATA",
    }
    assert found["tool/binaries/encoder"].mode == 0o755
    assert found["tool/__init__.py"].mode == 0o644
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:xz") as archive:
        assert archive.extractfile("tool/__init__.py").read() == b"VERSION = 1\n"  # type: ignore[union-attr]


def test_archive_says_nothing_of_this_machine(tmp_path: Path) -> None:
    one, two = (pack(wheel(tmp_path, year=year)) for year in (2020, 2021))
    assert one == two
    for member in members(one).values():
        assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")


def test_scripts_are_left_behind() -> None:
    assert installed_name("tool-1.0.data/scripts/tool") is None
    assert installed_name("tool-1.0.data/platlib/tool/native.so") == "tool/native.so"


def test_core_is_the_one_that_pydantic_names(tmp_path: Path) -> None:
    assert pydantic_core(wheel(tmp_path)) == "pydantic_core==2.50.5"


def test_what_does_not_fit_is_left_out_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    optional, needed = Wanted("tool", "encoders", needed=False), Wanted("tool", "settings")
    source = wheel(tmp_path)
    assert carry(optional, source, tmp_path, 10) == 10
    assert "left out: tool-1.0.tar.xz" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="raise --limit-mib"):
        carry(needed, source, tmp_path, 10)
    assert not (tmp_path / "tool-1.0.tar.xz").exists()
    left = carry(needed, source, tmp_path, 1 << 20)
    assert left == (1 << 20) - (tmp_path / "tool-1.0.tar.xz").stat().st_size


def test_project_counts_what_git_tracks() -> None:
    assert project_bytes() > 1 << 20
