"""Where a warm frame begins: warped states blended, and recoloured content elsewhere; flows one after the other."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vidnst.config import MotionConfig
from vidnst.frames import to_16_bits, to_float, to_float_planes
from vidnst.motion.blend import WarmSource, blend, luma_of_planes, smooth_borders, static_areas
from vidnst.motion.flow import Flow, FlowPair, compose, compose_pairs, estimate_pair

HEIGHT, WIDTH = 48, 64


def pixels(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def shift(x_px: float, y_px: float = 0, valid: int = 255) -> Flow:
    vectors_px = np.empty((HEIGHT, WIDTH, 2), np.float32)
    vectors_px[:] = (x_px, y_px)
    return Flow(vectors_px, np.full((HEIGHT, WIDTH), valid, np.uint8))


def still(valid: int = 255) -> Flow:
    return shift(0, 0, valid)


def test_disoccluded_content_takes_stylized_colours() -> None:
    flow = still()
    flow.valid[:, : WIDTH // 2] = 0
    content = pixels(1)
    inverted = (255 - content).astype(np.uint8)
    begun = blend(content, [WarmSource(to_16_bits(inverted), flow)])
    np.testing.assert_allclose(begun.picture, to_float_planes(inverted), atol=0.02)  # the half without a start, too
    assert begun.valid[0, 0] == 0
    assert begun.valid[0, -1] == 1


def test_content_is_unchanged_without_valid_states() -> None:
    begun = blend(pixels(1), [WarmSource(to_16_bits(pixels(2)), still(0))])
    np.testing.assert_allclose(begun.picture, to_float_planes(pixels(1)), atol=1e-6)
    assert not begun.valid.any()


def test_blend_uses_validity() -> None:
    one, two = to_16_bits(np.full_like(pixels(0), 100)), to_16_bits(np.full_like(pixels(0), 200))
    both = blend(pixels(1), [WarmSource(one, still()), WarmSource(two, still())])
    np.testing.assert_allclose(both.picture, 150 / 255, atol=1e-5)
    only = blend(pixels(1), [WarmSource(one, still(0)), WarmSource(two, still())])
    np.testing.assert_allclose(only.picture, 200 / 255, atol=1e-5)
    assert (only.valid == 1).all()


def test_blend_uses_weights() -> None:
    one, two = to_16_bits(np.full_like(pixels(0), 100)), to_16_bits(np.full_like(pixels(0), 200))
    begun = blend(pixels(1), [WarmSource(one, still(), 0.25), WarmSource(two, None, 0.75)])
    np.testing.assert_allclose(begun.picture, 175 / 255, atol=1e-5)


def test_blending_similar_strokes_keeps_contrast() -> None:
    noise = np.random.default_rng(4)
    shared, one, two = (cv2.GaussianBlur(noise.normal(0, 1, (96, 128, 3)), (0, 0), 0.8) for _ in range(3))
    states = [np.clip(0.5 + 0.15 * shared + 0.15 * own, 0, 1).astype(np.float32) for own in (one, two)]
    starts = [WarmSource(np.rint(state * 65535).astype(np.uint16)) for state in states]
    content = np.full((96, 128, 3), 128, np.uint8)
    begun = blend(content, starts).picture.transpose(1, 2, 0)
    plain = (states[0] + states[1]) / 2
    assert plain.std() < 0.9 * states[0].std()
    assert begun.std() == pytest.approx(states[0].std(), rel=0.03)
    agreed = 0.15 * shared
    assert np.corrcoef(begun.ravel(), agreed.ravel())[0, 1] > 0.99 * np.corrcoef(plain.ravel(), agreed.ravel())[0, 1]


def test_blend_of_equal_states_is_that_state() -> None:
    own = painted(scene(), 0.7)
    begun = blend(scene(), [WarmSource(own), WarmSource(own, still()), WarmSource(own, still(), 0.3)])
    np.testing.assert_allclose(begun.picture, to_float_planes(own), atol=1e-5)


def test_own_state_is_not_warped() -> None:
    own = to_16_bits(pixels(2))
    begun = blend(pixels(1), [WarmSource(own)])
    np.testing.assert_array_equal(begun.picture, to_float_planes(own))
    assert (begun.valid == 1).all()


def test_bytes_do_not_depend_on_thread_count() -> None:
    frames = [np.asarray(cv2.resize(scene(gain), (640, 480)), np.uint8) for gain in (0.8, 0.9, 1.0)]
    flow = Flow(cv2.resize(shift(1.3, -0.7).vectors_px, (160, 120)), np.full((120, 160), 255, np.uint8))
    starts = [
        WarmSource(to_16_bits(frames[0]), flow, 0.5, frames[0]),
        WarmSource(to_16_bits(frames[2]), None, 0.5, frames[2]),
    ]
    found = []
    threads = cv2.getNumThreads()
    for count in (1, 4):
        cv2.setNumThreads(count)
        begun = blend(frames[1], starts, follow_light=True, static_levels=4)
        pair = estimate_pair(frames[0], frames[1], MotionConfig(size=320))
        found.append([begun.picture.tobytes(), *(one.vectors_px.tobytes() + one.valid.tobytes() for one in pair)])
    cv2.setNumThreads(threads)
    assert found[0] == found[1]


def test_composed_shifts_add_up() -> None:
    both = compose(shift(3, -2), shift(-1, 5))
    np.testing.assert_allclose(both.vectors_px[..., 0], 2)
    np.testing.assert_allclose(both.vectors_px[..., 1], 3)


def test_composed_flow_is_valid_where_both_are() -> None:
    first, second = shift(4), shift(0)
    first.valid[:, :10] = 0
    second.valid[:, 30:40] = 0
    both = compose(first, second)
    # The second is asked 4 px further to the right; beyond the frame there is nothing to ask.
    gone = np.zeros(WIDTH, bool)
    gone[:10] = gone[26:36] = gone[WIDTH - 4 :] = True
    np.testing.assert_array_equal(both.valid[5] == 0, gone)


def test_compose_pairs_in_both_directions() -> None:
    first, second = FlowPair(shift(3), shift(-3)), FlowPair(shift(4), shift(-4))
    both = compose_pairs(first, second)
    np.testing.assert_allclose(both.forward.vectors_px[..., 0], 7)
    np.testing.assert_allclose(both.backward.vectors_px[..., 0], -7)


def scene(gain: float = 1.0) -> NDArray[np.uint8]:
    """A soft picture under some light."""
    noise = np.random.default_rng(5).uniform(60, 240, (HEIGHT // 8, WIDTH // 8, 3)).astype(np.float32)
    soft = cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return np.clip(soft * gain, 0, 255).astype(np.uint8)


def painted(pixels: NDArray[np.uint8], answer: float) -> NDArray[np.uint16]:
    """A picture with strokes of its own that answers to the source's brightness by a share."""
    strokes = np.random.default_rng(6).uniform(-0.1, 0.1, (HEIGHT, WIDTH, 1))
    return np.rint(np.clip(0.2 + answer * to_float(pixels) + strokes, 0, 1) * 65535).astype(np.uint16)


