"""The steadiness numbers against their definitions, on a clip whose flow and occlusion are known exactly."""

import math

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from support.moving_clip import MovingClip

from vidnst.motion.flow import Flow, estimate_flow
from vidnst.motion.metrics import (
    FlowSampler,
    PairError,
    clip_errors,
    flicker_levels,
    laplacian_variance,
    luma_levels,
    resize_flow_strictly,
    slope_per_100,
    static_pixels,
)

STEPS = MovingClip(pan_px=(3, -2), square_step_px=(4, 1))
"""Whole pixels only."""
SLIDE = MovingClip(pan_px=(1.4, 0.6), zoom=1.01, turn_degrees=0.7, square_step_px=(2.5, 1.25))


def pair_error(current: NDArray[np.float32], previous: NDArray[np.float32], flow: Flow) -> PairError:
    return FlowSampler.from_flow(flow, *current.shape[:2]).pair_error(current, previous)


def grey(level: float, shape: tuple[int, int] = (48, 64)) -> NDArray[np.uint8]:
    return np.full((*shape, 3), level, np.uint8)


def deepened(picture: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint16]:
    """The same picture with 16 bits, of which the lower ones are of its own."""
    return np.clip(picture.astype(np.int32) * 257 + random.integers(-90, 90, picture.shape), 0, 65535).astype(np.uint16)


@pytest.mark.parametrize("gap", [1, 5])
def test_exact_whole_pixel_motion_has_no_error(gap: int) -> None:
    flow = STEPS.flow(5, 5 - gap)
    assert 0.3 < (flow.valid == 255).mean() < 1
    found = pair_error(STEPS.frame(5), STEPS.frame(5 - gap), flow)
    assert found.mean_squared < 1e-12
    assert found.valid_share == (flow.valid == 255).mean()


@pytest.mark.parametrize("gap", [1, 5])
def test_exact_subpixel_motion_has_only_sampling_error(gap: int) -> None:
    flow = SLIDE.flow(5, 5 - gap)
    lost = np.float32(0)
    for index in range(6):  # what half a pixel of bilinear sampling loses of this texture, there and back
        half = cv2.blur(SLIDE.frame(index), (2, 2))
        lost = max(lost, np.square(cv2.blur(half, (2, 2), anchor=(0, 0)) - SLIDE.frame(index))[2:-2, 2:-2].mean())
    assert pair_error(SLIDE.frame(5), SLIDE.frame(5 - gap), flow).mean_squared < lost
    assert pair_error(SLIDE.frame(5), SLIDE.frame(5 - gap), SLIDE.flow(5, 5)).mean_squared > 10 * lost


@pytest.mark.parametrize("clip", [STEPS, SLIDE])
@pytest.mark.parametrize("offset", [0.1, -0.04])
def test_constant_offset_in_each_definition(clip: MovingClip, offset: float) -> None:
    pairs = []
    for index in range(1, clip.count):
        flow, previous = clip.flow(index, index - 1), clip.frame(index - 1)
        x, y = np.meshgrid(np.arange(clip.width, dtype=np.float32), np.arange(clip.height, dtype=np.float32))
        fetched = cv2.remap(
            previous, x + flow.vectors_px[..., 0], y + flow.vectors_px[..., 1], cv2.INTER_LINEAR, borderMode=1
        )
        pairs.append(pair_error(np.asarray(fetched + np.float32(offset), np.float32), previous, flow))
    share = float(np.mean([pair.valid_share for pair in pairs]))
    errors = clip_errors(pairs)
    assert errors.lai == pytest.approx(offset**2, rel=1e-4)
    assert errors.ruder == pytest.approx(share * offset**2, rel=1e-4)
    assert errors.huang == pytest.approx(math.sqrt(share) * abs(offset), rel=1e-4)


def test_huang_takes_the_root_after_the_mean() -> None:
    errors = clip_errors([PairError(0.04, 0.5), PairError(0.16, 1.0)])
    assert errors.ruder == pytest.approx(0.09)
    assert errors.huang == pytest.approx(0.3)
    assert errors.lai == pytest.approx(0.1)


