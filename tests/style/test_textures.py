"""Each way to compare textures against its definition, with guides, mixes and gradients."""

from collections.abc import Callable
from typing import Literal

import pytest
import torch
from support.tensors import seeded
from torch import Tensor

from vidnst.style.textures import moments_and_mmd, wasserstein
from vidnst.style.textures.protocol import mix
from vidnst.style.textures.registry import STATISTICS

Scale = Literal["relative", "gatys", "mean"]
KINDS = sorted(STATISTICS)
SCALES: list[Scale] = ["relative", "gatys", "mean"]


def apart(kind: str, one: Tensor, other: Tensor, *, scale: Scale = "gatys") -> float:
    statistic = STATISTICS[kind]
    return statistic.distance(statistic.compute(one), statistic.compute(other), scale=scale).item()


def columns(maps: Tensor) -> Tensor:
    return maps.flatten(0, 1).flatten(1)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("kind", KINDS)
def test_texture_distance_ignores_positions(kind: str, scale: Scale) -> None:
    maps = seeded(1, 4, 5, 6)
    moved = maps.flatten(2)[..., torch.randperm(30, generator=torch.Generator().manual_seed(1))].reshape(1, 4, 6, 5)
    assert apart(kind, maps, maps, scale=scale) == pytest.approx(0, abs=1e-12)
    assert apart(kind, moved, maps, scale=scale) == pytest.approx(0, abs=1e-12)
    assert apart(kind, 2 * seeded(1, 4, 5, 6, seed=1).square(), maps, scale=scale) > 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_relative_distance_ignores_activation_strength(kind: str) -> None:
    one, other = seeded(1, 4, 5, 6), seeded(1, 4, 5, 6, seed=1).square()
    plain = apart(kind, one, other, scale="relative")
    assert apart(kind, 300 * one, 300 * other, scale="relative") == pytest.approx(plain, rel=1e-4)
    assert 0.05 < plain < 5


@pytest.mark.parametrize("kind", KINDS)
def test_guide_selects_the_positions_of_a_texture(kind: str) -> None:
    maps, guide = seeded(1, 3, 4, 6), torch.zeros(1, 1, 4, 6, dtype=torch.float64)
    guide[..., :2] = 0.5  # how strong it is plays no part, only where
    for part, whole in zip(STATISTICS[kind].compute(maps, guide), STATISTICS[kind].compute(maps[..., :2]), strict=True):
        torch.testing.assert_close(part, whole)


@pytest.mark.parametrize("kind", KINDS)
def test_a_guide_of_two_counts_a_position_twice(kind: str) -> None:
    maps, guide = seeded(1, 3, 2, 4), torch.ones(1, 1, 2, 4, dtype=torch.float64)
    guide[..., 3] = 2
    twice = torch.cat([maps, maps[..., 3:]], dim=3)
    for part, whole in zip(STATISTICS[kind].compute(maps, guide), STATISTICS[kind].compute(twice), strict=True):
        torch.testing.assert_close(part, whole)


@pytest.mark.parametrize("kind", KINDS)
def test_empty_guide_and_dead_channels_stay_finite(kind: str) -> None:
    statistic, target = STATISTICS[kind], STATISTICS[kind].compute(seeded(1, 3, 4, 4).float())
    for value, guide in ((0.0, None), (1.0, None), (1.0, torch.zeros(1, 1, 4, 4))):
        x = torch.full((1, 3, 4, 4), value, requires_grad=True)
        found = statistic.distance(statistic.compute(x, guide), target, scale="relative")
        (gradient,) = torch.autograd.grad(found, x)
        assert torch.isfinite(found)
        assert torch.isfinite(gradient).all()
    dead = statistic.compute(torch.zeros(1, 3, 4, 4))
    assert torch.isfinite(statistic.distance(target, dead, scale="relative"))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("kind", KINDS)
