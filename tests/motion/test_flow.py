"""Flow, its validity and warping, on pictures whose motion is known."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vidnst.frames import to_float, to_float_planes
from vidnst.motion.compose import compose
from vidnst.motion.flow import Flow, check_consistency, checked_pair, estimate_flow, estimate_pair
from vidnst.motion.metrics import warp_error
from vidnst.motion.warp import enlarge, fetch, places, warp

HEIGHT, WIDTH = 96, 128


@pytest.fixture
def texture() -> NDArray[np.uint8]:
    noise = np.random.default_rng(3).integers(0, 256, (HEIGHT // 4, WIDTH // 4, 3), np.uint8)
    return np.asarray(cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)


def shift_flow(x_px: float, y_px: float, height: int = HEIGHT, width: int = WIDTH) -> Flow:
    vectors_px = np.empty((height, width, 2), np.float32)
    vectors_px[:] = (x_px, y_px)
    return Flow(vectors_px, np.full((height, width), 255, np.uint8))


def test_a_shift_is_found_in_direction_and_size(texture: NDArray[np.uint8]) -> None:
    moved = np.roll(texture, (3, 5), axis=(0, 1))  # moved(p) shows what texture(p - (5, 3)) showed
    flow = estimate_flow(moved, texture)
    middle = flow.vectors_px[20:-20, 20:-20]
    np.testing.assert_allclose(np.median(middle, axis=(0, 1)), (-5, -3), atol=0.1)


def test_sixteen_bit_frames_give_the_flow_of_their_eight_bit_selves(texture: NDArray[np.uint8]) -> None:
    moved = np.roll(texture, 4, axis=1)
    narrow = estimate_flow(moved, texture)
    wide = estimate_flow(moved.astype(np.uint16) * 257, texture.astype(np.uint16) * 257)
    np.testing.assert_array_equal(narrow.vectors_px, wide.vectors_px)


def test_flow_is_computed_at_most_at_the_size_asked_for(texture: NDArray[np.uint8]) -> None:
    flow = estimate_flow(texture, texture, size=64)
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


def test_a_vector_is_trusted_where_the_way_back_ends_near_its_start_and_inside() -> None:
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


def test_warping_by_an_integer_shift_is_exact_inside(texture: NDArray[np.uint8]) -> None:
    picture = to_float(texture)
    warped, valid = warp(picture, shift_flow(-5, 0))
    np.testing.assert_allclose(warped[:, 5:], picture[:, :-5], atol=1e-6)
    assert (valid == 1).all()


def test_a_picture_is_fetched_as_one_remapping_of_all_its_channels_would(texture: NDArray[np.uint8]) -> None:
    picture, flow = to_float(texture), shift_flow(-2.3, 1.6)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    x, y = x + np.float32(-2.3), y + np.float32(1.6)
    whole = np.clip(cv2.remap(picture, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), 0, 1)
    np.testing.assert_allclose(warp(picture, flow)[0], whole, atol=1e-6)
    at = places(flow, HEIGHT, WIDTH)
    np.testing.assert_array_equal(fetch(to_float_planes(texture), at).transpose(1, 2, 0), warp(picture, flow)[0])


def test_a_small_flow_is_enlarged_with_its_vectors_scaled() -> None:
    vectors_px, valid = enlarge(shift_flow(2, -1, HEIGHT // 2, WIDTH // 4), HEIGHT, WIDTH)
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


def test_the_error_of_an_exact_result_is_zero(texture: NDArray[np.uint8]) -> None:
    previous = to_float(texture)
    flow = shift_flow(-6, 2)
    flow.valid[-2:] = 0
    flow.valid[:, :6] = 0
    current = np.roll(previous, (-2, 6), axis=(0, 1))
    for norm in ("valid", "all"):
        assert warp_error(current, previous, flow, norm=norm) < 1e-12  # type: ignore[arg-type]


@pytest.mark.parametrize("offset", [0.1, -0.03])
def test_the_error_of_a_constant_offset_is_its_square(texture: NDArray[np.uint8], offset: float) -> None:
    previous = to_float(texture)
    flow = shift_flow(0, 0)
    flow.valid[: HEIGHT // 4] = 0
    current = (previous + np.float32(offset)).astype(np.float32)
    assert warp_error(current, previous, flow) == pytest.approx(offset**2, rel=1e-4)
    assert warp_error(current, previous, flow, root=True) == pytest.approx(abs(offset), rel=1e-4)
    assert warp_error(current, previous, flow, norm="all") == pytest.approx(0.75 * offset**2, rel=1e-4)


def test_with_nothing_valid_the_error_is_over_all_pixels(texture: NDArray[np.uint8]) -> None:
    flow = shift_flow(0, 0)
    flow.valid[:] = 0
    previous = to_float(texture)
    assert warp_error(previous + np.float32(0.2), previous, flow) == pytest.approx(0.04, rel=1e-4)
    assert warp_error(previous + np.float32(0.2), previous, flow, norm="all") == 0


def test_the_two_flows_of_a_pair_are_each_other_s_inverse(texture: NDArray[np.uint8]) -> None:
    turned = cv2.warpAffine(
        texture, cv2.getRotationMatrix2D((64, 48), 2.0, 1.02), (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT
    )
    forward, backward = estimate_pair(np.asarray(turned, np.uint8), texture)
    there_and_back = compose(backward, forward)
    seen = (backward.valid == 255) & (there_and_back.valid == 255)
    assert seen.mean() > 0.7
    assert np.median(np.abs(there_and_back.vectors_px[seen])) < 1e-3


def test_inverting_makes_no_vector_worse_and_leaves_those_alone_that_are_not_trusted() -> None:
    forward, backward = np.random.default_rng(7).normal(0, 3, (2, HEIGHT, WIDTH, 2)).astype(np.float32)
    begun = backward.copy()
    trusted = check_consistency(backward, forward, 0.5, 4.0) == 255
    inverse = checked_pair(forward, backward, 0.5, 4.0).backward.vectors_px

    def missed(back: NDArray[np.float32]) -> NDArray[np.float32]:
        valid = np.full((HEIGHT, WIDTH), 255, np.uint8)
        return np.hypot(*np.moveaxis(compose(Flow(back, valid), Flow(forward, valid)).vectors_px, -1, 0))

    assert 0.2 < trusted.mean() < 0.9
    np.testing.assert_array_equal(backward, begun)
    np.testing.assert_array_equal(inverse[~trusted], begun[~trusted])
    assert (missed(inverse) <= missed(begun) + 1e-5).all()
    assert missed(inverse)[trusted].mean() < missed(begun)[trusted].mean()
