"""`--train 30s`: a time for a network's training, turned into steps."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.command_line import Vidnst
from support.media import photo, write_picture
from support.renders import write_settings

from vidnst.tools.forecast import training_time

SETTINGS = {
    "model": {"backbone": "slim"},
    "schedule": {"kind": "network", "passes": 0, "training": {"steps": 3, "crop": 64}},
    "farm": {"executor": "inline", "threads": 1, "workers": 1},
}


@pytest.fixture
def usual(style: Path, tmp_path: Path) -> tuple[Any, ...]:
    """A clip of two frames, with style and settings."""
    for seed in range(2):
        write_picture(tmp_path / "clip" / f"{seed}.png", photo(seed))
    return tmp_path / "clip", "--style", style, "--config", write_settings(tmp_path / "settings.yaml", SETTINGS)


def steps_of(run: Path) -> int:
    config = json.loads((run / "run.json").read_text())["config"]
    return int(config["schedule"]["training"]["steps"])


@pytest.fixture
def half_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_time, "training_step_seconds", lambda *_: 0.5)


@pytest.mark.usefixtures("half_seconds")
def test_time_becomes_the_steps_that_fit(usual: tuple[Any, ...], tmp_path: Path, vidnst: Vidnst) -> None:
    status, _, messages = vidnst("render", *usual, "--train", "2.6s", "-o", tmp_path / "out")
    assert status == 0, messages
    assert "2.6 s of training are some 5 steps here" in messages
    assert steps_of(tmp_path / "out.vidnst") == 5


@pytest.mark.usefixtures("half_seconds")
def test_trained_file_takes_a_time(usual: tuple[Any, ...], tmp_path: Path, vidnst: Vidnst) -> None:
    assert vidnst("train", *usual, "--train", "0.1s", "-o", tmp_path / "look.safetensors").status == 0
    notes = json.loads(vidnst("probe", tmp_path / "look.safetensors", "--json").out)["notes"]
    assert json.loads(notes["settings"])["schedule"]["training"]["steps"] == 1


def test_earlier_run_keeps_its_steps(
    usual: tuple[Any, ...], tmp_path: Path, vidnst: Vidnst, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    assert vidnst("render", *usual, "--train", "2", "-o", output).status == 0
    monkeypatch.setattr(training_time, "training_step_seconds", lambda *_: pytest.fail("timed again"))
    assert vidnst("render", *usual, "--train", "30s", "--overwrite", "-o", output).status == 0
    assert steps_of(tmp_path / "out.vidnst") == 2


def test_step_of_a_real_training_is_timed(usual: tuple[Any, ...], tmp_path: Path, vidnst: Vidnst) -> None:
    status, out, _ = vidnst("plan", *usual, "--train", "0:00.2", "--json")
    assert status == 0
    (found,) = json.loads(out)["clips"]
    assert found["pace"]["training_step"] > 0
    assert found["pace"]["evaluation"] == 0  # no frame is optimised


def test_training_without_network_is_refused(usual: tuple[Any, ...], tmp_path: Path, vidnst: Vidnst) -> None:
    for train in ("30s", "100"):
        result = vidnst("render", *usual, "--engine", "optimize", "--train", train, "-o", tmp_path / "out")
        assert result.status == 2
        assert "add --engine network" in result.err


def test_other_texts_are_refused(usual: tuple[Any, ...], tmp_path: Path, vidnst: Vidnst) -> None:
    status, _, messages = vidnst("render", *usual, "--train", "soon", "-o", tmp_path / "out")
    assert status == 2
    assert "--train 'soon' is neither steps nor a time" in messages
    assert "30s" in messages
