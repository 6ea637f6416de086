"""All features at once: they work together, each still has an effect, and a killed run resumes to the same bytes."""

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.media import painting, photo, write_picture
from support.processes import kill_when
from support.renders import png_files, run_folder, write_settings

import vidnst
from vidnst.config.loader import build_config

FRAMES = 8
KINDS = ("gram", "moments", "mmd_linear", "mmd_polynomial", "mmd_gaussian", "wasserstein", "sliced")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a clip that moves and flickers, three paintings, a moving style, and two masks."""
    place = tmp_path_factory.mktemp("everything")
    wide = photo(0, 160)
    for number in range(FRAMES):
        frame = wide[:, 2 * number : 2 * number + 96].astype(np.float32) * (1 + 0.1 * (number % 3))
        write_picture(place / "clip" / f"{number:02}.png", frame.clip(0, 255).astype(np.uint8))
    for number in range(5):
        write_picture(place / "style" / f"{number}.png", photo(20 + number, 64))
    for name, seed in (("one", 1), ("two", 2), ("three", 3)):
        write_picture(place / f"{name}.png", painting(seed))
    for name, part in (("left", np.s_[:, :30]), ("bare", np.s_[40:, 60:])):
        mask = np.zeros((64, 96, 3), np.uint8)
        mask[part] = 255
        write_picture(place / f"{name}.png", mask)
    return place


def everything(place: Path) -> dict[str, Any]:
    """Return settings that switch every feature on."""
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
        "optimize": {"iterations": 6, "init": "blend", "match_init": True, "stop_at_loss": 0.01, "seed": 3},
        "schedule": {"spacing": 4, "passes": 3, "loop": True},
        "motion": {"follow_light": True, "static_lock": 2},
        "colour": {"keep": "luminance", "transfer": "optimal"},
        "photo": {"enabled": True},
        "filters": {"before": ["superpixels:200"], "after": ["superpixels:150", "palette:20"]},
        "farm": {"executor": "inline", "threads": 1, "workers": 2},
        "output": {"keep_frames": True, "bits": 16},
    }


def styles(place: Path) -> list[str]:
    """Return two paintings that follow each other, and a painting and a moving style in a region."""
    return [f"{place}/one.png:2@0s", f"{place}/two.png@0.4s", f"{place}/three.png#left", f"{place}/style#left"]


@pytest.fixture(scope="module")
def undisturbed(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("undisturbed") / "out"
    vidnst.render(place / "clip", style=styles(place), output=output, config=build_config(everything(place)))
    return output


@pytest.mark.slow
def test_killed_run_with_all_features_resumes_to_same_bytes(place: Path, undisturbed: Path, tmp_path: Path) -> None:
    output, settings = tmp_path / "out", write_settings(tmp_path / "settings.yaml", everything(place))
    command = [sys.executable, "-m", "vidnst", "render", str(place / "clip"), "-o", str(output)]
    command += ["--config", str(settings), *(word for style in styles(place) for word in ("--style", style))]
    run, moments = run_folder(output), random.Random(4)
    for name, count in (("masks/left", 3), ("before", 4), ("state", 5), ("finished", 3)):
        folder = run / name
        kill_when(
            command,
            lambda folder=folder, count=count: folder.is_dir() and len(os.listdir(folder)) >= count,
            delay_seconds=moments.uniform(0, 0.1),
        )
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert len(png_files(output)) == FRAMES
    assert png_files(output) == png_files(undisturbed)
    for kept in ("frames", "finished", "before", "masks/left"):
        assert png_files(run / kept) == png_files(run_folder(undisturbed) / kept)


def short(place: Path, **changes: dict[str, object]) -> dict[str, Any]:
    """Return the settings of everything for the first two frames, with some keys changed."""
    values = {**everything(place), "output": {"bits": 16, "measure": False}}
    values["input"] = {**values["input"], "end": 2}
    return {**values, **{section: {**values[section], **keys} for section, keys in changes.items()}}


@pytest.fixture(scope="module")
def beginning(place: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    output = tmp_path_factory.mktemp("beginning") / "out"
    vidnst.render(place / "clip", style=styles(place), output=output, config=build_config(short(place)))
    return png_files(output)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("regions", "feather", 0),
        ("styles", "mirror", False),
        ("losses", "edges_weight", 0),
        ("photo", "steadiness", 0),
    ],
)
def test_each_feature_counts_among_all_others(
    section: str, key: str, value: object, place: Path, beginning: dict[str, bytes], tmp_path: Path
) -> None:
    config = build_config(short(place, **{section: {key: value}}))
    vidnst.render(place / "clip", style=styles(place), output=tmp_path / "out", config=config)
    assert len(png_files(tmp_path / "out")) == 2
    assert png_files(tmp_path / "out") != beginning
