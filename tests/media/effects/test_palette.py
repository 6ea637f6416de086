"""Few colours: the right ones, the same every time, the nearest for each pixel."""

import numpy as np
import pytest

from vidnst.media.effects.colour_space import FloatImage, to_lab
from vidnst.media.effects.palette import apply_palette, extract_palette

COLOURS = np.array([[0.1, 0.1, 0.2], [0.8, 0.2, 0.1], [0.2, 0.7, 0.3], [0.9, 0.9, 0.7]], np.float32)


def blocks(noise: float = 0.0, seed: int = 0) -> FloatImage:
    random = np.random.default_rng(seed)
    picture = COLOURS[random.integers(0, 4, (40, 60))] + random.normal(0, noise, (40, 60, 3))
    return np.clip(picture, 0, 1).astype(np.float32)


def test_palette_recovers_colours_sorted_by_lightness() -> None:
    palette = extract_palette([blocks(0.02), blocks(0.02, 1)], 4)
    assert palette.shape == (1, 4, 3)
    order = np.argsort(to_lab(COLOURS[None])[0, :, 0])
    assert np.allclose(palette[0], COLOURS[order], atol=0.02)


def test_palette_maps_to_nearest_cielab_colour() -> None:
    picture, palette = blocks(0.2), extract_palette([blocks(0.2)], 7)
    result = apply_palette(picture, palette)
    distance = np.linalg.norm(to_lab(picture)[:, :, None] - to_lab(palette)[0], axis=-1)
    assert np.array_equal(result, palette[0][distance.argmin(-1)])
    assert len(np.unique(result.reshape(-1, 3), axis=0)) <= 7


def test_larger_palettes_have_smaller_errors() -> None:
    picture = np.random.default_rng(0).random((40, 40, 3)).astype(np.float32)
    errors = [
        np.abs(apply_palette(picture, extract_palette([picture], count)) - picture).mean() for count in (2, 8, 32)
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
    assert np.allclose(apply_palette(picture, extract_palette([picture], count)), picture, atol=1e-3)
