"""The look at a frame before it counts as done: what trips it, and what must not."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vidnst.motion.flow import Flow
from vidnst.motion.quality_gate import Neighbour, measure_change, quality_problem, thumbnail_luma

SIZE = (72, 128)
SHIFT = 3


def texture(seed: int, contrast: float = 60.0) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).normal(0, 1, (SIZE[0], SIZE[1] + 64)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.0)
    return np.clip(110 + contrast * smooth / smooth.std(), 0, 255).astype(np.float32)


def moved(picture: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    return picture[:, 20 + frames * SHIFT : 20 + frames * SHIFT + SIZE[1]].copy()


def pan(step: int) -> Flow:
    """Into a frame that is `step` frames on."""
    vectors = np.zeros((*SIZE, 2), np.float32)
    vectors[..., 0] = -step * SHIFT
    valid = np.full(SIZE, 255, np.uint8)
    columns = np.arange(SIZE[1]) - step * SHIFT
    valid[:, (columns < 0) | (columns >= SIZE[1])] = 0
    return Flow(vectors, valid)


SOURCE, PAINTING = texture(1, 30), texture(2)
OTHERS = [Neighbour(moved(PAINTING, step), moved(SOURCE, step), pan(step)) for step in (-2, 1)]


def planted(kind: str, picture: NDArray[np.float32]) -> NDArray[np.float32]:
    if kind == "black":
        return np.zeros_like(picture)
    if kind == "flat":
        return np.full_like(picture, 97)
    if kind == "noise":
        return np.random.default_rng(5).normal(110, 12, picture.shape).astype(np.float32)  # once it is small
    return picture + (20 if kind == "brighter" else -20)


DEFECTS = {"black": "black", "flat": "one colour", "noise": "differs", "brighter": "jumps by", "darker": "jumps by"}


@pytest.mark.parametrize("kind", DEFECTS)
def test_defects_are_named(kind: str) -> None:
    source, painting = moved(SOURCE, 0), moved(PAINTING, 0)
    assert quality_problem(painting, source, OTHERS) == ""
    assert DEFECTS[kind] in quality_problem(planted(kind, painting), source, OTHERS)


@pytest.mark.parametrize("kind", ["black", "flat", "brighter", "darker"])
def test_changes_of_the_source_are_no_defects(kind: str) -> None:
    source, painting = planted(kind, moved(SOURCE, 0)), planted(kind, moved(PAINTING, 0))
    assert quality_problem(painting, source, OTHERS) == ""
    assert quality_problem(moved(PAINTING, 0), source, OTHERS) == ""  # nor is it one not to follow


@pytest.mark.parametrize("kind", ["black", "noise", "brighter"])
def test_one_bad_neighbour_does_not_make_a_frame_suspect(kind: str) -> None:
    spoilt = Neighbour(planted(kind, OTHERS[0].stylized), OTHERS[0].source, OTHERS[0].flow)
    assert quality_problem(moved(PAINTING, 0), moved(SOURCE, 0), [spoilt, OTHERS[1]]) == ""
    assert quality_problem(moved(PAINTING, 0), moved(SOURCE, 0), [spoilt]) != ""


def test_invalid_pixels_are_not_compared() -> None:
    hidden = Flow(OTHERS[0].flow.vectors_px, np.zeros(SIZE, np.uint8))
    other = Neighbour(texture(9)[:, : SIZE[1]], OTHERS[0].source, hidden)
    assert quality_problem(moved(PAINTING, 0), moved(SOURCE, 0), [other]) == ""
    half = OTHERS[1].flow.valid.copy()
    half[:36] = 0
    painted = OTHERS[1].stylized.copy()
    painted[:36] += 80
    found = measure_change(
        moved(PAINTING, 0), moved(SOURCE, 0), Neighbour(painted, OTHERS[1].source, Flow(pan(1).vectors_px, half))
    )
    assert found.overlap == pytest.approx(0.5, abs=0.03)
    assert abs(found.jump) < 0.5
    assert found.error < 2


def test_thumbnail_is_reduced_luma_in_levels() -> None:
    pixels = np.zeros((360, 640, 3), np.uint8)
    pixels[..., 1] = 200
    seen = thumbnail_luma(pixels)
    assert seen.shape == (72, 128)
    assert seen.dtype == np.float32
    np.testing.assert_allclose(seen, 0.7152 * 200, atol=0.01)
    np.testing.assert_allclose(thumbnail_luma(pixels.astype(np.uint16) * 257), seen, atol=0.01)
    assert thumbnail_luma(np.zeros((5, 3000, 3), np.uint8)).shape == (1, 128)
