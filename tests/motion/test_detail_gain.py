"""Contrast of fine detail, measured and given back, against its definition."""

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.motion.detail_gain import band_contrast, blend_attenuation, restore_detail

HEIGHT, WIDTH = 45, 70
SIDE = 9
"""Of the window: 0.12 of the width, odd."""

ANY = np.full((HEIGHT, WIDTH), 10, np.float32)
"""Detail may be raised as much as is wanted."""


def textured(seed: int, strength: float = 0.2) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).normal(0.5, strength, (3, HEIGHT, WIDTH))
    return np.clip(noise, 0, 1).astype(np.float32)


def bands(picture: NDArray[np.float32]) -> tuple[list[NDArray[np.float32]], NDArray[np.float32]]:
    once = np.stack([cv2.GaussianBlur(plane, (0, 0), 1.0) for plane in picture])
    twice = np.stack([cv2.GaussianBlur(plane, (0, 0), 2.0) for plane in once])
    return [picture - once, once - twice], twice


def around(band: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.blur(np.square(band).mean(axis=0), (SIDE, SIDE)), np.float32)


def test_band_contrast_is_its_definition() -> None:
    picture = textured(1)
    np.testing.assert_allclose(band_contrast(picture), [around(band) for band in bands(picture)[0]], rtol=1e-5)


def test_inputs_are_not_modified() -> None:
    picture = textured(1)
    before = picture.copy()
    restore_detail(picture, band_contrast(picture), ANY)
    np.testing.assert_array_equal(picture, before)


def test_restored_detail_stays_within_bounds() -> None:
    picture = textured(2, strength=0.05)
    split, rest = bands(picture)
    for wanted, gain in ((1.44, 1.2), (0.25, 1.0), (100.0, 1.6)):
        raised = restore_detail(picture, band_contrast(picture) * np.float32(wanted), ANY)
        np.testing.assert_allclose(raised, rest + np.float32(gain) * (split[0] + split[1]), atol=1e-4)


def test_restored_detail_respects_the_maximum_gain() -> None:
    picture = textured(2, strength=0.05)
    split, rest = bands(picture)
    most = np.broadcast_to(np.linspace(1, 1.3, WIDTH, dtype=np.float32), (HEIGHT, WIDTH))
    raised = restore_detail(picture, band_contrast(picture) * 100, most)
    np.testing.assert_allclose(raised, rest + most * (split[0] + split[1]), atol=1e-4)


def test_attenuation_matches_independent_noise() -> None:
    shares = [np.full((HEIGHT, WIDTH), share, np.float32) for share in (0.5, 0.3, 0.2)]
    noise = np.random.default_rng(3).normal(0, 1, (3, 4000))
    lost = 1 / np.std(0.5 * noise[0] + 0.3 * noise[1] + 0.2 * noise[2])
    np.testing.assert_allclose(blend_attenuation(shares), lost, rtol=0.05)


def test_attenuation_of_a_single_and_of_equal_shares() -> None:
    alone = [np.ones((2, 2), np.float32), np.zeros((2, 2), np.float32)]
    none = [np.zeros((2, 2), np.float32)] * 2
    np.testing.assert_allclose(blend_attenuation(alone), 1)
    np.testing.assert_allclose(blend_attenuation(none), 2**0.5, rtol=1e-6)
