"""Standard output and error: readers that go away, closed streams, and texts that no encoding holds."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.media import write_burst, write_style
from support.renders import QUICK, run_folder, write_settings

from vidnst.runs import RunLog

BYTE = os.fsdecode(b"\xe9")


def run_with_gone_reader(arguments: Sequence[object], *, read_bytes: int = 0, merged: bool = False) -> tuple[int, str]:
    """Run vidnst with a standard output whose reader reads some bytes and closes it; return status and error output."""
    with subprocess.Popen(
        [sys.executable, "-m", "vidnst", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if merged else subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert len(process.stdout.read(read_bytes)) == read_bytes
        process.stdout.close()
        errors = b"" if process.stderr is None else process.stderr.read()
    return process.returncode, errors.decode()


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    write_style(tmp_path / "style.png")
    return write_burst(tmp_path / "clip", 4)


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("--version",), ("presets", "--show", "default"), ("doctor",)],
    ids=" ".join,
)
def test_command_without_clip_ends_quietly(arguments: tuple[str, ...]) -> None:
    status, errors = run_with_gone_reader(arguments)
    assert (status, errors) == (141, "")


def test_commands_that_describe_clip_end_quietly(clip: Path, tmp_path: Path) -> None:
    options = ("-s", tmp_path / "style.png", "--config", write_settings(tmp_path / "quick.yaml", QUICK))
    for arguments in (
        ("probe", clip),
        ("probe", clip, "--json"),
        ("plan", clip, *options, "-o", tmp_path / "out"),
        ("render", clip, *options, "-o", tmp_path / "out", "--dry-run"),
        ("status", tmp_path),
    ):
        status, errors = run_with_gone_reader(arguments)
        assert (status, errors) == (141, ""), arguments


def test_render_whose_events_nobody_reads_stops_and_resumes(clip: Path, tmp_path: Path) -> None:
    settings = write_settings(tmp_path / "quick.yaml", QUICK)
    arguments = ["render", clip, "-s", tmp_path / "style.png", "--config", settings, "-o", tmp_path / "out", "--json"]
    status, errors = run_with_gone_reader(arguments, read_bytes=1)
    assert (status, errors) == (141, "")
    assert not (tmp_path / "out").exists()
    done = subprocess.run([sys.executable, "-m", "vidnst", *map(str, arguments)], capture_output=True, check=True)
    assert all(json.loads(line) for line in done.stdout.splitlines())
    assert len(list((tmp_path / "out").iterdir())) == 4
    assert RunLog.read(run_folder(tmp_path / "out")).complete


def test_error_that_nobody_reads_has_no_traceback(tmp_path: Path) -> None:
    status, _ = run_with_gone_reader(["probe", tmp_path / "missing"], merged=True)
    assert status in (3, 141)


def test_closed_streams_are_no_error(clip: Path) -> None:
    command = f"exec {sys.executable} -m vidnst probe {clip} >&- 2>&-"
    assert subprocess.run(["sh", "-c", command], check=False).returncode == 0


def test_name_reaches_pipe_as_its_bytes(tmp_path: Path) -> None:
    clip = write_burst(tmp_path / "clip", 2).rename(tmp_path / f"caf{BYTE}")
    command = [sys.executable, "-m", "vidnst", "render", os.fsencode(clip), "-s", str(write_style(tmp_path / "s.png"))]
    command += ["--config", str(write_settings(tmp_path / "quick.yaml", QUICK)), "-o", tmp_path / f"out{BYTE}"]
    done = subprocess.run(command, capture_output=True, check=True, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert done.stdout == os.fsencode(tmp_path / f"out{BYTE}") + b"\n"