def test_distance_to_equals_distance(kind: str, scale: Scale) -> None:
    statistic, target = STATISTICS[kind], STATISTICS[kind].compute(seeded(1, 3, 4, 5, seed=9))
    toward = statistic.distance_to(target, scale=scale)
    for seed in (1, 2):
        found = statistic.compute(seeded(1, 3, 4, 5, seed=seed))
        torch.testing.assert_close(toward(found), statistic.distance(found, target, scale=scale))
    assert toward(target).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_statistics(kind: str, scale: Scale) -> None:
    statistic, guide = STATISTICS[kind], seeded(1, 1, 4, 5, seed=7)
    target = statistic.compute(1.5 * seeded(1, 3, 4, 5, seed=9).square())

    def loss(x: Tensor) -> Tensor:
        # Scalars are handed on in single precision, too little for finite differences: their parts are compared.
        return statistic.distance(statistic.compute(x, guide), target, scale=scale)

    x = seeded(1, 3, 4, 5).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(x), x)
    assert (gradient.abs().sum(1) > 0).all()
    direction, step = seeded(1, 3, 4, 5, seed=3) - 0.5, 1e-3
    with torch.no_grad():
        slope = (loss(x + step * direction) - loss(x - step * direction)) / (2 * step)
    assert (gradient * direction).sum().item() == pytest.approx(slope.item(), rel=5e-3, abs=1e-6)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "sliced"])
def test_mix_equals_the_texture_of_both_pictures(kind: str) -> None:
    one, other = seeded(1, 3, 4, 5), seeded(1, 3, 4, 5, seed=1).square()
    if kind == "mmd_gaussian":  # each with its own bandwidth
        other = other * (one.square().mean() / other.square().mean()).sqrt()
    statistic = STATISTICS[kind]
    half = mix([(0.5, statistic.compute(one)), (0.5, statistic.compute(other))])
    for part, whole in zip(half, statistic.compute(torch.cat([one, other], dim=3)), strict=True):
        torch.testing.assert_close(part, whole)


def test_moments_are_those_of_equation_8() -> None:
    one, other = seeded(1, 4, 5, 6), seeded(1, 4, 5, 6, seed=1).square()
    means, deviations = (
        [how(columns(maps)) for maps in (one, other)]
        for how in (lambda f: f.mean(1), lambda f: f.std(1, unbiased=False))
    )
    expected = ((means[0] - means[1]).square() + (deviations[0] - deviations[1]).square()).mean()
    assert apart("moments", one, other) == pytest.approx(expected.item(), rel=1e-5)


def exact_mmd(one: Tensor, other: Tensor, kernel: Callable[[Tensor, Tensor], Tensor]) -> float:
    x, y = columns(one).T, columns(other).T
    return (kernel(x, x).mean() + kernel(y, y).mean() - 2 * kernel(x, y).mean()).item()


@pytest.mark.parametrize("kind", ["gram", "mmd_linear", "mmd_polynomial"])
def test_kernels_give_the_discrepancy_of_equation_6(kind: str) -> None:
    one, other = seeded(1, 4, 5, 6), seeded(1, 4, 3, 5, seed=1).square()
    constant = columns(other).square().sum(0).mean()
    kernel: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "gram": lambda x, y: (x @ y.T).square(),
        "mmd_linear": lambda x, y: x @ y.T,
        "mmd_polynomial": lambda x, y: (x @ y.T + constant).square(),
    }
    expected = exact_mmd(one, other, kernel[kind]) / (4 * 4**2)
    assert apart(kind, one, other) == pytest.approx(expected, rel=1e-5)


