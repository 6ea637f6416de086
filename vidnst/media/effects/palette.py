"""Palettes: a few colours that represent some frames, and images reduced to them."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.media.effects.colour_space import FloatImage, from_lab, sample_pixels, to_lab

_SAMPLE = 24_000
_MAX_ITERATIONS = 60


def extract_palette(frames: Sequence[FloatImage], count: int, *, seed: int = 0) -> FloatImage:
    """Find colours that represent some frames: K-means in CIELAB, initialised by K-means++ (Arthur 2007).

    Args:
        frames: `(H, W, 3)` float32 sRGB in [0, 1]; sizes may differ.
        count: number of colours; fewer are returned if the frames have fewer.
        seed: seed of the sampled pixels and of the initialisation.

    Returns:
        `(1, n, 3)` float32 sRGB in [0, 1], from dark to bright, `n <= count`.
    """
    random = np.random.default_rng([seed, count])
    sample = np.ascontiguousarray(sample_pixels([to_lab(frame) for frame in frames], _SAMPLE, random))
    centres = _initial_centres(sample, count, random)
    if len(centres) == count:
        labels = _nearest(sample, centres).astype(np.int32)[:, None]
        criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_MAX_ITER, _MAX_ITERATIONS, 1e-3)
        # With initial labels, OpenCV's K-means draws no random numbers.
        found = cv2.kmeans(sample, count, labels, criteria, 1, cv2.KMEANS_USE_INITIAL_LABELS)[2]
        centres = np.asarray(found, np.float32)
    return from_lab(centres[np.lexsort(centres.T[::-1])][None])


def apply_palette(image: FloatImage, palette: FloatImage) -> FloatImage:
    """Replace each pixel by the nearest colour of the palette, by distance in CIELAB."""
    nearest = _nearest(to_lab(image).reshape(-1, 3), to_lab(palette)[0])
    return np.ascontiguousarray(palette[0][nearest].reshape(image.shape))


def _initial_centres(sample: NDArray[np.float32], count: int, random: np.random.Generator) -> NDArray[np.float32]:
    """Draw colours by K-means++: with probability proportional to the squared distance to those drawn before."""
    chosen = [sample[random.integers(len(sample))]]
    distance = np.square(sample - chosen[0]).sum(-1, dtype=np.float64)
    while len(chosen) < count and distance.sum() > 1e-6 * len(sample):
        place = int(np.searchsorted(np.cumsum(distance), random.random() * distance.sum()))
        chosen.append(sample[min(place, len(sample) - 1)])
        distance = np.minimum(distance, np.square(sample - chosen[-1]).sum(-1))
    return np.stack(chosen)


def _nearest(colours: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return for each of `(N, 3)` colours the index of the nearest of `(n, 3)` centres; the first of equals."""
    nearest = np.zeros(len(colours), np.intp)
    least = np.full(len(colours), np.inf, np.float32)
    for number, centre in enumerate(centres):
        distance = np.square(colours - centre).sum(-1)
        closer = distance < least
        nearest[closer], least[closer] = number, distance[closer]
    return nearest
