"""The network: the same maps as torchvision's, nothing overwritten, nothing deeper than asked."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vidnst.config import VGG19_LAYERS
from vidnst.errors import ConfigError, WeightsError
from vidnst.style.network.backbones import DEVIATION, MEAN, VGG19_BACKBONE, stride_px
from vidnst.style.network.random_filters import random_features
from vidnst.style.network.vgg import VGG19
from vidnst.style.tensors import resize, size_of_area

Features = dict[str, NDArray[np.float32]]


def torchvision_features() -> nn.Sequential:
    """torchvision's own layers; the classifier, six times as large, is kept from being made."""
    import torchvision.models.vgg as vgg

    layers: nn.Sequential = vgg.make_layers(vgg.cfgs["E"], batch_norm=False)
    return layers.eval()


@pytest.fixture(scope="module")
def reference(features: Features) -> nn.Sequential:
    layers = torchvision_features()
    weights = {name.removeprefix("features."): torch.from_numpy(value.copy()) for name, value in features.items()}
    layers.load_state_dict(weights, strict=False)
    return layers


def test_every_map_equals_torchvisions(features: Features, reference: nn.Sequential, photo: Tensor) -> None:
    layers = [conv.name for conv in VGG19_BACKBONE.up_to("relu5_1")]
    maps = VGG19(features, last_layer="relu5_1")(photo, layers)
    x = (photo - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(DEVIATION).view(1, 3, 1, 1)
    with torch.no_grad():
        for index, layer in enumerate(reference[:30]):
            x = layer(x)
            for conv in VGG19_BACKBONE.layers:
                if conv.index + 1 == index:
                    torch.testing.assert_close(maps[conv.name], x, rtol=1e-3, atol=1e-3)
    assert set(maps) == set(layers)


def test_backbone_layers_are_numbered_like_torchvision() -> None:
    layers = torchvision_features()
    shapes = {index: tuple(layer.weight.shape) for index, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)}
    assert shapes == {conv.index: (conv.outputs, conv.inputs, 3, 3) for conv in VGG19_BACKBONE.layers}
    assert tuple(conv.name for conv in VGG19_BACKBONE.layers) == VGG19_LAYERS


def test_returned_maps_are_not_overwritten(features: Features, photo: Tensor) -> None:
    network = VGG19(features, last_layer="relu2_2")
    alone = network(photo, ["relu1_1"])["relu1_1"]
    with_deeper = network(photo, ["relu1_1", "relu1_2", "relu2_1", "relu2_2"])["relu1_1"]
    assert torch.equal(alone, with_deeper)
    assert (alone >= 0).all()


def test_only_layers_down_to_the_deepest_are_built(features: Features) -> None:
    shallow = VGG19(features, last_layer="relu2_1")
    assert sum(parameter.numel() for parameter in shallow.parameters()) == sum(
        9 * conv.inputs * conv.outputs + conv.outputs for conv in VGG19_BACKBONE.up_to("relu2_1")
    )
    with pytest.raises(ConfigError, match="relu3_1"):
        shallow(torch.zeros(1, 3, 32, 32), ["relu3_1"])


def test_network_is_frozen_and_picture_has_gradient(features: Features, photo: Tensor) -> None:
    network = VGG19(features, last_layer="relu3_1")
    x = photo.clone().requires_grad_()
    network(x, ["relu3_1"])["relu3_1"].sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not network.training


def test_average_pooling_gives_the_mean_of_four(features: Features) -> None:
    network = VGG19(features, last_layer="relu2_1", pooling="average")
    picture = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    before = network(picture, ["relu1_2"])["relu1_2"]
    pooled = (before[..., ::2, ::2] + before[..., 1::2, ::2] + before[..., ::2, 1::2] + before[..., 1::2, 1::2]) / 4
    weight, bias = (torch.from_numpy(features[f"features.5.{part}"].copy()) for part in ("weight", "bias"))
    expected = torch.relu(torch.conv2d(pooled, weight, bias, padding=1))
    torch.testing.assert_close(network(picture, ["relu2_1"])["relu2_1"], expected, rtol=1e-4, atol=1e-4)