def test_relit_strokes_keep_their_place() -> None:
    lights = (1.0, 0.6)
    starts = [WarmSource(painted(scene(light), 0.5), still(), 0.5, scene(light)) for light in lights]
    now = scene(0.7)
    held, followed = blend(now, starts), blend(now, starts, follow_light=True)
    wanted = to_float_planes(painted(now, 0.5))
    assert np.abs(held.picture - wanted).mean() > 0.02
    assert np.abs(followed.picture - wanted).mean() < 0.01
    assert followed.warped_source is None
    assert followed.luma_change is not None
    change = np.mean([to_float(now) - to_float(scene(light)) for light in lights], axis=0) @ [0.2126, 0.7152, 0.0722]
    np.testing.assert_allclose(followed.luma_change, change, atol=0.05)


def test_single_state_is_not_relit() -> None:
    start = WarmSource(painted(scene(), 0.5), still(), 1.0, scene())
    begun = blend(scene(0.6), [start], follow_light=True)
    np.testing.assert_array_equal(begun.picture, to_float_planes(start.state))
    assert begun.warped_source is not None
    np.testing.assert_allclose(begun.warped_source, to_float_planes(scene()), atol=1e-6)
    assert blend(scene(), [start], follow_light=True).warped_source is None  # the light is the same


