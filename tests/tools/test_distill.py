"""`vidnst distill` from images to a weights file, and the bundled student network."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from vidnst.config import STYLE_LAYERS, RenderConfig
from vidnst.config.loader import load_config, preset_names
from vidnst.errors import CancelledError, OutputError, RunError, SourceError, VidnstError, WeightsError
from vidnst.events import Event, TrainingStepDone
from vidnst.files.weights_file import read_metadata, weights_fingerprint
from vidnst.style.distill.distillation import DistillSettings
from vidnst.style.network.backbones import SLIM_BACKBONE, last_layer
from vidnst.style.network.random_filters import random_features
from vidnst.style.network.vgg import VGG19
from vidnst.style.network.weights import SLIM_FILE, load_features, resolve_weights, verify_weights
from vidnst.style.stylize import stylize
from vidnst.tools.distill import DistillRequest, distill
from vidnst.tools.training_images import read_images

SETTINGS = DistillSettings(learn_to="relu1_2", steps=5, fresh=2, painted=1, crop_px=16)


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., DistillRequest]:
    """A request for a student of random filters on four generated pictures."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(4):
        noise = np.random.default_rng(number).integers(0, 256, (6, 8, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), cv2.resize(noise, (48, 36), interpolation=cv2.INTER_CUBIC))
    teacher = tmp_path / "teacher.safetensors"
    save_file(random_features("relu2_1", seed=7), teacher)

    def request(**changes: Any) -> DistillRequest:
        values: dict[str, Any] = {
            "teacher": str(teacher),
            "images": (str(folder),),
            "output": tmp_path / "out.safetensors",
            "settings": SETTINGS,
            "held_out": ("3.*",),
            "threads": 1,
            "command": "vidnst distill ...",
        }
        return DistillRequest(**(values | changes))

    return request


def test_weights_file_and_card_name_their_origin(ask: Callable[..., DistillRequest]) -> None:
    seen: list[Event] = []
    request = ask()
    report = distill(request, on_event=seen.append)
    lessons = [event for event in seen if isinstance(event, TrainingStepDone)]
    assert [lesson.step for lesson in lessons] == [1, 2, 3, 4, 5]
    assert "step 5 of 5" in str(lessons[-1])
    assert (report.backbone, report.deepest_layer) == ("slim", "relu1_2")
    assert report.notes["teacher"] == weights_fingerprint(load_features(Path(str(request.teacher)), "relu1_2"))
    assert report.notes["learned_from"] == "3 pictures: 0.png, 1.png, 2.png"
    assert report.notes["held_out"] == "3.png"
    assert list(json.loads(report.notes["likeness"])) == ["relu1_1", "relu1_2"]
    assert report.notes["command"] == "vidnst distill ..."
    assert "CC BY 4.0" in report.notes["licence"]
    card = request.output.with_suffix(".md").read_text("utf-8")
    assert report.fingerprint in card
    assert "Nothing was held out" not in card
    without = distill(ask(held_out=(), output=request.output.with_name("other.safetensors")))
    assert without.notes["likeness"] == "{}"
    assert "Nothing was held out" in request.output.with_name("other.md").read_text("utf-8")


def test_resume_gives_the_same_bytes(ask: Callable[..., DistillRequest], tmp_path: Path) -> None:
    whole = distill(ask(output=tmp_path / "whole.safetensors"))
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 2

    with pytest.raises(CancelledError, match="2 of 5 steps"):
        distill(ask(), cancelled=stop)
    seen: list[Event] = []
    assert distill(ask(), on_event=seen.append).fingerprint == whole.fingerprint
    assert [event.step for event in seen if isinstance(event, TrainingStepDone)] == [3, 4, 5]
    assert (tmp_path / "out.safetensors").read_bytes() == (tmp_path / "whole.safetensors").read_bytes()


def test_checkpoint_of_another_student_is_refused(ask: Callable[..., DistillRequest]) -> None:
    distill(ask())
    other = DistillSettings(learn_to="relu1_2", steps=5, fresh=2, painted=1, crop_px=16, seed=1)
    with pytest.raises(RunError, match=r"another student: other settings; .*--restart"):
        distill(ask(settings=other), overwrite=True)
    with pytest.raises(RunError, match="other pictures"):
        distill(ask(held_out=()), overwrite=True)
    distill(ask(settings=other), restart=True)


