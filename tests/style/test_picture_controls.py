"""Controls over the look of one picture: edges, borders, starts, the style's size and turns, when to stop."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.tensors import seeded
from torch import Tensor

from vidnst.config import OptimizeConfig, RenderConfig, StylesConfig
from vidnst.errors import ConfigError
from vidnst.style.initial_image import crop_to_fit, initial_image, match_histograms
from vidnst.style.losses.laplacian import LaplacianLoss, laplacian
from vidnst.style.losses.objective import TERMS
from vidnst.style.minimize import StepReport, minimize
from vidnst.style.network.vgg import VGG19
from vidnst.style.size_checks import check_scales
from vidnst.style.stylizer import Stylizer
from vidnst.style.targets.style_targets import StyleTargets
from vidnst.style.targets.style_variants import variants
from vidnst.style.tensors import from_pixels
from vidnst.style.textures.registry import STATISTICS

Features = dict[str, NDArray[np.float32]]
Picture = NDArray[np.uint8]
SHALLOW = {"style_layers": {"relu1_1": 1, "relu2_1": 1, "relu3_1": 1}, "content_layers": {"relu2_2": 1}}


def rendered(features: Features, style: Picture, photo: Tensor, *, iterations: int = 20, **sections: Any) -> Tensor:
    sections["losses"] = {**SHALLOW, **sections.get("losses", {})}
    config = RenderConfig.model_validate(sections)
    return Stylizer(features, [(style, 1.0)], config).stylize(photo, iterations=iterations).image


# Style losses.


@pytest.mark.parametrize("kind", sorted(STATISTICS))
def test_every_statistic_gives_a_different_picture(
    kind: str, features: Features, painting: Picture, photo: Tensor
) -> None:
    image = rendered(features, painting, photo, iterations=30, losses={"style_kinds": {kind: 1}})
    wanted = from_pixels(painting).mean((2, 3))
    before, after = ((picture.mean((2, 3)) - wanted).abs().max().item() for picture in (photo, image))
    assert after < 0.65 * before
    again = rendered(features, painting, photo, iterations=30, losses={"style_kinds": {kind: 1}})
    assert torch.equal(image, again)
    if kind != "gram":
        assert not torch.equal(image, rendered(features, painting, photo, iterations=30))


def test_kinds_may_be_mixed_by_shares(features: Features, painting: Picture, photo: Tensor) -> None:
    def style_loss(kinds: dict[str, float]) -> float:
        config = RenderConfig.model_validate({"losses": {**SHALLOW, "style_kinds": kinds}})
        return Stylizer(features, [(painting, 1.0)], config).evaluate(photo, photo)["style"]

    one, two = style_loss({"sliced": 1}), style_loss({"wasserstein": 1})
    assert style_loss({"sliced": 3, "wasserstein": 1}) == pytest.approx(0.75 * one + 0.25 * two, rel=1e-5)


# LaplacianLoss.


def test_laplacian_is_of_cell_means_over_all_channels() -> None:
    picture = seeded(1, 3, 9, 10)
    cells = picture[..., :8, :10].sum(1).reshape(4, 2, 5, 2).mean((1, 3))
    found = laplacian(picture, 2)
    assert found.shape == (1, 1, 2, 3)
    expected = cells[0, 2] + cells[2, 2] + cells[1, 1] + cells[1, 3] - 4 * cells[1, 2]
    assert found[0, 0, 0, 1].item() == pytest.approx(expected.item())


def test_edge_loss_scales() -> None:
    content, picture = seeded(1, 3, 24, 24), seeded(1, 3, 24, 24, seed=1)
    parts = {cell: (laplacian(picture, cell) - laplacian(content, cell)).square() for cell in (2, 4)}
    raw = LaplacianLoss(content, {2: 0.75, 4: 0.25}, scale="gatys")(picture)
    assert raw.item() == pytest.approx((0.75 * parts[2].sum() + 0.25 * parts[4].sum()).item())
    relative = LaplacianLoss(content, {4: 1.0})(picture)
    energy = laplacian(content, 4).square().mean() + 1e-3
    assert relative.item() == pytest.approx((parts[4].mean() / energy).item())


def test_edge_loss_ignores_light_and_colours() -> None:
    content = seeded(1, 3, 32, 32)
    loss = LaplacianLoss(content, {4: 1.0})
    assert loss(content).item() == 0
    assert loss(content + 0.2).item() == pytest.approx(0, abs=1e-12)
    assert loss(content.flip(1)).item() == pytest.approx(0, abs=1e-12)
    assert loss(torch.full_like(content, 0.5)).item() == pytest.approx(1, abs=0.05)
    plain = LaplacianLoss(torch.zeros_like(content), {4: 1.0})(0.01 * content)
    assert plain < 0.1  # where there are no edges, a little grain is no great loss


@pytest.mark.parametrize("scale", ["relative", "gatys"])
def test_gradients_of_edges_agree_with_finite_differences(scale: Any) -> None:
    loss = LaplacianLoss(seeded(1, 3, 9, 12, seed=2), {1: 0.5, 3: 0.5}, scale=scale)
    assert torch.autograd.gradcheck(loss, (seeded(1, 3, 9, 12).requires_grad_(),))


def test_a_weight_of_edges_keeps_the_content_s_edges(features: Features, painting: Picture, photo: Tensor) -> None:
    def lost(weight: float) -> float:
        losses = {"edges_weight": weight, "edges_cells": {2: 1}}
        return LaplacianLoss(photo, {2: 1.0})(rendered(features, painting, photo, losses=losses)).item()

    assert lost(30) < 0.3 * lost(0)


def test_too_large_cells_are_refused_if_edges_count(features: Features, painting: Picture, photo: Tensor) -> None:
    losses = {"edges_cells": {32: 1}}
    rendered(features, painting, photo, losses=losses, iterations=1)
    with pytest.raises(ConfigError, match=r"edges_cells.*32 pixels"):
        rendered(features, painting, photo, losses={**losses, "edges_weight": 1}, iterations=1)
    # At the coarse size there are no three cells of 16 pixels; they count at the fine one.
    losses = {"edges_weight": 30, "edges_cells": {16: 1}}
    assert not torch.equal(
        rendered(features, painting, photo, losses=losses), rendered(features, painting, photo, losses={})
    )


# Borders.


@pytest.mark.parametrize("padding", ["replicate", "reflect"])
def test_padding_equals_that_of_torch(padding: Any, features: Features, photo: Tensor) -> None:
    network = VGG19(features, last_layer="relu1_1", padding=padding)
    normal = (photo - network.mean) / network.deviation
    weight, bias = (torch.from_numpy(features[f"features.0.{part}"]) for part in ("weight", "bias"))
    padded = torch.nn.functional.pad(normal, (1, 1, 1, 1), mode=padding)
    expected = torch.nn.functional.conv2d(padded, weight, bias).relu()
    torch.testing.assert_close(network(photo, ["relu1_1"])["relu1_1"], expected)


def test_replicate_padding_keeps_plain_borders_plain(features: Features) -> None:
    plain = torch.full((1, 3, 32, 32), 0.7)
    spreads = {}
    for padding in ("zeros", "replicate"):
        network = VGG19(features, last_layer="relu3_1", padding=padding)  # type: ignore[arg-type]
        maps = network(plain, ["relu3_1"])["relu3_1"]
        spreads[padding] = (maps - maps[..., 4:5, 4:5]).abs().max().item()
    assert spreads["replicate"] < 1e-4 < 0.1 < spreads["zeros"]


def test_padding_reaches_the_picture(features: Features, painting: Picture, photo: Tensor) -> None:
    images = [
        rendered(features, painting, photo, model={"padding": padding}, iterations=4)
        for padding in ("zeros", "replicate", "reflect")
    ]
    assert not torch.equal(images[0], images[1])
    assert not torch.equal(images[1], images[2])


def test_reflect_needs_two_positions_in_the_deepest_map(features: Features) -> None:
    network = VGG19(features, last_layer="relu3_1", padding="reflect")
    assert network.smallest_side_px == 8
    network(torch.rand(1, 3, 8, 8), ["relu3_1"])
    with pytest.raises(ConfigError, match="needs 8 pixels"):
        network(torch.rand(1, 3, 7, 8), ["relu3_1"])


# Starts.


def test_init_style_takes_the_heaviest_style(painting: Picture, photo: Tensor) -> None:
    other = np.ascontiguousarray(painting[:, ::-1])
    config = OptimizeConfig(init="style")
    start = initial_image(photo, [(other, 1.0), (painting, 2.0)], config, seed=0)
    assert torch.equal(start, crop_to_fit(from_pixels(painting), 64, 96))
    assert start.shape == photo.shape


def test_crop_to_fit_only_crops_and_resizes() -> None:
    picture = seeded(1, 3, 40, 60)
    torch.testing.assert_close(crop_to_fit(picture, 40, 20), picture[..., 20:40])
    torch.testing.assert_close(crop_to_fit(picture, 10, 60), picture[..., 15:25, :])
    assert crop_to_fit(picture, 200, 20).shape == (1, 3, 200, 20)


def test_histogram_matching_keeps_the_order_of_values() -> None:
    picture, style = seeded(1, 3, 8, 10), seeded(1, 3, 10, 8, seed=1).square()
    found = match_histograms(picture, [(style, 5.0)])
    for channel in range(3):
        order = picture[0, channel].flatten().argsort()
        expected = style[0, channel].flatten().sort().values
        torch.testing.assert_close(found[0, channel].flatten()[order], expected)
    torch.testing.assert_close(match_histograms(style, [(style, 1.0)]), style)


def test_histogram_matching_averages_styles_by_weight() -> None:
    flat = torch.full((1, 3, 4, 4), 0.3)
    assert match_histograms(flat, [(seeded(1, 3, 9, 9), 1.0)])[0, 0].unique().numel() == 1
    dark, light = torch.full((1, 3, 4, 4), 0.2), torch.full((1, 3, 2, 2), 0.8)
    torch.testing.assert_close(
        match_histograms(seeded(1, 3, 5, 5), [(dark, 3.0), (light, 1.0)]),
        torch.full((1, 3, 5, 5), 0.35, dtype=torch.float64),
    )


def test_match_init_starts_in_the_style_s_colours(features: Features, painting: Picture, photo: Tensor) -> None:
    rough = photo + 0.02 * seeded(*photo.shape).float()  # where all values differ, histograms match exactly
    start = rendered(features, painting, rough, iterations=1, optimize={"match_init": True, "scales": 1})
    wanted = from_pixels(painting)
    for statistic in (torch.mean, torch.std):
        torch.testing.assert_close(statistic(start, (2, 3)), statistic(wanted, (2, 3)), rtol=0, atol=0.01)
    plain = rendered(features, painting, photo, iterations=1, optimize={"scales": 1})
    assert torch.equal(plain, photo)


# The style's size and turns.


def test_variants_are_scaled_turned_and_mirrored(painting: Picture) -> None:
    picture = from_pixels(painting)
    config = StylesConfig(scale=0.5, scales=(1, 2), turns=(0, 90), mirror=True)
    found = list(variants(picture, 64 * 96, config, smallest_side_px=4))
    assert len(found) == 8
    for index, variant in enumerate(found):
        area = variant.shape[2] * variant.shape[3]
        assert area == pytest.approx(64 * 96 * (0.25 if index < 4 else 1), rel=0.03)
    upright, mirrored, turned, _ = found[:4]
    assert torch.equal(mirrored, upright.flip(3))
    assert torch.equal(turned, upright.transpose(2, 3).flip(2))


def test_a_target_is_the_mean_of_its_variants(features: Features, painting: Picture) -> None:
    network = VGG19(features, last_layer="relu2_1")

    def texture(**values: Any) -> Tensor:
        config = StylesConfig.model_validate(values)
        made = StyleTargets([(painting, 1.0)], network=network, layers=["relu2_1"], config=config)
        return made.at(64, 96)[0].textures["gram"]["relu2_1"][0]

    torch.testing.assert_close(texture(scales=[0.5, 1]), (texture(scale=0.5) + texture()) / 2)
    turned = sum(texture(turns=[turn]) for turn in (0, 90, 180, 270))
    torch.testing.assert_close(texture(turns=[0, 90, 180, 270]), turned / 4)
    assert not torch.allclose(texture(mirror=True), texture())


def test_the_scale_of_a_style_changes_the_picture(features: Features, painting: Picture, photo: Tensor) -> None:
    def roughness(scale: float) -> float:
        image = rendered(features, painting, photo, iterations=30, styles={"scale": scale})
        return (image[..., 1:] - image[..., :-1]).square().mean().item() / image.var().item()

    assert roughness(0.5) > 1.3 * roughness(2)


def test_style_too_small_is_refused_with_a_remedy() -> None:
    check_scales([(300, 400)], StylesConfig(scale=0.3), height=64, width=96, smallest_side_px=16)
    with pytest.raises(ConfigError, match=r"styles\.scale = 0\.2.*400x300.*at least 0\.24"):
        check_scales([(300, 400)], StylesConfig(scale=0.4, scales=(0.5, 1)), height=64, width=96, smallest_side_px=16)
    check_scales([(300, 400)], StylesConfig(scale=0.24), height=64, width=96, smallest_side_px=16)
    check_scales([(10, 4000)], StylesConfig(), height=64, width=96, smallest_side_px=16)


# When to stop.


def test_stop_at_loss_stops_early() -> None:
    goal, reports = seeded(1, 3, 8, 8), list[StepReport]()

    def loss(picture: Tensor) -> dict[str, Tensor]:
        total = (picture - goal).square().mean()
        return {name: total if name == "total" else torch.zeros(()) for name in TERMS}

    config = OptimizeConfig(stop_at_loss=0.01, tolerance=0)
    found = minimize(loss, torch.zeros_like(goal), config=config, evaluations=200, on_step=reports.append)
    assert found.evaluations < 100
    totals = [report.losses["total"] for report in reports]
    assert totals[-1] < 0.01 <= min(totals[:-1])


# Raw scales.


def test_unit_network_makes_losses_independent_of_gain(features: Features, painting: Picture, photo: Tensor) -> None:
    strong = {name: values * (30 if name.startswith("features.0.") else 1) for name, values in features.items()}

    def style_loss(filters: Features, unit: bool) -> float:
        # Biases of later layers are not scaled along, so only the first layer is the same but stronger.
        losses = {"scale": "mean", "style_layers": {"relu1_1": 1}, "content_layers": {"relu1_1": 1}}
        config = RenderConfig.model_validate({"losses": losses, "model": {"unit": unit}})
        return Stylizer(filters, [(painting, 1.0)], config).evaluate(photo, photo)["style"]

    assert style_loss(strong, False) == pytest.approx(30**4 * style_loss(features, False), rel=1e-3)
    assert style_loss(strong, True) == pytest.approx(style_loss(features, True), rel=1e-3)


@pytest.mark.cuda
@pytest.mark.parametrize("kind", sorted(STATISTICS))
@pytest.mark.parametrize("padding", ["zeros", "replicate", "reflect"])
def test_a_gpu_gives_the_same_bytes_twice(
    kind: str, padding: str, features: Features, painting: Picture, photo: Tensor
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    losses = {"style_kinds": {kind: 1}, "edges_weight": 1}
    config = RenderConfig.model_validate({"losses": losses, "model": {"padding": padding}})
    made = Stylizer(features, [(painting, 1.0)], config, device="cuda")
    one, two = (made.stylize(photo, iterations=12).image for _ in range(2))
    assert torch.equal(one, two)
