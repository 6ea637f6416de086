"""Few colours: the right ones, the same every time, the nearest for each pixel."""

from itertools import pairwise

import numpy as np
import pytest

from vidnst.media.effects.colour_space import FloatImage, from_lab, to_lab
from vidnst.media.effects.palette import assign_colours, extract_palette, paint_labels

COLOURS = np.array([[0.1, 0.1, 0.2], [0.8, 0.2, 0.1], [0.2, 0.7, 0.3], [0.9, 0.9, 0.7]], np.float32)


def blocks(noise: float = 0.0, seed: int = 0) -> FloatImage:
    random = np.random.default_rng(seed)
    picture = COLOURS[random.integers(0, 4, (40, 60))] + random.normal(0, noise, (40, 60, 3))
    return np.clip(picture, 0, 1).astype(np.float32)


def nearest_colours(picture: FloatImage, palette: FloatImage) -> FloatImage:
    return paint_labels(assign_colours(picture, palette), palette)


def test_palette_recovers_colours_sorted_by_lightness() -> None:
    palette = extract_palette([blocks(0.02), blocks(0.02, 1)], 4)
    assert palette.shape == (1, 4, 3)
    order = np.argsort(to_lab(COLOURS[None])[0, :, 0])
    assert np.allclose(palette[0], COLOURS[order], atol=0.02)


def test_palette_maps_to_nearest_cielab_colour() -> None:
    picture, palette = blocks(0.2), extract_palette([blocks(0.2)], 7)
    result = nearest_colours(picture, palette)
    distance = np.linalg.norm(to_lab(picture)[:, :, None] - to_lab(palette)[0], axis=-1)
    assert np.array_equal(result, palette[0][distance.argmin(-1)])
    assert len(np.unique(result.reshape(-1, 3), axis=0)) <= 7


def test_larger_palettes_have_smaller_errors() -> None:
    picture = np.random.default_rng(0).random((40, 40, 3)).astype(np.float32)
    errors = [
        np.abs(nearest_colours(picture, extract_palette([picture], count)) - picture).mean() for count in (2, 8, 32)
    ]
    assert errors[0] > 1.3 * errors[1] > 1.3 * 1.5 * errors[2]


def test_palette_depends_on_seed_only() -> None:
    picture = np.random.default_rng(0).random((60, 60, 3)).astype(np.float32)
    one, two, other = (extract_palette([picture], 9, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("count", [2, 9])
def test_palette_of_few_colours_is_exact(count: int) -> None:
    picture = np.full((8, 8, 3), 0.4, np.float32)
    assert np.allclose(nearest_colours(picture, extract_palette([picture], count)), picture, atol=1e-3)


def test_without_steadiness_colours_are_the_nearest() -> None:
    picture = blocks(0.2)
    palette, before = extract_palette([picture], 7), np.zeros((40, 60), np.int32)
    assert np.array_equal(assign_colours(picture, palette, before), assign_colours(picture, palette))


def test_pixel_changes_only_if_clearly_nearer() -> None:
    black, white = np.zeros(3, np.float32), np.ones(3, np.float32)
    palette = np.stack([black, white])[None]
    lightness = np.array([40, 49, 55, 62, 70, 80], np.float32)
    image = from_lab(np.stack([lightness, 0 * lightness, 0 * lightness], -1)[None])
    before = np.zeros((1, 6), np.int32)
    wide = np.repeat(np.repeat(image, 40, 0), 40, 1)  # flat parts, which smoothing leaves as they are
    middles = (slice(20, 21), slice(20, None, 40))
    labels = assign_colours(wide, palette, np.zeros(wide.shape[:2], np.int32), steadiness=0.5)[middles]
    # At lightness L the distances are L and 100 - L: white wins if L - (100 - L) is more than 0.5 * 50.
    assert labels.tolist() == [[0, 0, 0, 0, 1, 1]]
    new = assign_colours(wide, palette, np.full(wide.shape[:2], -1, np.int32), steadiness=0.5)[middles]
    assert new.tolist() == [[0, 0, 1, 1, 1, 1]]
    assert assign_colours(image, palette, before).tolist() == new.tolist()


def test_steady_palette_flickers_less_and_keeps_edges() -> None:
    random = np.random.default_rng(5)
    picture = np.full((64, 96, 3), 0.25, np.float32)
    picture[:, 48:] = 0.75
    frames = [np.clip(picture + random.normal(0, 0.12, picture.shape), 0, 1).astype(np.float32) for _ in range(4)]
    palette = np.array([[[0.1] * 3, [0.3] * 3, [0.5] * 3, [0.7] * 3, [0.9] * 3]], np.float32)
    changes = []
    for steadiness in (0.0, 0.3, 0.6):
        labels = [assign_colours(frames[0], palette, steadiness=steadiness)]
        for frame in frames[1:]:
            labels.append(assign_colours(frame, palette, labels[-1], steadiness=steadiness))
        changes.append(np.mean([one != two for one, two in pairwise(labels)]))
    assert changes[0] > 1.5 * changes[1] > 1.5 * 1.5 * changes[2]
    assert np.abs(palette[0, labels[-1], 0][:, 46:50] - picture[:, 46:50, 0]).mean() < 0.12
