"""The terms of the objective against their definitions and against finite differences."""

from collections.abc import Callable

import pytest
import torch
from support.tensors import seeded
from torch import Tensor

from vidnst.style.losses import terms
from vidnst.style.losses.feature_queries import ContentTarget
from vidnst.style.textures.gram import GramMatrix, gram
from vidnst.style.textures.protocol import Scale


def style(found: Tensor, target: Tensor, *, scale: Scale = "relative") -> Tensor:
    return GramMatrix().distance((found,), (target,), scale=scale)


def content(found: Tensor, target: Tensor, *, scale: Scale = "relative") -> Tensor:
    return ContentTarget(target, scale).distance(found)


def test_gram_is_the_mean_of_channel_products() -> None:
    # Two channels over the three positions of a 1x3 map.
    features = torch.tensor([[[[1.0, 2.0, 3.0]], [[0.0, 1.0, -1.0]]]])
    expected = torch.tensor([[14 / 3, -1 / 3], [-1 / 3, 2 / 3]])
    torch.testing.assert_close(gram(features), expected)


def test_gram_does_not_depend_on_size() -> None:
    features = seeded(1, 4, 3, 5)
    torch.testing.assert_close(gram(features), gram(torch.cat([features, features], dim=3)))


@pytest.mark.parametrize("guided", [False, True])
def test_gradient_of_the_gram_matrix(guided: bool) -> None:
    maps, guide = seeded(1, 3, 2, 4), seeded(1, 1, 2, 4, seed=1) if guided else None
    assert torch.autograd.gradcheck(lambda found: gram(found, guide), maps.requires_grad_())


@pytest.mark.parametrize("guided", [False, True])
def test_bfloat16_gram_matrix_is_accurate(guided: bool) -> None:
    maps = seeded(1, 6, 90, 110).bfloat16()  # more positions than are added up in bfloat16
    guide = seeded(1, 1, 90, 110, seed=1).bfloat16().float() if guided else None
    weights = seeded(6, 6, seed=2).float()
    found, exact = (kind(maps).requires_grad_() for kind in (torch.clone, Tensor.double))
    products = gram(found, guide)
    expected = gram(exact, None if guide is None else guide.double())
    assert products.dtype == torch.float32
    torch.testing.assert_close(products.double(), expected, rtol=4e-3, atol=0)
    (gradient,) = torch.autograd.grad((products * weights).sum(), found)
    (wanted,) = torch.autograd.grad((expected * weights).sum(), exact)
    torch.testing.assert_close(gradient.double(), wanted, rtol=2e-2, atol=1e-7)


def test_gatys_style_is_equation_4() -> None:
    found, target = seeded(1, 3, 2, 4), seeded(1, 3, 2, 4, seed=1)
    channels, positions = 3, 8
    total = 0.0
    for i in range(channels):
        for j in range(channels):
            g = sum(found[0, i].flatten()[k] * found[0, j].flatten()[k] for k in range(positions))
            a = sum(target[0, i].flatten()[k] * target[0, j].flatten()[k] for k in range(positions))
            total += float((g - a) ** 2)
    expected = total / (4 * channels**2 * positions**2)
    got = style(gram(found), gram(target), scale="gatys")
    assert got.item() == pytest.approx(expected, rel=1e-12)


def test_gatys_content_is_half_the_sum_of_squares() -> None:
    found, target = torch.tensor([[[[1.0, 2.0]]]]), torch.tensor([[[[4.0, 0.0]]]])
    assert content(found, target, scale="gatys").item() == pytest.approx((9 + 4) / 2)


def test_relative_terms_are_squared_distance_over_squared_target() -> None:
    found, target = torch.tensor([[3.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    assert style(found, target).item() == pytest.approx((4 + 1) / 5)
    assert content(found[None, None], target[None, None]).item() == pytest.approx((4 + 1) / 5)


@pytest.mark.parametrize("factor", [0.01, 1.0, 300.0])
def test_relative_terms_ignore_feature_scale(factor: float) -> None:
    found, target = seeded(1, 4, 6, 6), seeded(1, 4, 6, 6, seed=1)
    plain = content(found, target)
    assert content(found * factor, target * factor).item() == pytest.approx(plain.item(), rel=1e-3)
    plain = style(gram(found), gram(target))
    scaled = style(gram(found * factor), gram(target * factor))
    assert scaled.item() == pytest.approx(plain.item(), rel=3e-3)


def test_a_target_without_energy_gives_a_finite_loss() -> None:
    nothing = torch.zeros(1, 2, 3, 3)
    assert content(nothing, nothing).item() == 0
    assert torch.isfinite(style(gram(nothing + 1), gram(nothing)))


def test_total_variation_is_a_mean_of_squared_steps() -> None:
    # 2x2, one channel repeated: steps down 1 and 2, across 3 and 4.
    picture = torch.tensor([[0.0, 3.0], [1.0, 5.0]]).expand(1, 3, 2, 2)
    assert terms.total_variation(picture).item() == pytest.approx((1 + 4) / 2 + (9 + 16) / 2)


@pytest.mark.parametrize("shape", [(5, 4), (1, 6), (6, 1), (1, 1)])
def test_gradient_of_total_variation(shape: tuple[int, int]) -> None:
    picture = seeded(1, 3, *shape).requires_grad_()
    assert torch.autograd.gradcheck(terms.total_variation, picture)


def test_total_variation_does_not_depend_on_size() -> None:
    ramp = torch.linspace(0, 1, 11).expand(1, 3, 7, 11)
    long = torch.linspace(0, 2, 21).expand(1, 3, 5, 21)
    torch.testing.assert_close(terms.total_variation(ramp), terms.total_variation(long))


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1)])
def test_total_variation_of_pictures_one_pixel_wide(shape: tuple[int, int]) -> None:
    assert terms.total_variation(torch.full((1, 3, *shape), 0.5)).item() == 0


