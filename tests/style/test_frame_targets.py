"""Directed style losses: guides, shares, targets between styles, and what stays as it is."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidnst.config import RenderConfig
from vidnst.frames import to_16_bits
from vidnst.style.guidance import Guidance, RegionGuidance, StyleFrame, StyleMix, blend_with_source
from vidnst.style.losses.objective import Objective
from vidnst.style.network.vgg import Block
from vidnst.style.stylizer import Stylizer
from vidnst.style.targets.guide_maps import Guide
from vidnst.style.targets.style_targets import StyleTarget
from vidnst.style.tensors import from_pixels
from vidnst.style.textures.gram import GramMatrix

Features = dict[str, NDArray[np.float32]]
Picture = NDArray[np.uint8]
SHALLOW = {"style_layers": {"relu1_1": 1, "relu2_1": 1}, "content_layers": {"relu2_2": 1}}
WHOLE = (StyleMix(1.0, ((0, 1.0),)),)


def stylizer(features: Features, *styles: Picture, **sections: dict[str, Any]) -> Stylizer:
    config = RenderConfig.model_validate({"losses": SHALLOW, "optimize": {"scales": 1}, **sections})
    return Stylizer(features, [(style, 1.0) for style in styles], config)


def halves(height: int = 64, width: int = 96) -> tuple[Picture, Picture]:
    left = np.zeros((height, width), np.uint8)
    left[:, : width // 2] = 255
    return left, 255 - left


@pytest.fixture(scope="module")
def other() -> Picture:
    """`(80, 80, 3)`: green and white dots."""
    y, x = np.mgrid[:80, :80]
    dots = (np.sin(x / 2.0) * np.sin(y / 2.0) > 0)[..., None]
    return np.where(dots, (30, 160, 60), (240, 240, 235)).astype(np.uint8)


class Pass:
    """A network whose only map is the picture itself."""

    def __call__(self, picture: Tensor, layers: object) -> dict[str, Tensor]:
        return {"relu1_1": picture}

    def blocks(self, picture: Tensor, layers: object, *, split_after: object) -> list[Block]:
        return [lambda x: (x, {"relu1_1": x})]


def test_region_loss_uses_the_squared_guide() -> None:
    generator = torch.Generator().manual_seed(1)
    picture = torch.rand((1, 3, 6, 8), generator=generator, dtype=torch.float64)
    whole = torch.rand((1, 1, 6, 8), generator=generator, dtype=torch.float64)
    wanted = torch.rand((3, 3), generator=generator, dtype=torch.float64)
    flat, weights = picture.flatten(2)[0], whole.flatten().square()
    by_hand = sum(weights[k] * torch.outer(flat[:, k], flat[:, k]) for k in range(48)) / weights.sum()
    config = RenderConfig.model_validate(
        {"losses": {"style_layers": {"relu1_1": 1}, "content_layers": {"relu1_1": 1}}}
    ).losses
    target = StyleTarget(0.3, {"gram": {"relu1_1": (wanted,)}}, Guide(whole))
    objective = Objective(Pass(), picture, [target], config)  # type: ignore[arg-type]
    style = objective(picture)["style"]
    assert style.item() == pytest.approx(
        0.3 * GramMatrix().distance((torch.as_tensor(by_hand),), (wanted,), scale="relative").item(), rel=1e-9
    )


def test_the_gradient_of_a_guided_loss_is_its_slope() -> None:
    generator = torch.Generator().manual_seed(2)
    picture = torch.rand((1, 3, 4, 5), generator=generator, dtype=torch.float64, requires_grad=True)
    guide = Guide(torch.rand((1, 1, 8, 10), generator=generator, dtype=torch.float64))
    wanted = torch.eye(3, dtype=torch.float64)
    distance = GramMatrix().distance_to((wanted,), scale="relative")
    assert torch.autograd.gradcheck(
        lambda maps: distance(GramMatrix().compute(maps, guide.at(4, 5))), picture, atol=1e-6
    )


def test_guide_is_averaged_before_it_is_squared() -> None:
    whole = torch.zeros(1, 1, 4, 4)
    whole[..., :2, :1] = 1
    small = Guide(whole).at(2, 2)
    assert torch.allclose(small, torch.tensor([[[[0.25, 0.0], [0.0, 0.0]]]]))


def test_guidance_for_the_whole_frame_equals_none(features: Features, painting: Picture, photo: Tensor) -> None:
    maker = stylizer(features, painting)
    plain = maker.stylize(photo, iterations=4)
    directed = maker.stylize(photo, iterations=4, guidance=Guidance((RegionGuidance(WHOLE),)))
    assert torch.equal(plain.image, directed.image)
    everywhere = Guidance((RegionGuidance(WHOLE, np.full((64, 96), 255, np.uint8)),))
    assert maker.evaluate(photo, photo, everywhere)["style"] == pytest.approx(maker.evaluate(photo, photo)["style"])


def test_mix_interpolates_between_two_styles(
    features: Features, painting: Picture, other: Picture, photo: Tensor
) -> None:
    maker = stylizer(features, painting, other)

    def loss(*blend: tuple[int, float]) -> float:
        return maker.evaluate(photo, photo, Guidance((RegionGuidance((StyleMix(1.0, blend),)),)))["style"]

    alone = [stylizer(features, style).evaluate(photo, photo)["style"] for style in (painting, other)]
    assert [loss((0, 1.0)), loss((1, 1.0))] == alone
    assert loss((0, 1.0), (1, 0.0)) == pytest.approx(alone[0])
    steps = [loss((0, 1 - way), (1, way)) for way in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert max(abs(late - early) for early, late in pairwise(steps)) < abs(steps[-1] - steps[0])
    colours = {}
    for way in (0.0, 0.5, 1.0):
        guidance = Guidance((RegionGuidance((StyleMix(1.0, ((0, 1 - way), (1, way))),)),))
        colours[way] = maker.stylize(photo, iterations=40, guidance=guidance).image.mean((2, 3))
    assert (colours[0.5] - colours[0.0]).norm() < (colours[1.0] - colours[0.0]).norm()
    assert (colours[0.5] - colours[1.0]).norm() < (colours[1.0] - colours[0.0]).norm()


def test_each_region_takes_the_colours_of_its_own_style(
    features: Features, painting: Picture, other: Picture, photo: Tensor
) -> None:
    left, right = halves()
    regions = (RegionGuidance(WHOLE, left), RegionGuidance((StyleMix(1.0, ((1, 1.0),)),), right))
    image = stylizer(features, painting, other).stylize(photo, iterations=40, guidance=Guidance(regions)).image
    wanted = [from_pixels(style).mean((2, 3)) for style in (painting, other)]
    for half, own, foreign in ((image[..., :40], 0, 1), (image[..., 56:], 1, 0)):
        found = half.mean((2, 3))
        assert (found - wanted[own]).norm() < 0.5 * (found - wanted[foreign]).norm()


def test_region_counts_by_its_area(features: Features, painting: Picture, other: Picture, photo: Tensor) -> None:
    maker = stylizer(features, painting, other)
    left, _ = halves()
    nothing = RegionGuidance((StyleMix(1.0, ((1, 1.0),)),), np.zeros_like(left))
    half = maker.evaluate(photo, photo, Guidance((RegionGuidance(WHOLE, left), nothing)))
    assert half == maker.evaluate(photo, photo, Guidance((RegionGuidance(WHOLE, left),)))
    cut = maker.evaluate(photo[..., :48], photo[..., :48])["style"]
    assert half["style"] == pytest.approx(cut / 2, rel=0.15)  # but for the target's size and the edge
    speck = np.zeros_like(left)
    speck[5, 7] = 1
    found = maker.stylize(photo, iterations=3, guidance=Guidance((RegionGuidance(WHOLE, speck),)))
    assert all(np.isfinite(value) for value in found.losses.values())


@pytest.mark.parametrize("sections", [{}, {"optimize": {"optimizer": "lbfgs"}}, {"optimize": {"init": "noise"}}])
def test_unstyled_regions_keep_the_content(
    sections: dict[str, Any], features: Features, painting: Picture, photo: Tensor
) -> None:
    left, right = halves()
    guidance = Guidance((RegionGuidance(WHOLE, left), RegionGuidance((), right)))
    found = stylizer(features, painting, **sections).stylize(photo, iterations=6, guidance=guidance)
    assert torch.equal(found.image[..., 48:], photo[..., 48:])
    assert (found.image[..., :48] - photo[..., :48]).abs().mean() > 0.02


def test_frame_without_style_is_its_content(features: Features, painting: Picture, photo: Tensor) -> None:
    bare = Guidance((RegionGuidance((), np.full((64, 96), 255, np.uint8)),))
    found = stylizer(features, painting).stylize(photo, iterations=2, guidance=bare)
    assert torch.equal(found.image, photo)
    assert found.losses["style"] == 0


def test_style_clip_gives_the_style_of_its_frame(
    features: Features, painting: Picture, other: Picture, photo: Tensor
) -> None:
    maker = stylizer(features, painting)
    shown = Guidance((RegionGuidance(WHOLE),), {0: StyleFrame(3, other)})
    expected = stylizer(features, other).evaluate(photo, photo)
    assert maker.evaluate(photo, photo, shown) == expected
    assert maker.evaluate(photo, photo, Guidance((RegionGuidance(WHOLE),), {0: StyleFrame(4, painting)})) != expected
    assert maker.evaluate(photo, photo) != expected


def test_blend_with_source_is_exact_at_full_share() -> None:
    generator = np.random.default_rng(4)
    state = generator.integers(0, 65536, (4, 6, 3), np.uint16)
    source = generator.integers(0, 256, (4, 6, 3), np.uint8)
    bare = np.zeros((4, 6), np.uint8)
    bare[:, 2:4], bare[:, 4:] = 51, 255
    found = blend_with_source(state, source, bare)
    np.testing.assert_array_equal(found[:, :2], state[:, :2])
    np.testing.assert_array_equal(found[:, 4:], to_16_bits(source)[:, 4:])
    np.testing.assert_allclose(found[:, 2:4], 0.8 * state[:, 2:4] + 0.2 * to_16_bits(source)[:, 2:4], atol=1)