@pytest.mark.parametrize("name", ["out.safetensors", "out.md"])
def test_existing_output_is_not_replaced(ask: Callable[..., DistillRequest], tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("notes of a year")
    with pytest.raises(OutputError, match=rf"{name} exists already; .*--overwrite"):
        distill(ask())
    assert (tmp_path / name).read_text() == "notes of a year"


def test_invalid_requests_are_refused(ask: Callable[..., DistillRequest], tmp_path: Path) -> None:
    cases: tuple[tuple[dict[str, Any], type[VidnstError], str], ...] = (
        ({"output": tmp_path / "out.pth"}, OutputError, "safetensors"),
        ({"output": tmp_path / "none" / "out.safetensors"}, OutputError, "none"),
        ({"images": (str(tmp_path / "gone"),)}, SourceError, "gone"),
        ({"held_out": ("*",)}, SourceError, "--images"),
        ({"teacher": str(tmp_path / "gone.pth")}, WeightsError, "gone.pth"),
    )
    for changes, error, word in cases:
        with pytest.raises(error, match=word):
            distill(ask(**changes))


def test_clips_give_evenly_spread_frames() -> None:
    clip = Path(__file__).resolve().parents[2] / "samples" / "timelapse.mp4"
    training, held_out = read_images([str(clip)], clip_frames=3)
    assert [one.name for one in training] == ["timelapse.mp4:14", "timelapse.mp4:42", "timelapse.mp4:70"]
    assert held_out == []


def test_bundled_file_is_small_half_and_documented() -> None:
    assert SLIM_FILE.stat().st_size < 6_000_000
    with safe_open(SLIM_FILE, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert all(values.dtype == torch.float16 for values in tensors.values())
    keys = {key for conv in SLIM_BACKBONE.layers for key in (conv.weight_key, conv.bias_key)}
    keys |= {conv.expand_key for conv in SLIM_BACKBONE.layers if conv.rank}
    keys |= {key for conv in SLIM_BACKBONE.layers if conv.head for key in conv.head_keys}
    assert tensors.keys() == keys
    notes = read_metadata(SLIM_FILE)
    assert re.fullmatch(r"[0-9a-f]{64}", notes["teacher"])
    assert notes["command"].startswith("vidnst distill --images ")
    assert "CC BY 4.0" in notes["licence"]
    held_out = set(notes["held_out"].split(", "))
    assert held_out
    assert not held_out & set(notes["learned_from"].partition(": ")[2].split(", "))
    likeness = json.loads(notes["likeness"])
    assert likeness["relu1_1"] > 0.95
    assert likeness["relu3_1"] > 0.8
    assert likeness["relu5_1"] > 0.7


def test_card_matches_bundled_file() -> None:
    card = SLIM_FILE.with_suffix(".md").read_text("utf-8")
    notes, report = read_metadata(SLIM_FILE), verify_weights(SLIM_FILE, backbone="slim")
    for text in (report.fingerprint, notes["teacher"], notes["command"], "CC BY 4.0"):
        assert text in card
    for name, value in json.loads(notes["likeness"]).items():
        assert f"| {name} | {value:.3f} |" in card


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_works_with_slim(preset: str) -> None:
    config = load_config(preset=preset, options={"model.backbone": "slim"})
    features = load_features(resolve_weights(None, backbone="slim"), last_layer(config), backbone="slim")
    layers = {*config.losses.style_layers, *config.losses.content_layers}
    maps = VGG19(features, last_layer=last_layer(config))(torch.rand(1, 3, 48, 64), layers)
    assert maps.keys() == layers >= set(STYLE_LAYERS)
    assert all(float(found.std()) > 0.1 for found in maps.values())


def test_only_draft_uses_slim() -> None:
    assert {name: load_config(preset=name).model.backbone for name in preset_names()} == {
        **dict.fromkeys(preset_names(), "vgg19"),
        "draft": "slim",
    }


def test_slim_needs_no_download(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("VIDNST_WEIGHTS", str(tmp_path / "gone.pth"))  # VGG19's, and none of slim's business
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("asked the network"))
    generator = torch.Generator().manual_seed(0)
    content, style = (torch.rand(3, 48, 48, generator=generator) for _ in range(2))
    config = RenderConfig.model_validate({"model": {"backbone": "slim"}, "optimize": {"iterations": 3}})
    assert stylize(content, style, config=config, device="cpu").shape == content.shape
    assert not list(tmp_path.iterdir())


def test_weights_of_other_backbone_are_refused(tmp_path: Path) -> None:
    full = tmp_path / "full.safetensors"
    save_file(random_features("relu2_1"), full)
    with pytest.raises(WeightsError, match=r"full\.safetensors belongs to another network.*--backbone vgg19"):
        load_features(full, "relu1_1", backbone="slim")
    with pytest.raises(WeightsError, match=r"another network.*--backbone slim"):
        load_features(SLIM_FILE, "relu1_1")
    with pytest.raises(WeightsError, match=r"--weights names .*gone\.pth"):
        resolve_weights(str(tmp_path / "gone.pth"), backbone="slim")


def test_random_filters_exist_for_both_backbones() -> None:
    assert load_features("random", "relu1_1", backbone="slim")["features.0.weight"].shape == (24, 3, 3, 3)
    assert load_features("random", "relu1_1")["features.0.weight"].shape == (64, 3, 3, 3)
    assert verify_weights("random", backbone="slim").deepest_layer == "relu5_1"