def test_temporal_is_a_masked_mean() -> None:
    start, mask = seeded(1, 3, 4, 4), torch.zeros(1, 1, 4, 4)
    mask[..., :2] = 1
    picture = start + 0.3
    picture[..., 2:] = 9  # not believed, does not count
    torch.testing.assert_close(terms.temporal(picture, start, mask).item(), 0.09)
    x = picture.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(terms.temporal(x, start, mask), x)
    torch.testing.assert_close(gradient[..., :2], torch.full((1, 3, 4, 2), 2 * 0.3 / 24, dtype=x.dtype))
    assert not gradient[..., 2:].any()


def test_temporal_is_zero_for_an_empty_mask() -> None:
    nothing = torch.zeros(1, 1, 4, 4)
    assert terms.temporal(seeded(1, 3, 4, 4), seeded(1, 3, 4, 4, seed=1), nothing).item() == 0


def test_temporal_lock_adds_weight() -> None:
    start, mask, lock = seeded(1, 3, 4, 4), torch.ones(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    lock[..., 1, 2] = 9
    one, other = start.clone(), start.clone()
    one[..., 1, 2] += 0.1
    other[..., 3, 3] += 0.1
    pulls = [terms.temporal(picture, start, mask, lock=lock).item() for picture in (one, other)]
    assert pulls[0] == pytest.approx(10 * pulls[1], rel=1e-4)


def test_temporal_ignores_any_share_of_light_change() -> None:
    start, light = seeded(1, 3, 6, 8), 0.3 * seeded(1, 1, 6, 8, seed=2)
    mask = (seeded(1, 1, 6, 8, seed=3) > 0.3).to(start)
    lit = start + torch.tensor([0.5, 0.2, -0.1]).view(1, 3, 1, 1) * light + 0.1
    assert terms.temporal(lit, start, mask).item() > 1e-3
    assert terms.temporal(lit, start, mask, light=light).item() < 1e-7


def test_temporal_with_light_ignores_smooth_changes() -> None:
    start, light = seeded(1, 3, 60, 80), 0.3 * seeded(1, 1, 60, 80, seed=2)
    mask = (seeded(1, 1, 60, 80, seed=3) > 0.3).to(start)
    dawn = (
        start
        + 0.1 * torch.linspace(-1, 1, 80, dtype=start.dtype) * torch.linspace(0, 1, 60, dtype=start.dtype)[:, None]
    )
    held = terms.temporal(dawn, start, mask).item()
    assert terms.temporal(dawn, start, mask, light=light).item() < 0.02 * held


def test_temporal_with_light_keeps_textures() -> None:
    start, light = seeded(1, 3, 60, 80), 0.3 * seeded(1, 1, 60, 80, seed=2)
    noise = 0.05 * seeded(1, 3, 60, 80, seed=5)
    held = terms.temporal(start + noise, start, torch.ones(1, 1, 60, 80), light=light).item()
    assert held == pytest.approx(noise.var(dim=(2, 3)).mean().item(), rel=0.06)


@pytest.mark.parametrize(
    "term",
    [
        lambda x: style(gram(x), gram(seeded(1, 2, 3, 4, seed=9))),
        lambda x: style(gram(x), gram(seeded(1, 2, 3, 4, seed=9)), scale="gatys"),
        lambda x: content(x, seeded(1, 2, 3, 4, seed=9)),
        lambda x: content(x, seeded(1, 2, 3, 4, seed=9), scale="gatys"),
        lambda x: content(x, seeded(1, 2, 3, 4, seed=9), scale="mean"),
        terms.total_variation,
        lambda x: terms.temporal(x, seeded(1, 2, 3, 4, seed=9), seeded(1, 1, 3, 4, seed=8)),
        lambda x: terms.temporal(
            x,
            seeded(1, 2, 3, 4, seed=9),
            seeded(1, 1, 3, 4, seed=8),
            light=seeded(1, 1, 3, 4, seed=7),
            lock=seeded(1, 1, 3, 4, seed=6),
        ),
    ],
    ids=["style", "style-gatys", "content", "content-gatys", "content-mean", "tv", "temporal", "temporal-light"],
)
def test_gradients_agree_with_finite_differences(term: Callable[[Tensor], Tensor]) -> None:
    assert torch.autograd.gradcheck(term, (seeded(1, 2, 3, 4).requires_grad_(),))


def test_shares_sum_to_one_and_leave_out_layers_without_weight() -> None:
    assert terms.shares({"relu1_1": 3, "relu2_1": 1, "relu3_1": 0}) == {"relu1_1": 0.75, "relu2_1": 0.25}


def test_guide_selects_the_positions_of_a_gram_matrix() -> None:
    maps = seeded(1, 3, 4, 6)
    guide = torch.zeros(1, 1, 4, 6)
    guide[..., :2] = 0.5  # how strong it is plays no part, only where
    torch.testing.assert_close(gram(maps, guide), gram(maps[..., :2]))


def test_mean_terms_are_plain_means_of_squares() -> None:
    found, target = seeded(1, 3, 4, 5), seeded(1, 3, 4, 5, seed=1)
    assert content(found, target, scale="mean").item() == pytest.approx((found - target).square().mean().item())
    # Gram matrices over N M, as code of this kind has them, and the sum over their entries.
    grams = [maps.flatten(2)[0] @ maps.flatten(2)[0].T / (3 * 20) for maps in (found, target)]
    expected = (grams[0] - grams[1]).square().sum().item()
    got = style(gram(found), gram(target), scale="mean")
    assert got.item() == pytest.approx(expected, rel=1e-9)