def test_no_relighting_without_a_luma_change() -> None:
    start = WarmSource(painted(scene(), 0.5), still(), 1.0, scene())
    np.testing.assert_allclose(
        blend(scene(), [start], follow_light=True).picture, to_float_planes(start.state), atol=1e-5
    )


def test_static_areas_ignore_the_flow() -> None:
    before = scene()
    now = before.copy()
    now[:, WIDTH // 2 :] = np.roll(before, 9, axis=0)[:, WIDTH // 2 :]
    state = to_16_bits(pixels(2))
    begun = blend(now, [WarmSource(state, shift(1.5, 0.5), 1.0, before)], static_levels=4)
    assert begun.static is not None
    left = np.s_[8:-8, 8 : WIDTH // 2 - 12]
    assert (begun.static[left] == 1).all()
    np.testing.assert_allclose(begun.picture[:, *left], to_float_planes(state)[:, *left], atol=1e-6)
    assert begun.static[:, WIDTH // 2 + 6 :].mean() < 0.2


def test_static_areas_can_ignore_light() -> None:
    before, now = luma_of_planes(to_float_planes(scene())), luma_of_planes(to_float_planes(scene(0.5)))
    assert static_areas(now, before, threshold_levels=4, ignore_light=True).mean() > 0.95
    assert static_areas(now, before, threshold_levels=4, ignore_light=False).mean() < 0.05


def test_static_areas_ignore_noise() -> None:
    noise = np.random.default_rng(8).normal(0, 4 / 255, (2, 3, HEIGHT, WIDTH)).astype(np.float32)
    now, before = (luma_of_planes(np.clip(to_float_planes(scene()) + grain, 0, 1)) for grain in noise)
    assert static_areas(now, before, threshold_levels=4, ignore_light=False).mean() > 0.95


def test_smooth_borders_lie_inside_the_valid_area() -> None:
    valid = np.zeros((HEIGHT, WIDTH), np.float32)
    valid[:, 10:] = 1
    valid[8, 20] = 0  # a speck
    valid[4, 4] = 1
    smooth = smooth_borders(valid)
    assert (smooth[:, :10] == 0).all()
    np.testing.assert_allclose(smooth[20, 10:13], [1 / 3, 1, 1], atol=1e-6)
    assert (smooth[7:10, 19:22] > 0.7).all()


def test_no_alternating_states_along_a_ragged_border() -> None:
    flow = shift(0, 0)
    flow.valid[(np.add.outer(np.arange(HEIGHT), np.arange(WIDTH)) % 2) == 0] = 0
    own, other = (np.full((HEIGHT, WIDTH, 3), level, np.uint16) for level in (40000, 10000))
    begun = blend(pixels(1), [WarmSource(own), WarmSource(other, flow)])
    assert np.ptp(begun.picture) < 0.06  # each by its own check: 0.23


def test_repeated_blending_keeps_detail_of_a_single_state() -> None:
    flow = shift(0, 0)
    flow.valid[:, : WIDTH // 2] = 0
    seam = WIDTH // 2 - 8  # beyond what a blur of the other half reaches
    first = to_16_bits(pixels(1))
    others = [WarmSource(to_16_bits(pixels(seed)), flow) for seed in (2, 3)]
    own = first
    for _ in range(4):
        begun = blend(pixels(1), [WarmSource(own), *others])
        own = np.round(begun.picture.transpose(1, 2, 0) * 65535).astype(np.uint16)
    assert np.abs(own[:, :seam].astype(float) - first[:, :seam]).max() <= 8
