"""`vidnst pretrain` from pictures to a network's file, and the settings of trainings."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from vidnst.errors import CancelledError, ConfigError, OutputError, RunError, SourceError, VidnstError
from vidnst.events import Event, TrainingStepDone
from vidnst.style.distill.distillation import DistillSettings
from vidnst.style.transform.pretraining import PretrainSettings
from vidnst.tools.pretrain import PretrainRequest, pretrain
from vidnst.tools.training_settings import with_assignments

SETTINGS = PretrainSettings(steps=3, frames=1, styles=3, crop_px=32)


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., PretrainRequest]:
    """A request for a network of two generated contents and a style."""
    for folder, count in (("contents", 3), ("styles", 1)):
        (tmp_path / folder).mkdir()
        for number in range(count):
            noise = np.random.default_rng(number).integers(0, 256, (6, 8, 3), np.uint8)
            name = str(tmp_path / folder / f"{number}.png")
            cv2.imwrite(name, cv2.resize(noise, (48, 36), interpolation=cv2.INTER_CUBIC))

    def request(**changes: Any) -> PretrainRequest:
        values: dict[str, Any] = {
            "contents": (str(tmp_path / "contents"),),
            "styles": (str(tmp_path / "styles"),),
            "output": tmp_path / "out.safetensors",
            "settings": SETTINGS,
            "held_out": ("2.*",),
            "weights": "random",
            "threads": 1,
            "command": "vidnst pretrain ...",
        }
        return PretrainRequest(**(values | changes))

    return request


def test_file_names_its_origin(ask: Callable[..., PretrainRequest]) -> None:
    seen: list[Event] = []
    found = pretrain(ask(), on_event=seen.append)
    assert [event.step for event in seen if isinstance(event, TrainingStepDone)] == [1, 2, 3]
    assert found.notes["contents"] == "2 pictures: 0.png, 1.png"
    assert found.notes["styles"] == "1 pictures: 0.png"
    assert found.notes["held_out"] == "2.*"
    assert found.notes["command"] == "vidnst pretrain ..."


def test_model_card_tells_how_to_repeat_the_training(ask: Callable[..., PretrainRequest], tmp_path: Path) -> None:
    found = pretrain(ask())
    card = (tmp_path / "out.md").read_text()
    for text in (found.fingerprint, "`vidnst pretrain ...`", "2 pictures: 0.png, 1.png", '"steps": 3'):
        assert text in card


def test_resume_gives_the_same_bytes(ask: Callable[..., PretrainRequest], tmp_path: Path) -> None:
    pretrain(ask(output=tmp_path / "whole.safetensors"))
    stops = iter([False, True])
    with pytest.raises(CancelledError, match="1 of 3 steps"):
        pretrain(ask(), cancelled=lambda: next(stops))
    pretrain(ask())
    assert (tmp_path / "out.safetensors").read_bytes() == (tmp_path / "whole.safetensors").read_bytes()


def test_checkpoint_of_another_network_is_refused(ask: Callable[..., PretrainRequest]) -> None:
    pretrain(ask())
    with pytest.raises(RunError, match=r"another pretraining: other settings; .*--restart"):
        pretrain(ask(settings=PretrainSettings(steps=3, frames=1, styles=3, crop_px=32, seed=1)), overwrite=True)


@pytest.mark.parametrize("name", ["out.safetensors", "out.md"])
def test_existing_output_is_not_replaced(ask: Callable[..., PretrainRequest], tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("notes of a year")
    with pytest.raises(OutputError, match=rf"{name} exists already; .*--overwrite"):
        pretrain(ask())
    assert (tmp_path / name).read_text() == "notes of a year"


def test_invalid_requests_are_refused(ask: Callable[..., PretrainRequest], tmp_path: Path) -> None:
    cases: tuple[tuple[dict[str, Any], type[VidnstError], str], ...] = (
        ({"output": tmp_path / "out.pth"}, OutputError, "safetensors"),
        ({"output": tmp_path / "none" / "out.safetensors"}, OutputError, "none"),
        ({"contents": (str(tmp_path / "gone"),)}, SourceError, "gone"),
        ({"held_out": ("0.*",)}, SourceError, "--styles"),
    )
    for changes, error, word in cases:
        with pytest.raises(error, match=word):
            pretrain(ask(**changes))


def test_settings_are_changed_by_name() -> None:
    found = with_assignments(DistillSettings(), ["rate=0.5", "painted=7", "learn_to=relu1_1"])
    assert (found.rate, found.painted, found.learn_to) == (0.5, 7, "relu1_1")
    assert with_assignments(PretrainSettings(), ["crop_px=64"]).crop_px == 64


def test_unknown_and_invalid_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="no training setting 'rat'"):
        with_assignments(DistillSettings(), ["rat=1"])
    with pytest.raises(ConfigError, match="'rate=fast' is not a number"):
        with_assignments(DistillSettings(), ["rate=fast"])
