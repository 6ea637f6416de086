"""Stylizations and trainings with everything on another device than the CPU: no tensor stays behind."""

from typing import Any

import numpy as np
import pytest
import torch
from support.other_device import OtherTensor, other_device
from support.renders import quick_config

from vidnst.frames import Pixels
from vidnst.style.distill.crops import Crops
from vidnst.style.distill.distillation import Distillation, DistillSettings
from vidnst.style.distill.evaluate import head_correlations
from vidnst.style.distill.export import slim_features
from vidnst.style.guidance import Guidance, RegionGuidance, StyleMix
from vidnst.style.losses.objective import WarmStart
from vidnst.style.memory.modes import NO_SAVINGS, MemoryMode
from vidnst.style.network.backbones import last_layer
from vidnst.style.network.random_filters import random_features
from vidnst.style.network.vgg import VGG19
from vidnst.style.network.weights import SLIM_FILE, load_features
from vidnst.style.stylizer import Stylizer
from vidnst.style.tensors import from_pixels
from vidnst.style.textures.registry import STATISTICS
from vidnst.style.transform.pretrained import encode_pretrained
from vidnst.style.transform.pretraining import Pretraining, PretrainSettings

DISTILLING = DistillSettings(learn_to="relu2_1", steps=2, fresh=2, painted=1, crop_px=16)
pytestmark = pytest.mark.filterwarnings("ignore:for .* copying from a non-meta parameter")  # it is copied
PRETRAINING = PretrainSettings(steps=2, frames=1, styles=2, crop_px=32, last=0.5)


def pictures(count: int = 2, *, width: int = 48) -> list[Pixels]:
    return [np.random.default_rng(number).integers(0, 256, (40, width, 3), np.uint8) for number in range(count)]


def distilled(device: torch.device) -> Distillation:
    crops = Crops(pictures(), side_px=DISTILLING.crop_px, seed=0, device=device)
    distillation = Distillation(random_features("relu2_1", seed=7), crops, DISTILLING)
    for _ in range(DISTILLING.steps):
        distillation.advance()
    return distillation


def draw(generator: np.random.Generator) -> Pixels:
    return generator.integers(0, 256, (40, 40, 3), np.uint8)


def pretrained(device: torch.device) -> Pretraining:
    slim = load_features(SLIM_FILE, "relu5_1", backbone="slim")
    judge = VGG19(slim, last_layer="relu5_1").to(device)
    training = Pretraining(judge, judge, pictures(), pictures(1), draw, PRETRAINING)
    for _ in range(PRETRAINING.steps):
        training.advance()
    return training


def test_other_device_refuses_tensors_of_the_cpu() -> None:
    with other_device() as device:
        there = torch.ones(3).to(device)
        assert isinstance(there * 2, OtherTensor)
        assert (there + 1).cpu().tolist() == [2, 2, 2]
        with pytest.raises(RuntimeError, match="mixes tensors of two devices"):
            there + torch.ones(3)


def test_distillation_learns_the_same_on_another_device() -> None:
    here = distilled(torch.device("cpu"))
    with other_device() as device:
        there = distilled(device)
        assert there.student.mean.device == device
        state, features = there.state(), slim_features(there.student)
        likeness = head_correlations(there.student, there.teacher, pictures(1))
        there.restore(here.state())
        there.advance()
    assert {name: value.device.type for name, value in state.items()} == dict.fromkeys(state, "cpu")
    for name, value in here.state().items():
        assert torch.equal(state[name], value), name
    assert features.keys() == slim_features(here.student).keys()
    assert likeness == head_correlations(here.student, here.teacher, pictures(1))


def test_pretraining_learns_the_same_on_another_device() -> None:
    here = pretrained(torch.device("cpu"))
    with other_device() as device:
        there = pretrained(device)
        assert next(there.network.parameters()).device == device
        state, file = there.state(), encode_pretrained(there.network, there.predictor, {})
        there.restore(here.state())
        assert there.step == here.step
    for name, value in here.state().items():  # the gradient takes another path, so rounding differs
        torch.testing.assert_close(state[name], value, rtol=0, atol=1e-4)
    assert len(file) == len(encode_pretrained(here.network, here.predictor, {}))


COLD: dict[str, dict[str, Any]] = {
    "gram": {},
    "lbfgs and noise": {"optimize": {"optimizer": "lbfgs", "init": "noise"}},
    "edges, and colours at first": {"losses": {"edges_weight": 1.0}, "optimize": {"match_init": True}},
    **{kind: {"losses": {"style_kinds": {kind: 1.0}}} for kind in STATISTICS if kind != "gram"},
}


def stylized(device: torch.device, changes: dict[str, Any], mode: MemoryMode, *, warm: bool = False) -> torch.Tensor:
    config = quick_config(changes)
    features = load_features(SLIM_FILE, last_layer(config), backbone="slim")
    width = 48 if mode.tile_px is None else 160
    first, second = pictures(width=width)
    stylizer = Stylizer(features, [(first, 1.0)], config, device=device)
    content, part = from_pixels(second), torch.linspace(0, 1, width).expand(1, 1, 40, width)
    start = WarmStart(from_pixels(first), part, light=part, still=1 - part, before=content, renew_at=1.0)
    half = np.zeros((40, width), np.uint8)
    half[:, 20:] = 255
    regions = (RegionGuidance((StyleMix(1.0, ((0, 1.0),)),), half), RegionGuidance((), 255 - half))
    guidance = Guidance(regions) if warm else None
    result = stylizer.stylize(content, start=start if warm else None, iterations=3, guidance=guidance, memory_mode=mode)
    assert result.image.device == device
    return result.image.cpu()


@pytest.mark.parametrize("changes", COLD.values(), ids=COLD)
def test_cold_frame_is_the_same_on_another_device(changes: dict[str, Any]) -> None:
    here = stylized(torch.device("cpu"), changes, NO_SAVINGS)
    with other_device() as device:
        there = stylized(device, changes, NO_SAVINGS)
    torch.testing.assert_close(there, here, rtol=0, atol=1e-3)


@pytest.mark.parametrize("mode", [NO_SAVINGS, MemoryMode(recompute=True, tile_px=144), MemoryMode(scale=0.5)], ids=str)
def test_warm_region_is_the_same_on_another_device(mode: MemoryMode) -> None:
    here = stylized(torch.device("cpu"), {}, mode, warm=True)
    with other_device() as device:
        there = stylized(device, {}, mode, warm=True)
    torch.testing.assert_close(there, here, rtol=0, atol=1e-3)
