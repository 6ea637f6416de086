"""The movement of strokes: whether fine detail follows the source or stays on the screen."""

import numpy as np
import pytest
from numpy.typing import NDArray

from vidnst.motion.flow import Flow
from vidnst.motion.stroke_motion import stroke_motion

HEIGHT, WIDTH, STEP = 60, 100, 4


def strokes(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(0, 255, (HEIGHT, WIDTH)).astype(np.float32)


def moving_left() -> Flow:
    """The source moves by `STEP` pixels to the left: a pixel is found `STEP` to its right in the frame before."""
    vectors_px = np.zeros((HEIGHT, WIDTH, 2), np.float32)
    vectors_px[..., 0] = STEP
    valid = np.full((HEIGHT, WIDTH), 255, np.uint8)
    valid[:, -STEP:] = 0
    return Flow(vectors_px, valid)


def test_strokes_that_move_with_the_source_follow() -> None:
    before = strokes(1)
    found = stroke_motion(np.roll(before, -STEP, axis=1), before, moving_left())
    assert found is not None
    assert found.follow == pytest.approx(1, abs=0.01)
    assert abs(found.screen) < 0.1
    assert found.area == pytest.approx(1 - STEP / WIDTH)


def test_strokes_that_stay_stick_to_the_screen() -> None:
    before = strokes(1)
    found = stroke_motion(before, before, moving_left())
    assert found is not None
    assert found.screen == pytest.approx(1)
    assert abs(found.follow) < 0.1


def test_new_strokes_do_neither() -> None:
    found = stroke_motion(strokes(2), strokes(1), moving_left())
    assert found is not None
    assert max(abs(found.follow), abs(found.screen)) < 0.1


def test_nothing_is_measured_where_nothing_moves() -> None:
    still = Flow(np.zeros((HEIGHT, WIDTH, 2), np.float32), np.full((HEIGHT, WIDTH), 255, np.uint8))
    assert stroke_motion(strokes(1), strokes(1), still) is None


def test_flat_pictures_have_no_correlation() -> None:
    flat = np.zeros((HEIGHT, WIDTH), np.float32)
    found = stroke_motion(flat, flat, moving_left())
    assert found is not None
    assert (found.follow, found.screen) == (0, 0)
