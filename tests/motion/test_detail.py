"""Contrast of fine detail, measured and given back, against its definition."""

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.motion.detail import contrast, raise_detail

HEIGHT, WIDTH = 45, 70
SIDE = 9
"""Of the window: 0.12 of the width, odd."""


def textured(seed: int, strength: float = 0.2) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).normal(0.5, strength, (3, HEIGHT, WIDTH))
    return np.clip(noise, 0, 1).astype(np.float32)


def bands(picture: NDArray[np.float32]) -> tuple[list[NDArray[np.float32]], NDArray[np.float32]]:
    once = np.stack([cv2.GaussianBlur(plane, (0, 0), 1.0) for plane in picture])
    twice = np.stack([cv2.GaussianBlur(plane, (0, 0), 2.0) for plane in once])
    return [picture - once, once - twice], twice


def around(band: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.blur(np.square(band).mean(axis=0), (SIDE, SIDE)), np.float32)


def test_contrast_is_the_mean_square_of_each_band_around_every_pixel() -> None:
    picture = textured(1)
    np.testing.assert_allclose(contrast(picture), [around(band) for band in bands(picture)[0]], rtol=1e-5)


def test_measuring_leaves_a_picture_as_it_is() -> None:
    picture = textured(1)
    before = picture.copy()
    raise_detail(picture, contrast(picture))
    np.testing.assert_array_equal(picture, before)


def test_detail_is_raised_to_what_is_wanted_and_never_lowered_or_raised_beyond_bounds() -> None:
    picture = textured(2, strength=0.05)
    split, rest = bands(picture)
    for wanted, gain in ((1.44, 1.2), (0.25, 1.0), (100.0, 1.6)):
        raised = raise_detail(picture, contrast(picture) * np.float32(wanted))
        np.testing.assert_allclose(raised, rest + np.float32(gain) * (split[0] + split[1]), atol=1e-4)
