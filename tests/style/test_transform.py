"""The transform network: its shape, its independence of size, and its training."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from vidnst.config import RenderConfig
from vidnst.config.temporal import TrainingConfig
from vidnst.errors import RunError, WeightsError
from vidnst.files.weights_file import encode_safetensors
from vidnst.style.losses.objective import WarmStart
from vidnst.style.network.random_filters import random_features
from vidnst.style.stylizer import Stylizer
from vidnst.style.transform.colour_map import ColourMoments, colour_map
from vidnst.style.transform.local_contrast import local_contrast
from vidnst.style.transform.network import CONTEXT_PX, ClipNorm, TransformNetwork, enlarge
from vidnst.style.transform.network_file import encode_network, read_network_file
from vidnst.style.transform.training import PairedFrame, Sample, Training


def picture(seed: int, height: int = 32, width: int = 48) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def stylizer() -> Stylizer:
    losses: dict[str, Any] = {
        "tv_weight": 2,
        "content_layers": {"relu2_1": 1},
        "style_layers": {"relu1_1": 1, "relu2_1": 1},
    }
    painting = np.random.default_rng(1).integers(0, 255, (48, 48, 3), np.uint8)
    return Stylizer(random_features("relu2_1"), [(painting, 1.0)], RenderConfig.model_validate({"losses": losses}))


def trained(stylizer: Stylizer, steps: int, plan: TrainingConfig, samples: list[Sample]) -> Training:
    training = Training(stylizer, plan, seed=3)
    training.train(samples, steps)
    return training


@pytest.mark.parametrize(("height", "width"), [(32, 48), (33, 50), (9, 90)])
def test_result_has_the_frames_size_and_range(height: int, width: int) -> None:
    found = TransformNetwork()(picture(0, height, width)).detach()
    assert found.shape == (1, 3, height, width)
    assert 0 <= float(found.min()) < float(found.max()) <= 1


def test_untrained_network_shows_the_frame_in_the_styles_colours() -> None:
    network, x = TransformNetwork(), picture(0)
    assert torch.allclose(network(x), x.clamp(1 / 64, 63 / 64), atol=1e-5)
    goal = ColourMoments.of([0.4 + 0.2 * picture(1).square()])
    network.match_colours(ColourMoments.of([x]), [goal])
    found = ColourMoments.of([network(x).detach()])
    np.testing.assert_allclose(found.mean, goal.mean, atol=1e-4)
    np.testing.assert_allclose(found.covariance, goal.covariance, rtol=0.02, atol=1e-4)


def test_mixed_colours_are_those_of_all_pixels() -> None:
    one, other = picture(1), 0.5 * picture(2)
    found = ColourMoments.mixed([ColourMoments.of([one]), ColourMoments.of([other])], [1, 1])
    colours = torch.cat([one, other]).permute(1, 0, 2, 3).flatten(1).double().numpy()
    np.testing.assert_allclose(found.mean, colours.mean(1))
    np.testing.assert_allclose(found.covariance, np.cov(colours, ddof=0))


def test_colours_of_one_level_are_mapped_to_the_goals_mean() -> None:
    flat = torch.full((1, 3, 4, 4), 0.25)
    goal = ColourMoments.of([picture(1)])
    values = colour_map(ColourMoments.of([flat]), goal)
    torch.testing.assert_close(values[:, :3].sum(1) * 0.25 + values[:, 3], torch.from_numpy(goal.mean).float())


def test_local_contrast_makes_faint_texture_visible() -> None:
    strong, faint = picture(0, 64, 64), 0.5 + 0.1 * (picture(0, 64, 64) - 0.5)
    found = [float(local_contrast(x).std()) for x in (strong, faint)]
    assert found[0] < 2.5 * found[1]
    assert float(local_contrast(torch.full((1, 3, 64, 64), 0.3)).abs().max()) < 1e-4


def test_same_seed_gives_the_same_network() -> None:
    one, two, other = (TransformNetwork(seed=seed).to_vector() for seed in (1, 1, 2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_tiles_leave_no_seams() -> None:
    network = TransformNetwork()
    with torch.no_grad():
        network.last.weight.normal_(generator=torch.Generator().manual_seed(0))
        network(torch.cat([picture(seed) for seed in range(4)]))
        x = picture(5, 2 * CONTEXT_PX + 30, 3 * CONTEXT_PX + 65)
        whole = network.eval()(x)
        tiled = network.paint(x, tile_px=64)
    assert torch.allclose(whole, tiled, atol=1e-5)


def test_statistics_follow_in_training_and_are_fixed_afterwards() -> None:
    norm, everywhere = ClipNorm(3, 1), torch.ones(1, 1, 1, 1)
    x = picture(1) * 4 + 2
    for _ in range(3):
        found = norm(x, everywhere)
    assert torch.allclose(found.mean((0, 2, 3)), torch.zeros(3), atol=1e-4)
    assert torch.allclose(found.std((0, 2, 3)), torch.ones(3), atol=1e-2)
    before = norm.eval()(x, everywhere)
    norm(100 * x, everywhere)
    assert torch.equal(norm(x, everywhere), before)


def test_measured_statistics_are_means_over_the_frames() -> None:
    network, frames = TransformNetwork(), [picture(seed) for seed in range(3)]
    network(picture(9))  # what was there before is forgotten
    network.measure([(frame, None) for frame in frames])
    norm = network.down[0].norm
    alone: list[Tensor] = []
    for frame in frames:
        other = TransformNetwork()
        other.measure([(frame, None)])
        alone.append(other.down[0].norm.mean)
    torch.testing.assert_close(norm.mean, torch.stack(alone).mean(0))
    assert not torch.allclose(alone[0], alone[1], atol=1e-3)


def test_frames_that_only_give_a_start_leave_the_averages() -> None:
    network = TransformNetwork()
    network(picture(0))
    before = network.to_vector()
    with torch.no_grad():
        network(picture(1))
    assert np.array_equal(network.to_vector(), before)


def test_styles_are_mixed_by_their_shares_at_each_pixel() -> None:
    network = TransformNetwork(styles=2)
    with torch.no_grad():
        network.last.weight.normal_(generator=torch.Generator().manual_seed(0))
        network.blocks[0].second.norm.scale[1] = 3
        first, second, left = torch.zeros(3, 1, 2, 32, 48)
        first[:, 0], second[:, 1], left[:, 0, :, :24], left[:, 1, :, 24:] = 1, 1, 1, 1
        network(picture(0), first)
        one, two, mixed = (network.eval()(picture(0), shares) for shares in (first, second, left))
        same = network(picture(0), first[..., :1, :1])
    assert not torch.allclose(one, two, atol=1e-2)
    assert torch.allclose(same, one, atol=1e-5)
    assert not torch.allclose(mixed[..., :8], two[..., :8], atol=1e-2)
    assert (mixed - one)[..., :8].abs().mean() < (mixed - two)[..., :8].abs().mean()
    assert (mixed - one)[..., -8:].abs().mean() > (mixed - two)[..., -8:].abs().mean()


def test_enlargement_is_bilinear() -> None:
    maps = torch.rand(1, 3, 5, 7, generator=torch.Generator().manual_seed(2))
    expected = functional.interpolate(maps, scale_factor=2.0, mode="bilinear", align_corners=False)
    torch.testing.assert_close(enlarge(maps), expected)


def test_training_lowers_the_loss(stylizer: Stylizer) -> None:
    samples = [Sample(picture(seed)) for seed in range(2)]
    training = Training(stylizer, TrainingConfig(steps=40), seed=3)
    first = training.train(samples, 4)["total"]
    training.train(samples, 32)
    assert training.train(samples, 4)["total"] < 0.9 * first


def test_interrupted_training_gives_the_same_bytes(stylizer: Stylizer) -> None:
    plan, samples = TrainingConfig(steps=8, alone=0.5), [Sample(picture(0), pair=paired(1))]
    whole = trained(stylizer, 8, plan, samples).state()
    first = trained(stylizer, 5, plan, samples)
    second = Training(stylizer, plan, seed=3)
    second.restore(first.state(), 5)
    second.train(samples, 3)
    assert np.array_equal(whole, second.state())


def paired(seed: int) -> PairedFrame:
    return PairedFrame(picture(seed), None, lambda painted: WarmStart(painted, torch.ones(1, 1, *painted.shape[-2:])))


def test_pairs_are_held_to_each_other_after_the_first_part(stylizer: Stylizer) -> None:
    plan, samples = TrainingConfig(steps=10, alone=0.5), [Sample(picture(0), pair=paired(1))]
    training = Training(stylizer, plan, seed=3)
    assert training.train(samples, 5)["temporal"] == 0
    assert training.train(samples, 5)["temporal"] > 0


def test_hold_is_a_factor_on_the_temporal_weight(stylizer: Stylizer) -> None:
    totals: list[float] = []
    for hold in (0.0, 1.0, 3.0):
        training = Training(stylizer, TrainingConfig(steps=8, alone=0, hold=hold), seed=3)
        losses = training.train([Sample(picture(0), pair=paired(1))], 1)
        totals.append((losses["total"] - totals[0]) if totals else losses["total"])
    assert totals[2] == pytest.approx(3 * totals[1], rel=1e-3)
    assert totals[1] > 0


def test_checkpoint_of_another_network_is_refused(stylizer: Stylizer) -> None:
    other = Training(stylizer, TrainingConfig(steps=8), styles=2)
    with pytest.raises(RunError, match="another network"):
        Training(stylizer, TrainingConfig(steps=8)).restore(other.state(), 0)


def test_network_file_keeps_every_value(tmp_path: Path) -> None:
    network = TransformNetwork(styles=2, seed=5)
    data = encode_network(network.to_vector(), {"trained_on": "a clip"}, styles=2)
    assert data == encode_network(network.to_vector(), {"trained_on": "a clip"}, styles=2)
    path = tmp_path / "look.safetensors"
    path.write_bytes(data)
    found = read_network_file(path)
    assert np.array_equal(found.vector, network.to_vector())
    assert (found.styles, found.notes["trained_on"]) == (2, "a clip")


def test_damaged_or_foreign_network_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "look.safetensors"
    data = encode_network(TransformNetwork().to_vector(), {})
    for wrong in (b"", data[:1000], data[:-4], encode_safetensors({"x": np.zeros(3, np.float32)}, {})):
        path.write_bytes(wrong)
        with pytest.raises(WeightsError, match=r"look\.safetensors.*vidnst train"):
            read_network_file(path)
    broken = TransformNetwork()
    with torch.no_grad():
        broken.last.weight[0, 0, 0, 0] = float("nan")
    path.write_bytes(encode_network(broken.to_vector(), {}))
    with pytest.raises(WeightsError, match="NaN"):
        read_network_file(path)
