"""Flow, its validity and warping, on pictures whose motion is known."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vidnst.config import MotionConfig
from vidnst.frames import to_float, to_float_planes
from vidnst.motion.flow import Flow, check_consistency, compose, consistent_pair, estimate_flow, estimate_pair
from vidnst.motion.warp import SamplingGrid, resize_flow, warp, warp_planes

HEIGHT, WIDTH = 96, 128


@pytest.fixture
def texture() -> NDArray[np.uint8]:
    noise = np.random.default_rng(3).integers(0, 256, (HEIGHT // 4, WIDTH // 4, 3), np.uint8)
    return np.asarray(cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)


def shift_flow(x_px: float, y_px: float, height: int = HEIGHT, width: int = WIDTH) -> Flow:
    vectors_px = np.empty((height, width, 2), np.float32)
    vectors_px[:] = (x_px, y_px)
    return Flow(vectors_px, np.full((height, width), 255, np.uint8))


def test_estimated_flow_of_a_shift(texture: NDArray[np.uint8]) -> None:
    moved = np.roll(texture, (3, 5), axis=(0, 1))  # moved(p) shows what texture(p - (5, 3)) showed
    flow = estimate_flow(moved, texture)
    middle = flow.vectors_px[20:-20, 20:-20]
    np.testing.assert_allclose(np.median(middle, axis=(0, 1)), (-5, -3), atol=0.1)


def test_fine_flow_misses_a_fraction_of_a_pixel_by_less(texture: NDArray[np.uint8]) -> None:
    height, width = texture.shape[:2]
    row, column = np.mgrid[:height, :width].astype(np.float32)
    shift = np.stack([0.6 * np.sin(row / 9), 0.6 * np.sin(column / 7)], axis=-1).astype(np.float32)
    moved = cv2.remap(texture, column + shift[..., 0], row + shift[..., 1], cv2.INTER_CUBIC)

    def missed(config: MotionConfig) -> float:
        flow = estimate_flow(np.asarray(moved, np.uint8), texture, config)
        assert flow.vectors_px.shape == shift.shape
        return float(np.abs(flow.vectors_px - shift)[12:-12, 12:-12].mean())

    medium, fine = missed(MotionConfig()), missed(MotionConfig(preset="fine"))
    assert fine < 0.7 * medium


def test_16_bit_frames_give_the_flow_of_8_bit_frames(texture: NDArray[np.uint8]) -> None:
    moved = np.roll(texture, 4, axis=1)
    narrow = estimate_flow(moved, texture)
    wide = estimate_flow(moved.astype(np.uint16) * 257, texture.astype(np.uint16) * 257)
    np.testing.assert_array_equal(narrow.vectors_px, wide.vectors_px)


def test_flow_is_computed_at_most_at_the_size_asked_for(texture: NDArray[np.uint8]) -> None:
    flow = estimate_flow(texture, texture, MotionConfig(size=64))
    assert flow.vectors_px.shape == (48, 64, 2)
    assert flow.valid.shape == (48, 64)


def test_what_a_square_uncovers_is_not_valid() -> None:
    noise = np.random.default_rng(4)
    background = cv2.resize(noise.integers(0, 256, (24, 32, 3), np.uint8), (256, 192), interpolation=cv2.INTER_CUBIC)
    square = cv2.resize(noise.integers(0, 256, (12, 12, 3), np.uint8), (96, 96), interpolation=cv2.INTER_CUBIC)
    before, after = np.array(background, np.uint8), np.array(background, np.uint8)
    before[48:144, 64:160] = square
    after[48:144, 76:172] = square
    flow = estimate_flow(after, before)
    assert (flow.valid[60:132, 65:75] == 0).mean() > 0.8  # uncovered
    assert (flow.valid[56:136, 86:162] == 255).mean() > 0.9  # the square itself
    assert (flow.valid[:36] == 255).mean() > 0.95  # the still background


def test_a_pair_gives_both_directions(texture: NDArray[np.uint8]) -> None:
    moved = np.roll(texture, (3, 5), axis=(0, 1))
    there, back = estimate_pair(moved, texture)
    np.testing.assert_array_equal(there.vectors_px, estimate_flow(moved, texture).vectors_px)
    np.testing.assert_array_equal(there.valid, estimate_flow(moved, texture).valid)
    middle = np.s_[20:-20, 20:-20]
    np.testing.assert_allclose(np.median(back.vectors_px[middle], axis=(0, 1)), (5, 3), atol=0.1)


def test_consistency_check_of_known_vectors() -> None:
    forward = shift_flow(4, 0).vectors_px
    backward = shift_flow(-4, 0).vectors_px
    backward[: HEIGHT // 2] = (-6, 0)
    valid = check_consistency(forward, backward, 0.01, 0.5)
    assert not valid[: HEIGHT // 2].any()
    assert (valid[HEIGHT // 2 :, : WIDTH - 4] == 255).all()
    assert not valid[:, WIDTH - 4 :].any()
    assert check_consistency(forward, backward, 0.1, 0.5)[0, 0] == 255  # 4 <= 0.1 * (16 + 36) + 0.5


def test_a_picture_too_small_for_the_flow_stays_where_it_is() -> None:
    tiny = np.zeros((8, 12, 3), np.uint8)
    assert not estimate_flow(tiny, tiny).vectors_px.any()


def test_warp_by_whole_pixels_is_exact(texture: NDArray[np.uint8]) -> None:
    picture = to_float(texture)
    warped, valid = warp(picture, shift_flow(-5, 0))
    np.testing.assert_allclose(warped[:, 5:], picture[:, :-5], atol=1e-6)
    assert (valid == 1).all()


def test_warp_equals_opencv_remap(texture: NDArray[np.uint8]) -> None:
    picture, flow = to_float(texture), shift_flow(-2.3, 1.6)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    x, y = x + np.float32(-2.3), y + np.float32(1.6)
    whole = np.clip(cv2.remap(picture, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), 0, 1)
    np.testing.assert_allclose(warp(picture, flow)[0], whole, atol=1e-6)
    at = SamplingGrid.from_flow(flow, HEIGHT, WIDTH)
    np.testing.assert_array_equal(warp_planes(to_float_planes(texture), at).transpose(1, 2, 0), warp(picture, flow)[0])


def test_resized_flow_scales_its_vectors() -> None:
    vectors_px, valid = resize_flow(shift_flow(2, -1, HEIGHT // 2, WIDTH // 4), HEIGHT, WIDTH)
    assert vectors_px.shape == (HEIGHT, WIDTH, 2)
    np.testing.assert_allclose(vectors_px[..., 0], 8)
    np.testing.assert_allclose(vectors_px[..., 1], -2)
    assert valid.shape == (HEIGHT, WIDTH)


def test_warped_pictures_stay_in_range() -> None:
    edges = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    edges[:, ::8] = 1
    warped, _ = warp(edges, shift_flow(0.5, 0.5))
    assert warped.min() >= 0
    assert warped.max() <= 1


def test_flows_of_a_pair_are_inverse(texture: NDArray[np.uint8]) -> None:
    turned = cv2.warpAffine(
        texture, cv2.getRotationMatrix2D((64, 48), 2.0, 1.02), (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT
    )
    forward, backward = estimate_pair(np.asarray(turned, np.uint8), texture)
    there_and_back = compose(backward, forward)
    seen = (backward.valid == 255) & (there_and_back.valid == 255)
    assert seen.mean() > 0.7
    assert np.median(np.abs(there_and_back.vectors_px[seen])) < 1e-3


def test_inversion_improves_only_trusted_vectors() -> None:
    forward, backward = np.random.default_rng(7).normal(0, 3, (2, HEIGHT, WIDTH, 2)).astype(np.float32)
    begun = backward.copy()
    trusted = check_consistency(backward, forward, 0.5, 4.0) == 255
    inverse = consistent_pair(forward, backward, MotionConfig(consistency=0.5, slack_px=4.0)).backward.vectors_px

    def missed(back: NDArray[np.float32]) -> NDArray[np.float32]:
        valid = np.full((HEIGHT, WIDTH), 255, np.uint8)
        return np.hypot(*np.moveaxis(compose(Flow(back, valid), Flow(forward, valid)).vectors_px, -1, 0))

    assert 0.2 < trusted.mean() < 0.9
    np.testing.assert_array_equal(backward, begun)
    np.testing.assert_array_equal(inverse[~trusted], begun[~trusted])
    assert (missed(inverse) <= missed(begun) + 1e-5).all()
    assert missed(inverse)[trusted].mean() < missed(begun)[trusted].mean()
