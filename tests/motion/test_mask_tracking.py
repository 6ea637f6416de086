"""Masks that follow what moves: they stay on it, keep their edges, and leave no trail."""

import numpy as np
import pytest
from numpy.typing import NDArray
from support.moving_clip import MovingClip

from vidnst.config import MotionConfig
from vidnst.motion.mask_tracking import MaskTracker, fill_unknown


def covered(clip: MovingClip, index: int) -> NDArray[np.bool_]:
    """Where the square is."""
    y, x = np.mgrid[: clip.height, : clip.width]
    left, top = (place + step * index for place, step in zip(clip.square, clip.square_step_px, strict=True))
    return (x >= left) & (x < left + clip.square_px) & (y >= top) & (y < top + clip.square_px)


def overlap(found: NDArray[np.uint8], truth: NDArray[np.bool_]) -> float:
    """Intersection over union."""
    inside = found > 127
    return float((inside & truth).sum() / (inside | truth).sum())


def shown(clip: MovingClip, index: int) -> NDArray[np.uint8]:
    """A frame with a square that is brighter than what lies behind it."""
    frame = 0.5 * clip.frame(index)
    frame += np.where(covered(clip, index)[..., None], (0.5, 0.4, 0.25), (0.15, 0.15, 0.15))
    return np.rint(np.clip(frame, 0, 1) * 255).astype(np.uint8)


@pytest.mark.parametrize("pan_px", [(0.0, 0.0), (-1.5, 0.5)])
def test_a_mask_stays_on_what_moves_and_leaves_no_trail(pan_px: tuple[float, float]) -> None:
    clip = MovingClip(
        count=9, width=160, height=96, pan_px=pan_px, square=(20, 20), square_px=48, square_step_px=(5, 1)
    )
    mask = np.where(covered(clip, 0), 255, 0).astype(np.uint8)
    tracker = MaskTracker(shown(clip, 0), [mask, 255 - mask], MotionConfig())
    for index in range(1, clip.count):
        found, rest = tracker.step(shown(clip, index))
    truth = covered(clip, clip.count - 1)
    assert overlap(found, truth) > 0.93
    assert overlap(rest, ~truth) > 0.97
    assert overlap(mask, truth) < 0.2  # where it would be if it had not followed
    assert ((found > 40) & (found < 215)).mean() < 0.03


def test_a_mask_on_a_frame_without_texture_stays_where_it_is() -> None:
    grey = np.full((64, 96, 3), 128, np.uint8)
    mask = np.zeros((64, 96), np.uint8)
    mask[20:40, 30:60] = 255
    tracker = MaskTracker(grey, [mask], MotionConfig())
    for _ in range(3):
        (found,) = tracker.step(grey)
    assert np.abs(found.astype(int) - mask).max() <= 1


def test_unknown_pixels_follow_neighbours_of_their_colour() -> None:
    frame = np.zeros((60, 90, 3), np.uint8)
    frame[:, 45:] = 200
    mask = np.zeros((60, 90), np.float32)
    mask[:, 45:] = 1
    valid = np.ones_like(mask)
    valid[:, 42:48] = 0
    wrong = np.where(valid > 0, mask, 1 - mask).astype(np.float32)
    np.testing.assert_allclose(fill_unknown(wrong, valid, frame), mask, atol=0.02)


def test_what_has_no_known_neighbour_stays_as_it_was() -> None:
    mask = np.random.default_rng(0).random((40, 60), np.float32)
    frame = np.zeros((40, 60, 3), np.uint8)
    np.testing.assert_array_equal(fill_unknown(mask, np.zeros_like(mask), frame), mask)
