"""Cells that move with the picture: they fill it, follow its edges, and stay on what they show."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from support.moving_clip import MovingClip

from vidnst.media.effects.colour_space import FloatImage
from vidnst.media.effects.superpixels import Labels, flatten_cells, segment_first, segment_next

CELLS = 60
PAN = MovingClip(count=8, width=160, height=96, pan_px=(3.0, 1.5), square_px=0)


def frame(clip: MovingClip, index: int, noise: float = 0.01) -> FloatImage:
    """A frame of longer waves than the clip's own, with the noise of a camera."""
    random = np.random.default_rng(index)
    return np.clip(clip.frame(index) + random.normal(0, noise, (clip.height, clip.width, 3)), 0, 1).astype(np.float32)


def fetched(labels: Labels, clip: MovingClip, index: int) -> tuple[Labels, NDArray[np.bool_]]:
    """The labels of the frame before on the grid of this one, and where they are known, by the exact motion."""
    flow = clip.flow(index, index - 1)
    y, x = np.indices(labels.shape)
    at_x = np.clip(np.rint(x + flow.vectors_px[..., 0]).astype(int), 0, clip.width - 1)
    at_y = np.clip(np.rint(y + flow.vectors_px[..., 1]).astype(int), 0, clip.height - 1)
    return labels[at_y, at_x], flow.valid > 0


def moved(clip: MovingClip, count: int, noise: float = 0.01, compactness: float = 20.0) -> list[Labels]:
    found = [segment_first(frame(clip, 0, noise), CELLS, compactness)]
    for index in range(1, count):
        flow = clip.flow(index, index - 1)
        found.append(
            segment_next(
                frame(clip, index, noise),
                found[-1],
                flow.vectors_px,
                flow.valid > 0,
                cells=CELLS,
                compactness=compactness,
            )
        )
    return found


def overlap(one: Labels, two: Labels, known: NDArray[np.bool_]) -> float:
    """Share of pixels whose cell in `two` is the one that most of it was in `one`, whatever the numbers."""
    table = np.zeros((two.max() + 1, one.max() + 1), int)
    np.add.at(table, (two[known], one[known]), 1)
    return float(table.max(1).sum() / known.sum())


def test_cells_follow_panning_camera() -> None:
    steady, single = moved(PAN, 6), [segment_first(frame(PAN, index), CELLS, 20.0) for index in range(6)]
    held, jumped = [], []
    for index in range(1, 6):
        before, known = fetched(steady[index - 1], PAN, index)
        held.append(float((before[known] == steady[index][known]).mean()))
        jumped.append(overlap(fetched(single[index - 1], PAN, index)[0], single[index], known))
    assert min(held) > 0.9, held
    assert max(jumped) < 0.8, jumped


def test_cells_are_stable_in_still_noisy_clip() -> None:
    still = MovingClip(count=4, width=96, height=64, square_px=0)
    cells = moved(still, 4, noise=0.01)
    for one, two in pairwise(cells):
        assert (one == two).mean() > 0.97
    exact = moved(still, 4, noise=0.0)
    assert (exact[2] == exact[3]).mean() > 0.99


def test_disoccluded_area_gets_cells_of_mean_size() -> None:
    far = MovingClip(count=16, width=120, height=80, pan_px=(7.0, 0.0), square_px=0)
    cells = moved(far, 16)  # nothing of the first frame is left
    usual = 120 * 80 / CELLS
    counts = [len(np.unique(one)) for one in cells]
    assert all(0.6 * counts[0] < count < 1.6 * counts[0] for count in counts), counts
    areas = np.bincount(cells[-1].ravel())
    assert areas.max() < 3 * usual
    assert min(one.min() for one in cells) >= 0


def test_cells_follow_edges() -> None:
    clip = MovingClip(count=3, width=96, height=64, square=(30, 20), square_px=24, square_step_px=(2.0, 0.0))

    def painted(index: int) -> FloatImage:
        left, top = 30 + 2 * index, 20
        picture = np.full((64, 96, 3), 0.2, np.float32)
        picture[top : top + 24, left : left + 24] = (0.9, 0.6, 0.1)
        return picture

    labels = segment_first(painted(0), 40, 10.0)
    for index in (1, 2):
        flow = clip.flow(index, index - 1)
        labels = segment_next(painted(index), labels, flow.vectors_px, flow.valid > 0, cells=40, compactness=10.0)
        assert np.abs(flatten_cells(painted(index), labels) - painted(index)).mean() < 0.01


def test_cells_have_their_mean_colour() -> None:
    picture = frame(PAN, 0)
    labels = segment_first(picture, CELLS, 10.0)
    flat = flatten_cells(picture, labels)
    for cell in np.unique(labels)[:5]:
        assert np.allclose(flat[labels == cell], picture[labels == cell].mean(0), atol=1e-5)


@pytest.mark.parametrize("trusted", [False, True])
def test_invalid_or_outward_motion_still_gives_cells(trusted: bool) -> None:
    picture, away = frame(PAN, 0), np.full((96, 160, 2), 1000.0, np.float32)
    before, valid = segment_first(picture, CELLS, 10.0), np.full((96, 160), trusted)
    labels = segment_next(picture, before, away, valid, cells=CELLS, compactness=10.0)
    assert labels.min() >= 0
    assert labels.shape == (96, 160)


def test_compactness_trades_accuracy_for_regularity() -> None:
    blocks = np.random.default_rng(3).random((7, 11, 3)).repeat(14, 0).repeat(15, 1)
    picture = np.ascontiguousarray(blocks[:96, :160], np.float32)
    errors = [np.abs(flatten_cells(picture, segment_first(picture, CELLS, c)) - picture).mean() for c in (3.0, 300.0)]
    assert errors[0] < 0.5 * errors[1]


def test_tiny_uniform_image_is_segmented() -> None:
    picture = np.full((3, 5, 3), 0.5, np.float32)
    labels = segment_first(picture, 4, 10.0)
    again = segment_next(
        picture, labels, np.zeros((3, 5, 2), np.float32), np.ones((3, 5), np.bool_), cells=4, compactness=10.0
    )
    assert np.allclose(flatten_cells(picture, again), 0.5)
