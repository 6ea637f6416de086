"""All controls at once: they go together, each still counts, and a run that is killed goes on to the same bytes."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.media import photo, write_picture

import vidnst
from vidnst.config.loader import build_config

FRAMES = 12
KINDS = ("gram", "moments", "mmd_linear", "mmd_polynomial", "mmd_gaussian", "wasserstein", "sliced")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip that moves and flickers, two paintings, a moving style, and two masks."""
    place = tmp_path_factory.mktemp("everything")
    wide = photo(0, 160)
    for name in ("clip", "style"):
        (place / name).mkdir()
    for number in range(FRAMES):
        frame = wide[:, 2 * number : 2 * number + 96].astype(np.float32) * (1 + 0.1 * (number % 3))
        write_picture(place / "clip" / f"{number:02}.png", frame.clip(0, 255).astype(np.uint8))
    for number in range(5):
        write_picture(place / "style" / f"{number}.png", photo(20 + number, 64))
    for name, seed in (("one", 1), ("two", 2), ("three", 3)):
        write_picture(place / f"{name}.png", np.kron(photo(seed, 64)[::8, ::8], np.ones((8, 8, 1), np.uint8)))
    for name, part in (("left", np.s_[:, :30]), ("bare", np.s_[40:, 60:])):
        mask = np.zeros((64, 96, 3), np.uint8)
        mask[part] = 255
        write_picture(place / f"{name}.png", mask)
    return place


def everything(place: Path) -> dict[str, Any]:
    """Settings in which no control is off."""
    return {
        "input": {"deflicker": 5},
        "regions": {"masks": {name: str(place / f"{name}.png") for name in ("left", "bare")}, "feather": 0.05},
        "model": {"weights": "random", "pooling": "average", "padding": "replicate", "unit": True},
        "styles": {"scale": 0.9, "scales": [0.7, 1], "turns": [0, 90], "mirror": True},
        "losses": {
            "style_layers": {"relu1_1": 1, "relu2_1": 2},
            "content_layers": {"relu1_2": 0.5, "relu2_1": 1},
            "style_kinds": dict.fromkeys(KINDS, 1),
            "edges_weight": 0.5,
            "edges_cells": {2: 1, 4: 1},
        },
        "optimize": {"iterations": 10, "init": "blend", "match_init": True, "stop_at_loss": 0.01, "seed": 3},
        "schedule": {"spacing": 4, "passes": 3, "loop": True},
        "motion": {"follow_light": True, "static_lock": 2},
        "colour": {"keep": "luminance", "transfer": "optimal"},
        "photo": {"enabled": True},
        "filters": {"before": ["superpixels:200"], "after": ["superpixels:150", "palette:20"]},
        "farm": {"executor": "inline", "threads": 1, "workers": 2},
        "output": {"keep_frames": True, "bits": 16},
    }


def styles(place: Path) -> list[str]:
    """Two paintings that follow each other, one in a region, and a style that moves."""
    return [f"{place}/one.png:2@0s", f"{place}/two.png@0.4s", f"{place}/three.png#left", f"{place}/style#left"]


def pictures(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.glob("*.png"))]


@pytest.fixture(scope="module")
def undisturbed(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("undisturbed") / "out"
    vidnst.render(place / "clip", style=styles(place), output=output, config=build_config(everything(place)))
    return output


@pytest.mark.slow
def test_with_every_control_on_a_killed_run_goes_on_to_the_same_bytes(
    place: Path, undisturbed: Path, tmp_path: Path
) -> None:
    output, settings = tmp_path / "out", tmp_path / "settings.yaml"
    settings.write_text(json.dumps(everything(place)))
    command = [sys.executable, "-m", "vidnst", "render", str(place / "clip"), "-o", str(output)]
    command += ["--config", str(settings), *(word for style in styles(place) for word in ("--style", style))]
    folder, moments = output.with_name("out.vidnst"), random.Random(4)
    for place_of_death, count in (("masks/left", 3), ("before", 4), ("state", 5), ("finished", 3)):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 240
        while not (folder / place_of_death).is_dir() or len(os.listdir(folder / place_of_death)) < count:
            assert process.poll() is None, f"the render ended before {place_of_death} was there"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.1))
        process.kill()
        assert process.wait() == -signal.SIGKILL
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert len(pictures(output)) == FRAMES
    assert pictures(output) == pictures(undisturbed)
    for kept in ("frames", "finished", "before", "masks/left"):
        assert pictures(folder / kept) == pictures(undisturbed.with_name("out.vidnst") / kept)


def short(place: Path, **changes: dict[str, object]) -> dict[str, Any]:
    """Everything on the first frames, but for some keys."""
    values = {**everything(place), "output": {"bits": 16, "measure": False}}
    values["input"] = {**values["input"], "end": 2}
    return {**values, **{section: {**values[section], **keys} for section, keys in changes.items()}}


@pytest.fixture(scope="module")
def beginning(place: Path, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    output = tmp_path_factory.mktemp("beginning") / "out"
    vidnst.render(place / "clip", style=styles(place), output=output, config=build_config(short(place)))
    return pictures(output)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("regions", "feather", 0),
        ("styles", "mirror", False),
        ("losses", "edges_weight", 0),
        ("photo", "steadiness", 0),
    ],
)
def test_among_all_others_each_control_still_counts(
    section: str, key: str, value: object, place: Path, beginning: list[bytes], tmp_path: Path
) -> None:
    config = build_config(short(place, **{section: {key: value}}))
    vidnst.render(place / "clip", style=styles(place), output=tmp_path / "out", config=config)
    assert len(pictures(tmp_path / "out")) == 2
    assert pictures(tmp_path / "out") != beginning
