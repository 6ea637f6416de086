"""What a command shows while it runs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from vidnst.cli.progress import showing_progress
from vidnst.events import Paced

_UNTIL_TORCH = """
import os, sys

class UntilTorch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            os._exit(7)

sys.meta_path.insert(0, UntilTorch())
from vidnst.__main__ import main
main()
"""
"""Runs the command line up to the import of torch, which takes seconds."""


def _until_torch(*command: str | Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", _UNTIL_TORCH, *map(str, command)]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)


def _stages(output: str) -> list[str]:
    return [event["stage"] for event in map(json.loads, output.splitlines()) if event["event"] == "stage"]


def test_first_sign_comes_before_torch_is_loaded(tmp_path: Path) -> None:
    samples = Path(__file__).resolve().parents[2] / "samples"
    style = ("--style", samples / "styles" / "swirls.jpg")
    done = _until_torch("render", samples / "garden.mp4", *style, "-o", tmp_path / "c.mp4", "--end", "2", "--json")
    assert _stages(done.stdout)[:1] == ["starting"], done.stderr
    batch = _until_torch("batch", "jobs.yaml", "--json")
    assert (batch.returncode, _stages(batch.stdout)) == (7, ["starting"]), batch.stderr


def test_missing_source_is_named_before_torch_is_loaded() -> None:
    done = _until_torch("render", "a.mp4", "--style", "b.png", "-o", "c.mp4", "--json")
    assert done.returncode == 3, done.stderr
    assert "there is no a.mp4" in done.stderr


def test_forecast_before_the_workers_is_of_painting_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with showing_progress(as_json=False) as on_event:
        on_event(Paced(0.0, 90.5, is_forecast=True))
        assert capsys.readouterr().err == "vidnst: about 1:30 of painting, while the workers start\n"
