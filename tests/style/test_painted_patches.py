"""The distance from patches of a painting: what it counts, and that a network learns by it."""

import numpy as np
import pytest
import torch

from vidnst.style.losses.painted_patches import PATCH_PX, PATCHES, PaintedPatchLoss, PaintedSample
from vidnst.style.network.random_filters import random_features
from vidnst.style.network.vgg import VGG19

HEIGHT, WIDTH = 48, 64


@pytest.fixture(scope="module")
def network() -> VGG19:
    return VGG19(random_features("relu3_1", seed=0), last_layer="relu3_1")


def noise(seed: int, *, count: int = 1) -> torch.Tensor:
    return torch.rand(count, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(seed))


def test_equal_pictures_have_no_distance(network: VGG19) -> None:
    loss = PaintedPatchLoss(network, pixels_weight=4, features_weight=6)
    sample = PaintedSample(noise(0), noise(1))
    assert float(loss(noise(1), sample)) == 0
    assert float(loss(noise(0), sample)) > 0.5


def test_weights_scale_pixels_and_maps(network: VGG19) -> None:
    sample, picture = PaintedSample(noise(0), noise(1)), noise(2)
    pixels, maps, both = (
        float(PaintedPatchLoss(network, pixels_weight=one, features_weight=two)(picture, sample))
        for one, two in ((1, 0), (0, 1), (4, 6))
    )
    assert pixels == pytest.approx(float((picture - noise(1)).abs().mean()))
    assert both == pytest.approx(4 * pixels + 6 * maps, rel=1e-5)


def test_transparent_pixels_do_not_count(network: VGG19) -> None:
    opaque = np.zeros((1, HEIGHT, WIDTH), bool)
    opaque[..., :32] = True
    sample = PaintedSample(noise(0), noise(1), opaque)
    loss = PaintedPatchLoss(network, pixels_weight=4, features_weight=6)
    picture = noise(2).requires_grad_()
    loss(picture, sample).backward()
    assert picture.grad is not None
    assert picture.grad[..., 32:].abs().max() == 0
    assert picture.grad[..., :32].abs().min() > 0
    pixels = PaintedPatchLoss(network, pixels_weight=1, features_weight=0)(picture, sample)
    assert float(pixels.detach()) == pytest.approx(
        float((picture - noise(1))[..., :32].abs().mean().detach()), rel=1e-5
    )


def test_patches_lie_where_something_is_painted() -> None:
    opaque = np.zeros((HEIGHT, WIDTH), bool)
    opaque[40:, 50:] = True
    content = noise(0)
    shares = torch.stack([content[0, 0], 1 - content[0, 0]])[None]
    patches = PaintedSample(content, 1 - content, opaque, shares).patches(np.random.default_rng(0))
    assert patches.content.shape == (PATCHES, 3, PATCH_PX, PATCH_PX)
    assert patches.opaque is not None
    assert patches.opaque.any((1, 2)).all()
    torch.testing.assert_close(patches.painting, 1 - patches.content)
    assert patches.shares is not None
    torch.testing.assert_close(patches.shares[:, 0], patches.content[:, 0])


def test_small_frames_give_smaller_patches() -> None:
    small = noise(0)[..., :20, :24]
    patches = PaintedSample(small, small, shares=torch.ones(1, 1, 1, 1)).patches(np.random.default_rng(0))
    assert patches.content.shape == (PATCHES, 3, 20, 20)
    assert patches.shares is not None
    assert patches.shares.shape == (PATCHES, 1, 1, 1)
