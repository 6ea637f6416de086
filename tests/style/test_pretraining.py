"""The pretrained transform network: descriptions of styles, predictions, its training and its file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidnst.config import STYLE_LAYERS, StylesConfig
from vidnst.errors import RunError, SourceError, WeightsError
from vidnst.media.draw.drawn_styles import drawn_style
from vidnst.style.losses.objective import Objective
from vidnst.style.network.random_filters import random_features
from vidnst.style.network.vgg import VGG19
from vidnst.style.network.weights import SLIM_FILE, load_features
from vidnst.style.targets.style_targets import StyleTargets
from vidnst.style.tensors import from_pixels
from vidnst.style.transform import pretraining as pretraining_module
from vidnst.style.transform.network import ClipNorm, TransformNetwork
from vidnst.style.transform.pretrained import encode_pretrained, read_pretrained
from vidnst.style.transform.pretraining import Pretraining, PretrainSettings, varied
from vidnst.style.transform.style_predictor import STYLE_KINDS, StylePredictor, describe

SETTINGS = PretrainSettings(steps=4, frames=1, styles=4, crop_px=32)


def picture(seed: int, height: int = 40, width: int = 48) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)


@pytest.fixture(scope="module")
def slim() -> VGG19:
    return VGG19(load_features(SLIM_FILE, "relu5_1", backbone="slim"), last_layer="relu5_1")


@pytest.fixture(scope="module")
def vgg19() -> VGG19:
    return VGG19(random_features("relu5_1"), last_layer="relu5_1")


@pytest.fixture(scope="module")
def pretraining(slim: VGG19, vgg19: VGG19) -> Pretraining:
    return fresh(slim, vgg19)


def fresh(slim: VGG19, vgg19: VGG19) -> Pretraining:
    return Pretraining(slim, vgg19, [picture(1), picture(2)], [picture(3)], drawn_style, SETTINGS)


def test_description_is_the_mean_and_deviation_of_channels(slim: VGG19) -> None:
    pixels = picture(5, 32, 32)
    (target,) = StyleTargets([(pixels, 1.0)], network=slim, layers=STYLE_LAYERS, kinds=STYLE_KINDS).at(32, 32)
    maps = slim(from_pixels(pixels), STYLE_LAYERS)
    parts: list[Tensor] = []
    for layer in STYLE_LAYERS:
        parts += [maps[layer].mean((0, 2, 3)), maps[layer].std((0, 2, 3), correction=0)]
    torch.testing.assert_close(describe(target), torch.cat(parts), rtol=1e-3, atol=1e-3)


def test_predictions_are_the_parameters_of_all_normalisations() -> None:
    network = TransformNetwork()
    predicted = StylePredictor(network, 7)(torch.rand(2, 7, generator=torch.Generator().manual_seed(0)))
    norms = {name: module for name, module in network.named_modules() if isinstance(module, ClipNorm)}
    expected = {f"{name}.{part}": norm.scale.shape[1] for name, norm in norms.items() for part in ("scale", "shift")}
    assert {name: tuple(values.shape) for name, values in predicted.items()} == {
        name: (2, channels) for name, channels in expected.items()
    }
    assert not any(torch.equal(values[0], values[1]) for values in predicted.values())


def test_steps_change_network_and_predictor(slim: VGG19, vgg19: VGG19) -> None:
    training = fresh(slim, vgg19)
    before = training.state()
    losses = training.advance()
    after = training.state()
    assert losses["style"] > 0
    assert losses["total"] > losses["content"]
    assert not torch.equal(before["network.last.weight"], after["network.last.weight"])
    training.advance()  # at first the last layer is zero, and nothing before it has a gradient
    assert not torch.equal(before["predictor.output.weight"], training.state()["predictor.output.weight"])


def test_restored_training_continues_to_the_same_bytes(slim: VGG19, vgg19: VGG19) -> None:
    whole, half, rest = (fresh(slim, vgg19) for _ in range(3))
    for _ in range(4):
        whole.advance()
    for _ in range(2):
        half.advance()
    rest.restore(half.state())
    assert rest.step == 2
    for _ in range(2):
        rest.advance()
    for name, values in whole.state().items():
        assert torch.equal(values, rest.state()[name]), name


def test_vgg19_judges_the_last_steps(slim: VGG19, vgg19: VGG19, monkeypatch: pytest.MonkeyPatch) -> None:
    judges: list[VGG19] = []
    objective = pretraining_module.Objective

    def record(judge: VGG19, *args: Any) -> Objective:
        judges.append(judge)
        return objective(judge, *args)

    monkeypatch.setattr(pretraining_module, "Objective", record)
    training = fresh(slim, vgg19)
    for _ in range(SETTINGS.steps):
        training.advance()
    assert judges == [slim, slim, slim, vgg19]


def test_drawn_styles_differ_and_repeat() -> None:
    one, again, other = (drawn_style(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert one.shape == other.shape == (384, 384, 3)
    assert not np.array_equal(one, other)


def test_state_of_another_network_is_refused(slim: VGG19, vgg19: VGG19, pretraining: Pretraining) -> None:
    state = pretraining.state()
    del state["network.last.weight"]
    with pytest.raises(RunError, match="another network"):
        fresh(slim, vgg19).restore(state)


def test_pictures_smaller_than_a_crop_are_refused(slim: VGG19, vgg19: VGG19) -> None:
    with pytest.raises(SourceError, match="too small for crops of 32"):
        Pretraining(slim, vgg19, [picture(1, 20, 48)], [picture(3)], drawn_style, SETTINGS)


def test_variations_are_parts_of_the_style_with_changed_channels() -> None:
    pixels = np.zeros((40, 60, 3), np.uint8) + np.array([10, 20, 30], np.uint8)
    shapes = set()
    colours = set()
    for seed in range(40):
        found = varied(pixels, np.random.default_rng(seed))
        assert 20 <= min(found.shape[:2]) <= max(found.shape[:2]) <= 60
        colour = found.reshape(-1, 3)[0]
        assert (found == colour).all()
        assert sorted(colour) in ([10, 20, 30], [225, 235, 245])
        shapes.add(found.shape)
        colours.add(tuple(int(channel) for channel in colour))
    assert len(shapes) > 20
    assert len(colours) > 6


def test_file_holds_the_network_in_half_precision(pretraining: Pretraining, tmp_path: Path) -> None:
    data = encode_pretrained(pretraining.network, pretraining.predictor, {"note": "a"})
    assert data == encode_pretrained(pretraining.network, pretraining.predictor, {"note": "a"})
    assert len(data) < 4e6
    path = tmp_path / "n.safetensors"
    path.write_bytes(data)
    found = read_pretrained(path)
    assert found.notes["note"] == "a"
    for name, values in pretraining.predictor.state_dict().items():
        torch.testing.assert_close(found.predictor.state_dict()[name], values.half().float())


def test_network_for_styles_has_their_predictions(pretraining: Pretraining, tmp_path: Path) -> None:
    path = tmp_path / "n.safetensors"
    path.write_bytes(encode_pretrained(pretraining.network, pretraining.predictor, {}))
    found = read_pretrained(path)
    styles = [(picture(8), 1.0), (picture(9), 3.0)]
    each = found.for_styles(styles, 32, 32, StylesConfig(), guided=True)
    mixed = found.for_styles(styles, 32, 32, StylesConfig(), guided=False)
    assert each.down[0].norm.scale.shape == (2, 32)  # type: ignore[union-attr]
    assert mixed.down[0].norm.scale.shape == (1, 32)  # type: ignore[union-attr]
    alone = found.for_styles(styles[:1], 32, 32, StylesConfig(), guided=True)
    torch.testing.assert_close(each.down[0].norm.scale[:1], alone.down[0].norm.scale)  # type: ignore[union-attr]


def test_damaged_files_are_refused(pretraining: Pretraining, tmp_path: Path) -> None:
    path = tmp_path / "n.safetensors"
    data = encode_pretrained(pretraining.network, pretraining.predictor, {})
    for damaged in (b"", data[:1000], data[:-8]):
        path.write_bytes(damaged)
        with pytest.raises(WeightsError):
            read_pretrained(path)
