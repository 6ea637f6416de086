"""Teaching a small network: it gets better, goes on exactly where it was, and keeps what it learned."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from vidnst.config import VGG19_LAYERS, RenderConfig
from vidnst.errors import ConfigError, RunError, SourceError
from vidnst.style.distill.crops import Crops
from vidnst.style.distill.distillation import Distillation, DistillSettings
from vidnst.style.distill.evaluate import head_correlations
from vidnst.style.distill.export import compact_head, slim_features
from vidnst.style.distill.initialise import fit_convolution, select_channels
from vidnst.style.distill.student import StudentConv, gram_distance, grams, relational_loss, relative_error
from vidnst.style.network.backbones import BACKBONES, SLIM_BACKBONE, VGG19_BACKBONE, ConvLayer
from vidnst.style.network.random_filters import colour_noise, random_features
from vidnst.style.network.vgg import VGG19
from vidnst.style.stylizer import Stylizer

Features = dict[str, NDArray[np.float32]]
SETTINGS = DistillSettings(learn_to="relu2_1", steps=30, fresh=3, painted=2, life_steps=4, crop_px=24, seed=3)


def picture(seed: int, side_px: int = 64) -> NDArray[np.uint8]:
    planes = colour_noise(np.random.default_rng(seed), side_px)[0]
    return np.asarray(planes.transpose(1, 2, 0) * 255, np.uint8)


@pytest.fixture(scope="module")
def teacher() -> Features:
    return random_features("relu2_1", seed=7)


def begun(teacher: Features, settings: DistillSettings = SETTINGS) -> Distillation:
    crops = Crops([picture(seed) for seed in range(3)], side_px=settings.crop_px, seed=settings.seed)
    return Distillation(teacher, crops, settings)


def taught(work: Distillation, steps: int) -> list[float]:
    return [work.advance().loss for _ in range(steps)]


def test_slim_has_fewer_channels_or_low_rank_in_the_same_layers() -> None:
    for slim, full in zip(SLIM_BACKBONE.layers, VGG19_BACKBONE.layers, strict=False):
        assert (slim.name, slim.index, slim.block) == (full.name, full.index, full.block)
        assert slim.head == (slim.outputs < full.outputs)
        assert slim.head or 0 < slim.rank < full.outputs / 3
        assert (full.head, full.rank) == (False, 0)
    assert tuple(conv.name for conv in VGG19_BACKBONE.layers) == VGG19_LAYERS
    assert BACKBONES == {"vgg19": VGG19_BACKBONE, "slim": SLIM_BACKBONE}
    costs = [table.flops(144, 256, "relu5_1") for table in (VGG19_BACKBONE, SLIM_BACKBONE)]
    assert costs[0] / costs[1] > 6.5


def test_missing_slim_layer_suggests_vgg19() -> None:
    with pytest.raises(ConfigError, match=r"slim has no layer 'relu5_2'.*relu5_1.*--backbone vgg19"):
        SLIM_BACKBONE.up_to("relu5_2")


def test_crops_depend_on_seed_and_step_alone() -> None:
    pictures = [picture(0), picture(1, 40)]
    one, two = (Crops(pictures, side_px=24, seed=seed) for seed in (1, 2))
    batch = one.batch(5, 3)
    assert batch.shape == (3, 3, 24, 24)
    assert 0 <= batch.min() <= batch.max() <= 1
    assert torch.equal(batch, Crops(pictures, side_px=24, seed=1).batch(5, 3))
    assert not torch.equal(batch, one.batch(6, 3))
    assert not torch.equal(batch, two.batch(5, 3))


def test_crops_need_pictures_of_their_size() -> None:
    with pytest.raises(SourceError, match="--images"):
        Crops([], side_px=24, seed=0)
    with pytest.raises(SourceError, match="too small"):
        Crops([picture(0, 16)], side_px=24, seed=0)


def test_select_channels_takes_the_most_predictive() -> None:
    generator = torch.Generator().manual_seed(0)
    one, two = (torch.randn(1, 1, 20, 20, generator=generator) for _ in range(2))
    quiet = 0.01 * torch.randn(1, 1, 20, 20, generator=generator)
    maps = torch.cat([quiet, one, 2 * one, two, -one], dim=1)
    assert select_channels(maps, 2) == [2, 3]


def test_student_is_initialised_from_its_teacher(teacher: Features) -> None:
    lesson = begun(teacher).advance()
    assert lesson.step == 1
    assert list(lesson.errors) == ["relu1_1", "relu1_2", "relu2_1"]
    assert all(0 < error < 0.8 for error in lesson.errors.values())


def test_the_loss_falls(teacher: Features) -> None:
    losses = taught(begun(teacher, replace(SETTINGS, rate=1e-2, steps=80)), 80)
    assert np.mean(losses[-8:]) < 0.9 * np.mean(losses[:3])


def test_resumed_training_repeats_bytes(teacher: Features) -> None:
    whole = begun(teacher)
    taught(whole, 9)
    first = begun(teacher)
    taught(first, 4)
    second = begun(teacher)
    second.restore(first.state())
    taught(second, 5)
    assert second.step == whole.step == 9
    one, two = whole.state(), second.state()
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_checkpoint_of_another_student_is_refused(teacher: Features) -> None:
    other = begun(teacher, replace(SETTINGS, learn_to="relu1_2"))
    with pytest.raises(RunError, match="another student"):
        begun(teacher).restore(other.state())


def test_stylized_crops_approach_their_styles_and_are_replaced(teacher: Features) -> None:
    work = begun(teacher, replace(SETTINGS, painted=1, life_steps=8))
    work.advance()

    def apart() -> float:
        canvas = work.state()["canvas"]
        found = work.student.predicted_gram("relu2_1", work.student(canvas)["relu2_1"]).detach()
        return float(gram_distance(found[:1], found[1:2])[0])

    before, model = apart(), work.state()["canvas"][1]
    taught(work, 6)
    assert apart() < before
    assert torch.equal(work.state()["canvas"][1], model)
    taught(work, 2)
    assert not torch.equal(work.state()["canvas"][1], model)


def test_training_works_without_stylized_crops(teacher: Features) -> None:
    losses = taught(begun(teacher, replace(SETTINGS, painted=0)), 2)
    assert np.isfinite(losses).all()


def test_slim_features_keep_what_was_learned(teacher: Features) -> None:
    work = begun(teacher)
    taught(work, 2)
    x = Crops([picture(9)], side_px=24, seed=0).batch(0, 4)
    features = slim_features(work.student)
    heads = {key for conv in work.student.conv_layers for key in conv.head_keys}
    filters = {key for conv in work.student.conv_layers for key in (conv.weight_key, conv.bias_key)}
    assert features.keys() == heads | filters
    for values in features.values():
        assert np.array_equal(values, values.astype(np.float16).astype(np.float32))
    network = VGG19({key: features[key] for key in filters}, last_layer="relu2_1")
    maps = network(x, [conv.name for conv in work.student.conv_layers])
    for name, own in work.student(x).items():
        torch.testing.assert_close(maps[name], own, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("inputs", [12, 256])
def test_convolution_of_low_rank_is_the_best_of_its_rank(inputs: int) -> None:
    conv = ConvLayer("relu4_1", 0, inputs, 6, 3, rank=2)
    generator = torch.Generator().manual_seed(3)
    own = torch.rand(2, inputs, 10, 10, generator=generator)
    filters = torch.randn(6, inputs, 3, 3, generator=generator) * torch.tensor([9, 3, 1, 1, 1, 1]).view(6, 1, 1, 1)
    wanted = functional.conv2d(own, filters, padding=1) + 5
    module = StudentConv(conv)
    with torch.no_grad():
        if inputs == 12:
            fit_convolution(module, functional.unfold(own, 3, padding=1), wanted)
        else:
            responses = functional.conv2d(own, filters, padding=1).flatten(2)
            fit_convolution(module, responses, wanted, filters=filters)
        found = module(own)
    flat = wanted.transpose(0, 1).flatten(1)
    least = float(torch.linalg.eigvalsh(torch.cov(flat))[:-2].sum() / torch.cov(flat).trace())
    error = float((found - wanted).square().mean() / flat.var(1).mean())
    assert error == pytest.approx(least, rel=0.05)


def test_predicted_gram_equals_gram_of_predictions(teacher: Features) -> None:
    student = begun(teacher).student
    x = torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    maps = student(x)
    expected = grams(student.predictions(maps)["relu2_1"])
    found = student.predicted_gram("relu2_1", maps["relu2_1"])
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_compact_head_keeps_inner_products_of_predictions() -> None:
    generator = torch.Generator().manual_seed(2)
    weight, bias = torch.randn(9, 4, generator=generator), torch.randn(9, generator=generator)
    weight[:, 3] = weight[:, 2]  # a direction that predicts nothing
    maps = torch.rand(4, 50, generator=generator)
    expected = weight @ maps + bias[:, None]
    filters, offset = compact_head(weight, bias)
    assert filters.shape == (5, 4, 1, 1)
    found = filters.flatten(1) @ maps + offset[:, None]
    torch.testing.assert_close(found.T @ found, expected.T @ expected, rtol=1e-4, atol=1e-4)


def test_losses_of_slim_are_those_of_its_predictions(teacher: Features) -> None:
    work = begun(teacher)
    x = Crops([picture(9)], side_px=24, seed=0).batch(0, 2)
    predicted = work.student.predictions(work.student(x))["relu2_1"]
    maps = VGG19(slim_features(work.student), last_layer="relu2_1")(x, ["relu2_1"])["relu2_1"]
    assert maps.shape[1] == SLIM_BACKBONE.up_to("relu2_1")[-1].outputs + 1
    for distance in (lambda y: (y[0] - y[1]).square().sum(), lambda y: gram_distance(*grams(y)[:, None])[0]):
        assert float(distance(maps)) == pytest.approx(float(distance(predicted.detach())), rel=0.02)


def test_relative_error_and_relational_loss() -> None:
    true = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    variance = true.var((0, 2, 3))
    assert float(relative_error(true, true, variance, quiet=0.05)) == 0
    mean = true.mean((0, 2, 3), keepdim=True).expand_as(true)
    assert float(relative_error(mean, true, variance, quiet=0.05)) == pytest.approx(1, rel=0.02)
    distances = torch.tensor([0.1, 0.4])
    assert float(relational_loss(distances, distances)) == 0
    assert float(relational_loss(2.72 * distances, distances)) == pytest.approx(1, rel=0.02)


def test_canvas_steps_like_a_render(teacher: Features) -> None:
    work = begun(teacher, replace(SETTINGS, painted=1, fresh=1, life_steps=50))
    work.advance()
    content, style = (crop[None] for crop in work.state()["canvas"][[2, 1]])
    settings = {"losses": {"content_layers": {"relu2_1": 1}, "style_layers": {"relu1_1": 1, "relu2_1": 1}}}
    features = slim_features(work.student)
    optimize = {"iterations": 2, "scales": 1}
    config = RenderConfig.model_validate({"model": {"backbone": "slim"}, "optimize": optimize, **settings})
    pixels = (style[0].permute(1, 2, 0) * 255).round().byte().numpy()
    made = Stylizer(features, [(pixels, 1.0)], config).stylize(content).image
    step = work.state()["canvas"][0] - content[0]
    same = torch.sign(step) == torch.sign(made[0] - content[0])
    assert float(same.float().mean()) > 0.9


def test_head_correlations_follow_the_heads(teacher: Features) -> None:
    work = begun(teacher)
    found = head_correlations(work.student, work.teacher, [picture(20), picture(21)])
    assert list(found) == ["relu1_1", "relu1_2", "relu2_1"]
    assert all(0.5 < value <= 1 for value in found.values())
    with torch.no_grad():
        for _, _, head in work.student.layers():
            assert head is not None
            head.weight.neg_()
    opposite = head_correlations(work.student, work.teacher, [picture(20), picture(21)])
    assert opposite["relu1_1"] == pytest.approx(-found["relu1_1"], abs=1e-4)
    assert head_correlations(work.student, work.teacher, []) == {}