def test_picture_too_small_for_a_layer_is_refused(features: Features) -> None:
    network = VGG19(features, last_layer="relu5_1")
    assert network(torch.rand(1, 3, 16, 20), ["relu5_1"])["relu5_1"].shape == (1, 512, 1, 1)
    with pytest.raises(ConfigError, match=r"20x15 .*relu5_1.* 16 pixels"):
        network(torch.rand(1, 3, 15, 20), ["relu5_1"])
    assert network(torch.rand(1, 3, 15, 20), ["relu4_1"])["relu4_1"].shape == (1, 512, 1, 2)


def test_weights_that_end_too_early_are_refused() -> None:
    with pytest.raises(WeightsError, match=r"relu3_1 needs features\.10\.weight"):
        VGG19(random_features("relu2_2"), last_layer="relu3_1")


def test_smallest_sides_follow_the_poolings() -> None:
    assert [stride_px(f"relu{block}_1") for block in (1, 2, 3, 4, 5)] == [1, 2, 4, 8, 16]
    with pytest.raises(ConfigError, match="relu6_1"):
        stride_px("relu6_1")


def test_flops_count_the_convolutions() -> None:
    assert VGG19_BACKBONE.flops(10, 20, "relu1_1") == 2 * 27 * 64 * 200
    # VGG19's 16 convolutions at 224x224 are known to take 19.5 thousand million multiply-adds.
    assert VGG19_BACKBONE.flops(224, 224, "relu5_4") == pytest.approx(2 * 19.51e9, rel=0.005)


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_unit_network_has_mean_1_and_equal_maps(pooling: Any, features: Features) -> None:
    names = [conv.name for conv in VGG19_BACKBONE.up_to("relu3_2")]
    plain, unit = (VGG19(features, last_layer="relu3_2", pooling=pooling) for _ in range(2))
    picture = torch.rand(1, 3, 200, 300, generator=torch.Generator().manual_seed(1))
    unit.scale_to_unit_means([picture, picture])
    small = resize(picture, *size_of_area(200, 300, 256 * 256, 4))
    for name, maps in unit(small, names).items():
        assert maps.mean().item() == pytest.approx(1, rel=1e-4)
        before = plain(small, names)[name]
        torch.testing.assert_close(maps * before.mean(), before, rtol=1e-3, atol=1e-4)


def test_low_rank_and_heads_equal_their_products(features: Features, photo: Tensor) -> None:
    first, second = VGG19_BACKBONE.up_to("relu1_2")
    generator = np.random.default_rng(4)
    reduced, expand = (generator.standard_normal(shape).astype(np.float32) for shape in ((5, 64, 3, 3), (64, 5, 1, 1)))
    head, offset = generator.standard_normal((7, 64, 1, 1)).astype(np.float32), np.arange(7, dtype=np.float32)
    parts = {key: features[key] for key in (first.weight_key, first.bias_key, second.bias_key)}
    parts |= {second.weight_key: reduced, second.expand_key: expand}
    parts |= dict(zip(second.head_keys, (head, offset), strict=True))
    whole = parts | {second.weight_key: np.einsum("or,rixy->oixy", expand[..., 0, 0], reduced)}
    plain = {key: whole[key] for key in (first.weight_key, first.bias_key, second.weight_key, second.bias_key)}
    maps = VGG19(plain, last_layer="relu1_2")(photo, ["relu1_2"])["relu1_2"]
    expected = torch.einsum("hc,ncyx->nhyx", torch.from_numpy(head[..., 0, 0]), maps)
    expected = expected + torch.arange(7.0).view(1, -1, 1, 1)
    found = VGG19(parts, last_layer="relu1_2")(photo, ["relu1_2"])["relu1_2"]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-2)
    unit = VGG19(parts, last_layer="relu1_2")
    unit.scale_to_unit_means([photo])
    assert float(unit(photo, ["relu1_2"])["relu1_2"].abs().mean()) == pytest.approx(1, rel=0.05)
