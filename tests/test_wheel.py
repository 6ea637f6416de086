"""What the wheel contains: its licences, their attribution, and the networks that they are about."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SLIM = "vidnst/style/network/slim.safetensors"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """The wheel, built from a copy of what goes into it."""
    pytest.importorskip("hatchling", reason="builds the wheel with hatchling")
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", PROJECT["project"]["readme"], *PROJECT["project"]["license-files"]):
        shutil.copy(ROOT / name, source)
    for name in ("vidnst", "configs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = "import sys; from hatchling.build import build_wheel; sys.stdout.write(build_wheel('dist'))"
    (source / "dist").mkdir()
    done = subprocess.run([sys.executable, "-c", build], cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(source / "dist" / done.stdout.splitlines()[-1]) as wheel:
        yield wheel


def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return message_from_bytes(wheel.read(name))


def test_wheel_names_both_licences(wheel: zipfile.ZipFile) -> None:
    facts = metadata(wheel)
    assert facts["License-Expression"] == "MIT AND CC-BY-4.0"
    assert facts.get_all("License-File") == ["LICENSE", "NOTICE"]


def test_wheel_carries_the_attribution_of_its_network(wheel: zipfile.ZipFile) -> None:
    assert SLIM in wheel.namelist()
    (name,) = (name for name in wheel.namelist() if name.endswith("/licenses/NOTICE"))
    notice = wheel.read(name).decode()
    for words in (
        SLIM,
        "Karen Simonyan and Andrew Zisserman",
        "University of Oxford",
        "creativecommons.org/licenses/by/4.0",
    ):
        assert words in notice
    assert "Changes:" in notice


def test_notice_names_every_file_of_weights() -> None:
    notice = (ROOT / "NOTICE").read_text("utf-8")
    weights = [path.relative_to(ROOT).as_posix() for path in (ROOT / "vidnst").rglob("*.safetensors")]
    assert weights
    assert not [path for path in weights if path not in notice]
    assert PROJECT["project"]["license"] == "MIT AND CC-BY-4.0"