@pytest.mark.parametrize("size", [(72, 128), (150, 256)])
@pytest.mark.parametrize("valid", ["some", "none"])
def test_pair_error_is_its_definition(size: tuple[int, int], valid: str) -> None:
    height, width = size
    random = np.random.default_rng(3)
    current, previous = (random.random((height, width, 3), np.float32) for _ in range(2))
    flow = SLIDE.flow(5, 4)
    if valid == "none":
        flow.valid[:] = 0
    full = resize_flow_strictly(flow, height, width)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    x, y = x + full.vectors_px[..., 0], y + full.vectors_px[..., 1]
    warped = cv2.remap(previous, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    squared = np.square(warped.astype(np.float64) - current)
    counts = full.valid == 255
    assert counts.any() == (valid == "some")
    found = pair_error(current, previous, flow)
    assert found.valid_share == counts.mean()
    assert found.mean_squared == pytest.approx((squared[counts] if counts.any() else squared).mean(), rel=1e-6)
    assert found.over_all == pytest.approx((squared * counts[..., None]).mean(), rel=1e-6)


@pytest.mark.parametrize(("bits", "before_bits"), [(8, 8), (16, 16), (16, 8)])
def test_static_pixels_and_flicker_are_their_definitions(bits: int, before_bits: int) -> None:
    random = np.random.default_rng(4)
    before = np.kron(random.integers(0, 256, (6, 8, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
    before[0] = (255, 0, 255)
    now = np.clip(before + random.normal(0, 8, before.shape), 0, 255).round().astype(np.uint8)
    now[0] = (0, 255, 0)
    widened = [
        deepened(picture, random) if deep == 16 else picture for picture, deep in ((now, bits), (before, before_bits))
    ]
    one, two = (p.astype(np.float64) / (257 if p.dtype == np.uint16 else 1) for p in widened)
    blurred = cv2.GaussianBlur((one - two).astype(np.float32), (0, 0), 1, borderType=cv2.BORDER_REFLECT_101)
    wanted = (np.abs(blurred) < 3).all(axis=2)
    assert 0.1 < wanted.mean() < 0.9
    static = static_pixels(*widened)
    assert (static == wanted).mean() > 0.999  # but for rounding
    everywhere = np.ones_like(static)
    for where in (static, everywhere):
        assert flicker_levels(*widened, where) == pytest.approx(np.abs(one - two)[where].mean(), rel=1e-6)


def test_occluded_pixels_do_not_count() -> None:
    flow = STEPS.flow(3, 2)
    wrong = STEPS.frame(3)
    wrong[flow.valid == 0] = 1 - wrong[flow.valid == 0]
    assert pair_error(wrong, STEPS.frame(2), flow).mean_squared < 1e-12
    assert STEPS.uncovered(3, 2).any()
    assert not flow.valid[STEPS.uncovered(3, 2)].any()


def test_strictly_resized_validity() -> None:
    flow = Flow(np.zeros((12, 16, 2), np.float32), np.full((12, 16), 255, np.uint8))
    flow.valid[:, :8] = 0
    large = resize_flow_strictly(flow, 48, 64)
    assert set(np.unique(large.valid)) == {0, 255}
    assert not large.valid[:, :33].any()
    assert (large.valid[:, 34:] == 255).all()


@pytest.mark.parametrize("clip", [STEPS, SLIDE])
def test_dis_finds_a_known_flow(clip: MovingClip) -> None:
    exact = clip.flow(3, 2)
    found = estimate_flow(clip.pixels(3), clip.pixels(2))
    miss_px = np.linalg.norm(found.vectors_px - exact.vectors_px, axis=-1)
    both = (exact.valid == 255) & (found.valid == 255)
    assert both.sum() > 0.85 * (exact.valid == 255).sum()
    assert np.median(miss_px[both]) < 0.15
    assert miss_px[both].mean() < 0.4


def test_dis_invalidates_disoccluded_pixels() -> None:
    clip = MovingClip(width=256, height=144, square=(80, 50), square_px=48, square_step_px=(10, 0))
    uncovered = clip.uncovered(3, 2)
    found = estimate_flow(clip.pixels(3), clip.pixels(2))
    assert uncovered.sum() == 48 * 10
    assert (found.valid[uncovered] == 0).mean() > 0.7


def test_static_pixels_under_noise() -> None:
    clip = MovingClip(square_step_px=(12, 0))
    random = np.random.default_rng(8)
    noisy = [
        np.clip(clip.pixels(index) + random.normal(0, 2, (72, 128, 3)), 0, 255).round().astype(np.uint8)
        for index in range(2)
    ]
    static = static_pixels(noisy[1], noisy[0])
    assert static[:, 82:].mean() > 0.99
    assert static[24:40, 44:72].mean() < 0.4
    assert static_pixels(noisy[0], noisy[0]).all()


def test_flicker_is_mean_difference_at_static_pixels() -> None:
    static = np.zeros((48, 64), bool)
    static[:, :32] = True
    current = grey(100)
    current[:, :32] += 6
    current[:, 32:] += 80
    assert flicker_levels(current, grey(100), static) == 6
    wide = current.astype(np.uint16) * 257
    assert flicker_levels(wide, grey(100), static) == pytest.approx(6)
    assert flicker_levels(current, grey(100), np.zeros_like(static)) is None


def test_luma_weights_and_range() -> None:
    assert luma_levels(grey(255)).max() == pytest.approx(255)
    green = grey(0)
    green[..., 1] = 255
    assert luma_levels(green).mean() == pytest.approx(0.7152 * 255, rel=1e-5)


def test_blur_lowers_sharpness() -> None:
    plane = luma_levels(STEPS.pixels(0))
    assert (
        laplacian_variance(np.asarray(cv2.GaussianBlur(plane, (0, 0), 2), np.float32)) < laplacian_variance(plane) / 2
    )
    assert laplacian_variance(luma_levels(grey(90))) == 0


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    stripes = np.zeros((32, 32), np.float32)
    stripes[:, ::2] = 10
    assert laplacian_variance(stripes) == pytest.approx(20**2)


def test_slope_ignores_cuts() -> None:
    assert slope_per_100([[10 + 0.2 * step for step in range(30)]]) == pytest.approx(20)
    assert slope_per_100([[5, 5, 5], [90, 90, 90, 90]]) == pytest.approx(0)
    assert slope_per_100([[0, 1, 2], [50, 51]]) == pytest.approx(100)
    assert slope_per_100([[4]]) is None
    assert slope_per_100([]) is None
