"""The folders of a local Ray: one that it cannot use is named before it starts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vidnst.errors import FarmError
from vidnst.farm.ray.connection import RaySession
from vidnst.farm.ray.folders import temporary_folder


@pytest.fixture(autouse=True)
def no_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_TMPDIR", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("variable", ["RAY_TMPDIR", "TMPDIR"])
@pytest.mark.parametrize("folder", ["/" + "x" * 60, "/é" + "é" * 30, os.fsdecode(b"/tmp/caf\xe9")])
def test_folder_that_sockets_cannot_lie_in_is_refused(
    variable: str, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, folder)
    with pytest.raises(FarmError, match=rf"by {variable}, is .*; set RAY_TMPDIR to another one"):
        RaySession(address="local", cpus=1)


def test_working_directory_that_is_not_utf8_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    monkeypatch.chdir(folder)
    with pytest.raises(FarmError, match=r"working directory .*caf\\xe9 is not UTF-8"):
        RaySession(address="local", cpus=1)


def test_command_line_that_is_not_utf8_does_not_stop_ray() -> None:
    code = "from vidnst.farm.ray.connection import RaySession\nwith RaySession(address='local', cpus=1): print('ready')"
    command = [sys.executable, "-c", code, os.fsdecode(b"caf\xe9.mp4")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "ready" in done.stdout, done.stderr


def test_short_folder_and_none_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert temporary_folder() == Path("/tmp")
    monkeypatch.setenv("TMPDIR", "/" + "x" * 60)
    monkeypatch.setenv("RAY_TMPDIR", "/var/../tmp")
    assert temporary_folder() == Path("/tmp")
    monkeypatch.setenv("RAY_TMPDIR", "")
    monkeypatch.setenv("TMPDIR", "/scratch")
    assert temporary_folder() == Path("/scratch")


def test_longest_folder_leaves_room_for_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private.utils import validate_socket_filepath

    for length in range(20, 60):
        folder = "/" + "x" * (length - 1)
        monkeypatch.setenv("RAY_TMPDIR", folder)
        try:
            temporary_folder()
        except FarmError:
            break
        validate_socket_filepath(f"{folder}/v-abcd/r/session_2026-11-28_23-52-19_123456_4194304/sockets/plasma_store")
    assert 30 < length < 40
