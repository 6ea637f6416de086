"""Stylizing whole pictures: colours, repeatability, warm starts, scales, several styles, sizes."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from vidnst.config import LossConfig, RenderConfig
from vidnst.config.loader import build_config
from vidnst.errors import ConfigError, NumericalError
from vidnst.frames import Pixels
from vidnst.style.losses.objective import Objective, WarmStart
from vidnst.style.minimize import StepReport
from vidnst.style.network.backbones import VGG19_BACKBONE, last_layer
from vidnst.style.network.vgg import VGG19
from vidnst.style.network.weights import load_features
from vidnst.style.pyramid import relight_pass, split_evaluations
from vidnst.style.stylize import stylize
from vidnst.style.stylizer import Stylizer
from vidnst.style.targets.style_targets import StyleTargets
from vidnst.style.tensors import from_pixels, resize, size_of_area, state_bits, to_state

Features = dict[str, NDArray[np.float32]]
Picture = NDArray[np.uint8]


def config(**sections: dict[str, Any]) -> RenderConfig:
    return RenderConfig.model_validate(sections)


SHALLOW = {
    "style_layers": {"relu1_1": 1, "relu2_1": 1, "relu3_1": 1},
    "content_layers": {"relu2_2": 1},
}
"""Losses that need little of the network, for tests that are not about its depth."""


def stylizer(features: Features, painting: Picture, **sections: dict[str, Any]) -> Stylizer:
    return Stylizer(features, [(painting, 1.0)], config(**{"losses": SHALLOW, **sections}))


def test_the_result_takes_the_colours_of_the_style(features: Features, painting: Picture, photo: Tensor) -> None:
    result = stylizer(features, painting).stylize(photo, iterations=40)
    wanted = from_pixels(painting).mean((2, 3))
    before, after = ((picture.mean((2, 3)) - wanted).abs().max().item() for picture in (photo, result.image))
    assert after < before / 2
    assert result.image.std() > photo.std()


def test_a_result_has_the_content_s_shape_range_and_all_terms(
    features: Features, painting: Picture, photo: Tensor
) -> None:
    before = photo.clone()
    result = Stylizer(features, [(painting, 1.0)], config()).stylize(photo, iterations=3)
    assert result.image.shape == photo.shape
    assert result.image.dtype == torch.float32
    assert result.image.min() >= 0
    assert result.image.max() <= 1
    assert not result.image.requires_grad
    assert result.evaluations == 3
    losses, weights = result.losses, LossConfig()
    names = ("content", "style", "tv", "temporal", "edges")
    assert losses.keys() == {"total", *names}
    weighted = sum(losses[name] * getattr(weights, f"{name}_weight") for name in names)
    assert losses["total"] == pytest.approx(weighted, rel=1e-5)
    assert torch.equal(photo, before)


def test_evaluate_gives_the_losses_of_the_result(features: Features, painting: Picture, photo: Tensor) -> None:
    maker = stylizer(features, painting)
    result = maker.stylize(photo, iterations=5)
    again = maker.evaluate(photo, result.image)
    assert again.keys() == result.losses.keys()
    for name, value in result.losses.items():
        assert again[name] == pytest.approx(value, rel=1e-4)
    assert maker.evaluate(photo, photo)["content"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("init", ["content", "noise", "blend"])
def test_the_same_seed_gives_the_same_bytes(init: str, features: Features, painting: Picture, photo: Tensor) -> None:
    def render(seed: int) -> Tensor:
        return stylizer(features, painting, optimize={"init": init}).stylize(photo, iterations=3, seed=seed).image

    assert torch.equal(render(1), render(1))
    assert torch.equal(render(1), render(2)) == (init == "content")


def warm(picture: Tensor, mask: Tensor | None = None) -> WarmStart:
    return WarmStart(picture, torch.ones_like(picture[:, :1]) if mask is None else mask)


def test_zero_iterations_return_the_input(features: Features, painting: Picture, photo: Tensor) -> None:
    made = stylizer(features, painting)
    passed = made.stylize(photo, iterations=0)
    assert torch.equal(passed.image, photo)
    assert (passed.evaluations, passed.losses) == (0, {})
    start = photo.flip(3)
    assert torch.equal(made.stylize(photo, start=warm(start), iterations=0).image, start)


def test_iterations_default_to_the_configuration(features: Features, painting: Picture, photo: Tensor) -> None:
    made = stylizer(features, painting, optimize={"iterations": 6})
    assert made.stylize(photo).evaluations == 6
    assert made.stylize(photo, start=warm(photo)).evaluations == 3


def test_a_warm_start_begins_at_the_start(features: Features, painting: Picture, photo: Tensor) -> None:
    start = photo.flip(3)
    result = stylizer(features, painting).stylize(photo, start=warm(start), iterations=1)
    assert torch.equal(result.image, start)
    assert result.losses["temporal"] == 0


def test_temporal_term_keeps_a_frame_near_its_start(features: Features, painting: Picture, photo: Tensor) -> None:
    start = (photo + 0.2 * torch.rand(photo.shape, generator=torch.Generator().manual_seed(3))).clamp(0, 1)
    moved = {}
    for weight in (0.0, 3000.0):
        made = stylizer(features, painting, losses={**SHALLOW, "temporal_weight": weight})
        result = made.stylize(photo, start=warm(start), iterations=25, step_scale=0.7)
        moved[weight] = (result.image - start).square().mean().item()
        assert result.losses["temporal"] == pytest.approx(moved[weight], rel=1e-4)
    assert 0 < moved[3000.0] < moved[0.0] / 3

    network = VGG19(features, last_layer="relu3_1")
    targets = StyleTargets([(painting, 1.0)], network=network, layers=SHALLOW["style_layers"].keys()).at(64, 96)
    objective = Objective(network, photo, targets, LossConfig.model_validate(SHALLOW), start=warm(start))
    x = photo.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(objective(x)["temporal"], x)
    torch.testing.assert_close(gradient, 2 * (photo - start) / photo.numel())


def test_warm_start_hold_and_rate(features: Features, painting: Picture, photo: Tensor) -> None:
    start = (photo + 0.2 * torch.rand(photo.shape, generator=torch.Generator().manual_seed(3))).clamp(0, 1)
    made = stylizer(features, painting, losses={**SHALLOW, "temporal_weight": 100.0})

    def moved(**how: float) -> float:
        found = made.stylize(photo, start=replace(warm(start), **how), iterations=8)
        return (found.image - start).square().mean().item()

    assert moved(hold=30.0) < 0.5 * moved()
    assert moved(rate=0.05) < 0.5 * moved()


def test_empty_mask_disables_the_temporal_term(features: Features, painting: Picture, photo: Tensor) -> None:
    left = torch.zeros(1, 1, 64, 96)
    left[..., :48] = 1
    made = stylizer(features, painting, losses={**SHALLOW, "temporal_weight": 3000.0})
    result = made.stylize(photo, start=warm(photo, left), iterations=8, step_scale=0.7)
    change = (result.image - photo).square().mean(1)
    assert change[..., 48:].mean() > 2 * change[..., :48].mean()


def test_a_cold_start_goes_from_coarse_to_fine(features: Features, painting: Picture, photo: Tensor) -> None:
    reports: list[StepReport] = []
    made = stylizer(features, painting, optimize={"scales": 3})
    made.stylize(photo, iterations=10, on_step=reports.append)
    sizes = list(dict.fromkeys((report.height, report.width) for report in reports))
    assert sizes == [(16, 24), (32, 48), (64, 96)]
    assert [report.evaluation for report in reports] == list(range(1, 11))
    assert {report.limit for report in reports} == {10}


def test_scales_too_coarse_for_the_network_are_left_out(features: Features, painting: Picture, photo: Tensor) -> None:
    reports: list[StepReport] = []
    made = Stylizer(features, [(painting, 1.0)], config(optimize={"scales": 4}))
    made.stylize(photo, iterations=2, on_step=reports.append)
    assert {(report.height, report.width) for report in reports} == {(64, 96)}


@given(st.integers(1, 500), st.integers(1, 4))
def test_split_evaluations_favours_coarse_scales(total: int, scales: int) -> None:
    parts = split_evaluations(total, scales)
    assert sum(parts) == total
    assert 1 <= len(parts) <= scales
    assert min(parts) >= 1
    if total >= 20:
        assert len(parts) == scales
        assert all(coarse + 1 >= fine for coarse, fine in itertools.pairwise(parts))  # rounded
        assert parts[0] >= parts[-1]


def test_losses_of_several_styles_are_summed(features: Features, painting: Picture, photo: Tensor) -> None:
    other = np.ascontiguousarray(255 - painting)
    network = VGG19(features, last_layer="relu3_1")
    losses = LossConfig.model_validate(SHALLOW)

    def style_term(*styles: tuple[Picture, float]) -> float:
        targets = StyleTargets(styles, network=network, layers=losses.style_layers).at(64, 96)
        return Objective(network, photo, targets, losses)(photo)["style"].item()

    one, two = style_term((painting, 1.0)), style_term((other, 1.0))
    assert style_term((painting, 100.0), (other, 45.0)) == pytest.approx((100 * one + 45 * two) / 145, rel=1e-4)
    assert style_term((painting, 7.0)) == pytest.approx(one, rel=1e-5)


def test_relative_losses_mean_the_same_at_any_size(features: Features, painting: Picture, photo: Tensor) -> None:
    network = VGG19(features, last_layer="relu3_1")
    losses = LossConfig.model_validate(SHALLOW)
    # Flat patches: filters see the same at both sizes, but at edges and borders.
    coarse = torch.rand(1, 3, 3, 4, generator=torch.Generator().manual_seed(0))
    found = []
    for size in (96, 192):
        picture, other = (
            torch.nn.functional.interpolate(source, size=(size, size * 4 // 3)) for source in (coarse, 1 - coarse)
        )
        patches = np.ascontiguousarray((coarse[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8))
        patches = patches.repeat(64, axis=0).repeat(64, axis=1)
        targets = StyleTargets([(patches, 1.0)], network=network, layers=losses.style_layers)
        terms = Objective(network, picture, targets.at(*picture.shape[-2:]), losses)(other)
        found.append(terms)
    for name in ("content", "style"):
        assert found[0][name].item() == pytest.approx(found[1][name].item(), rel=0.2)


def test_gatys_scale_changes_the_numbers_and_still_stylizes(
    features: Features, painting: Picture, photo: Tensor
) -> None:
    raw = {**SHALLOW, "scale": "gatys", "content_weight": 1e-6, "style_weight": 10}
    reports: list[StepReport] = []
    result = stylizer(features, painting, losses=raw).stylize(photo, iterations=50, on_step=reports.append)
    assert result.losses["content"] > 100  # a sum over a map, not a share
    assert result.losses["style"] < reports[0].losses["style"] / 2


def test_a_grey_style_makes_a_grey_picture(features: Features, painting: Picture, photo: Tensor) -> None:
    grey = np.repeat(painting.mean(2, keepdims=True), 3, 2).astype(np.uint8)
    result = stylizer(features, grey, losses={**SHALLOW, "style_weight": 300}).stylize(photo, iterations=40)

    def saturation(picture: Tensor) -> float:
        return (picture.amax(1) - picture.amin(1)).mean().item()

    assert saturation(result.image) < 0.6 * saturation(photo)


@pytest.mark.parametrize("level", [0, 255])
def test_black_and_white_pictures_give_finite_results(level: int, features: Features, painting: Picture) -> None:
    flat = torch.full((1, 3, 32, 32), level / 255)
    for style in (painting, np.full((40, 40, 3), level, np.uint8)):
        result = stylizer(features, style).stylize(flat, iterations=3)
        assert torch.isfinite(result.image).all()


def test_odd_sizes_are_kept(features: Features, painting: Picture) -> None:
    picture = torch.rand(1, 3, 37, 51, generator=torch.Generator().manual_seed(0))
    assert stylizer(features, painting).stylize(picture, iterations=4).image.shape == (1, 3, 37, 51)


def test_a_frame_too_small_for_the_layers_is_refused(features: Features, painting: Picture) -> None:
    made = Stylizer(features, [(painting, 1.0)], config())
    with pytest.raises(ConfigError, match="16 pixels a side"):
        made.stylize(torch.rand(1, 3, 12, 40), iterations=2)


def test_nan_in_a_picture_is_an_error(features: Features, painting: Picture, photo: Tensor) -> None:
    broken = photo.clone()
    broken[0, 0, 10, 10] = torch.nan
    with pytest.raises(NumericalError):
        stylizer(features, painting).stylize(broken, iterations=3)


def test_size_of_area_keeps_the_aspect_ratio() -> None:
    assert size_of_area(100, 400, 64 * 96, 16) == (39, 157)
    assert size_of_area(1000, 500, 2 * 50 * 50, 16) == (100, 50)
    height, width = size_of_area(10, 1000, 64 * 96, 16)  # a strip that would get too thin
    assert (height, width) == (16, 1600)


def test_style_targets_are_cached_by_size(features: Features, painting: Picture) -> None:
    network = VGG19(features, last_layer="relu2_1")
    targets = StyleTargets([(painting, 1.0)], network=network, layers=["relu2_1"])
    first = targets.at(32, 32)
    assert targets.at(32, 32) is first
    assert targets.at(32, 40) is not first
    for width in range(41, 60):
        targets.at(16, width)
    again = targets.at(32, 32)
    assert again is not first
    assert torch.equal(again[0].textures["gram"]["relu2_1"][0], first[0].textures["gram"]["relu2_1"][0])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pixels_survive_the_round_trip(dtype: type) -> None:
    top = np.iinfo(dtype).max
    pixels: Pixels = np.random.default_rng(0).integers(0, top, (5, 7, 3), dtype, endpoint=True)  # type: ignore[assignment]
    pixels.flags.writeable = False  # as arrays from an object store are
    tensor = from_pixels(pixels)
    assert tensor.shape == (1, 3, 5, 7)
    assert torch.equal(tensor[0, :, 2, 3], torch.tensor(pixels[2, 3] / top, dtype=torch.float32))
    state = to_state(tensor)
    assert state.dtype == np.uint16
    assert np.array_equal(state, pixels.astype(np.uint16) * (65535 // top))


def test_states_are_rounded_and_clamped() -> None:
    values = torch.tensor([-1.0, 0.6 / 65535, 2.0]).view(1, 3, 1, 1)
    assert to_state(values).tolist() == [[[0, 1, 65535]]]


def test_state_bits_equal_the_state() -> None:
    levels = torch.arange(65536).view(1, 1, 256, 256)
    image = torch.cat([levels / 65535, levels / 65535 - 0.3, 1.2 - levels / 65535], dim=1)
    ready = state_bits(image)
    assert ready.is_contiguous()
    np.testing.assert_array_equal(ready.numpy().view(np.uint16), to_state(image))


def test_resizing_does_not_alias_and_stays_in_range() -> None:
    stripes = torch.tensor([0.0, 1.0]).repeat(32).expand(1, 3, 64, 64)
    small = resize(stripes, 21, 21)
    assert small[..., 3:-3, 3:-3].sub(0.5).abs().max() < 0.1
    large = resize(stripes, 100, 100)
    assert large.min() >= 0
    assert large.max() <= 1


def test_last_layer_is_the_deepest_with_a_weight() -> None:
    assert last_layer(config()) == "relu5_1"
    assert last_layer(config(losses={"style_layers": {"relu1_1": 1, "relu5_1": 0}})) == "relu4_2"


def test_stylize_image_stylizes_one_picture(features: Features, painting: Picture, photo: Tensor) -> None:
    settings = config(losses=SHALLOW, optimize={"iterations": 4})
    style = from_pixels(painting)[0]
    image = stylize(photo[0], style, config=settings, features=features, device="cpu")
    assert image.shape == photo[0].shape
    expected = stylizer(features, painting, optimize={"iterations": 4}).stylize(photo).image[0]
    torch.testing.assert_close(image, expected, rtol=0, atol=1e-3)
    both = stylize(photo, [(style, 2.0), (1 - style, 1.0)], config=settings, features=features, device="cpu")
    assert both.shape == photo.shape
    assert not torch.equal(both[0], image)


def test_stylize_image_finds_weights(painting: Picture, photo: Tensor) -> None:
    settings = config(losses=SHALLOW, optimize={"iterations": 2}, model={"weights": "random"})
    assert stylize(photo, from_pixels(painting), config=settings, device="cpu").shape == photo.shape


def test_cudnn_settings_are_restored(features: Features, painting: Picture, photo: Tensor) -> None:
    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    with pytest.raises(RuntimeError, match="cancel"):
        stylizer(features, painting).stylize(photo, iterations=2, on_step=_cancel)
    assert (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark) == before


def _cancel(report: StepReport) -> None:
    raise RuntimeError("cancel")


def test_real_weights_transfer_colours(shared: Any) -> None:
    import cv2

    def read(name: str, width: int) -> Picture:
        found = cv2.imread(str(shared(name)))
        assert found is not None
        pixels = cv2.cvtColor(found, cv2.COLOR_BGR2RGB)
        return np.asarray(cv2.resize(pixels, (width, width * 3 // 4), interpolation=cv2.INTER_AREA), np.uint8)

    features = load_features(shared("weights/vgg19_hybrid.pth"), "relu5_1")
    assert len(features) == 2 * len(VGG19_BACKBONE.up_to("relu5_1"))
    content = from_pixels(read("images/content/tubingen.jpg", 128))
    painting = read("images/style/the_scream.jpg", 128)
    reports: list[StepReport] = []
    made = Stylizer(features, [(painting, 1.0)], config())
    result = made.stylize(content, iterations=16, on_step=reports.append)
    assert result.losses["style"] < 0.35 * reports[0].losses["style"]
    warmth = (result.image[:, 0] - result.image[:, 2]).mean()
    assert warmth > (content[:, 0] - content[:, 2]).mean() + 0.1


@pytest.mark.cuda
def test_gpu_repeats_bytes_and_agrees_with_cpu(features: Features, painting: Picture, photo: Tensor) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    made = Stylizer(features, [(painting, 1.0)], config(), device="cuda")
    one, two = (made.stylize(photo, iterations=12).image for _ in range(2))
    assert torch.equal(one, two)
    cpu = Stylizer(features, [(painting, 1.0)], config()).stylize(photo, iterations=12).image
    assert (one.cpu() - cpu).abs().mean() < 0.02


@pytest.mark.parametrize(("scales", "iterations"), [(1, 2000), (2, 150), (3, 60)])
def test_relight_pass_is_small_and_short(scales: int, iterations: int) -> None:
    config = build_config({"optimize": {"scales": scales, "iterations": iterations}})
    (height, width), evaluations = relight_pass(config, 360, 640)
    assert (height, width) == ((180, 320) if scales < 3 else (90, 160))
    assert evaluations == min(iterations, 150)