def test_gaussian_kernel_converges_with_frequencies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, other = seeded(1, 4, 5, 6), seeded(1, 4, 5, 6, seed=1).square()
    one = one * (other.square().mean() / one.square().mean()).sqrt()  # equally strong: one bandwidth
    square = columns(other).square().sum(0).mean()
    expected = exact_mmd(one, other, lambda x, y: (-torch.cdist(x, y).square() / (2 * square)).exp())
    assert apart("mmd_gaussian", one, other) == pytest.approx(expected, rel=0.3)
    monkeypatch.setattr(moments_and_mmd, "FREQUENCIES", 60_000)
    monkeypatch.setattr(moments_and_mmd, "_frequencies", moments_and_mmd._frequencies.__wrapped__)  # past the cache
    assert apart("mmd_gaussian", one, other) == pytest.approx(expected, rel=0.02)


def test_the_gaussian_kernel_sees_how_strong_activations_are() -> None:
    maps = seeded(1, 4, 5, 6)
    assert apart("mmd_gaussian", 2 * maps, maps) == pytest.approx(1, rel=1e-5)


def test_wasserstein_is_the_distance_of_the_two_gaussians() -> None:
    one, other = seeded(1, 3, 8, 9), seeded(1, 3, 8, 9, seed=1).square()

    def root(matrix: Tensor) -> Tensor:
        values, turn = torch.linalg.eigh(matrix)
        return turn * values.clamp(min=0).sqrt() @ turn.T

    c, s = (torch.cov(columns(maps), correction=0) for maps in (one, other))
    means = (columns(one).mean(1) - columns(other).mean(1)).square().sum()
    expected = means + (c + s - 2 * root(root(s) @ c @ root(s))).trace()
    assert apart("wasserstein", one, other) == pytest.approx(expected.item(), rel=1e-3)


def test_wasserstein_with_fewer_positions_than_channels() -> None:
    one, other = seeded(1, 16, 2, 3).float().requires_grad_(), seeded(1, 16, 3, 2, seed=1).float()
    statistic = STATISTICS["wasserstein"]
    found = statistic.distance(statistic.compute(one), statistic.compute(other), scale="relative")
    (gradient,) = torch.autograd.grad(found, one)
    assert 0 < found < 3
    assert gradient.abs().max() < 10


def test_sliced_compares_sorted_projections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wasserstein, "LEVELS", 30)  # as many as positions: nothing is averaged
    one, other = seeded(1, 4, 5, 6), seeded(1, 4, 5, 6, seed=1).square()
    directions = wasserstein._directions(4, torch.float64, "cpu")
    torch.testing.assert_close(directions @ directions.T, torch.eye(4, dtype=torch.float64))
    found, wanted = ((directions @ columns(maps)).sort(1).values for maps in (one, other))
    assert apart("sliced", one, other) == pytest.approx((found - wanted).square().mean().item(), rel=1e-6)


def test_quantiles_are_means_of_equal_sorted_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wasserstein, "LEVELS", 2)
    values = torch.tensor([[3.0, 1.0, 2.0]])
    # The lower half is 1, and half of 2.
    torch.testing.assert_close(wasserstein.quantiles(values), torch.tensor([[(1 + 2 / 2) / 1.5, (3 + 2 / 2) / 1.5]]))
    weighted = wasserstein.quantiles(values, torch.tensor([0.0, 3.0, 1.0]))
    torch.testing.assert_close(weighted, torch.tensor([[1.0, 1.5]]))


@pytest.mark.parametrize("levels", [3, 50])
def test_gradients_of_quantiles_agree_with_finite_differences(levels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wasserstein, "LEVELS", levels)
    values, weights = seeded(2, 11).requires_grad_(), seeded(11, seed=4)
    assert torch.autograd.gradcheck(wasserstein.quantiles, (values,))
    assert torch.autograd.gradcheck(lambda x: wasserstein.quantiles(x, weights), (values,))


def test_sliced_mix_interpolates_quantiles() -> None:
    maps = seeded(1, 3, 4, 5)
    statistic = STATISTICS["sliced"]
    half = mix([(0.5, statistic.compute(maps)), (0.5, statistic.compute(maps + 2))])
    torch.testing.assert_close(half[0], statistic.compute(maps + 1)[0])
