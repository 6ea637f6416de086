"""Palettes: a few colours that represent some frames, and images reduced to them."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.media.effects.colour_space import FloatImage, from_lab, sample_pixels, to_lab
from vidnst.media.effects.labels import Labels

_SAMPLE = 24_000
_MAX_ITERATIONS = 60
_SMOOTHED_CONTRAST = 80.0
"""CIELAB distance that texture may have to be smoothed, at full steadiness; painted texture has some 20."""
_SMOOTHING_UNIT_PX = 96
"""Longest side of an image per pixel of the smoothing's sigma, at full steadiness."""


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


def assign_colours(
    image: FloatImage, palette: FloatImage, before: Labels | None = None, *, steadiness: float = 0.0
) -> Labels:
    """Assign each pixel the nearest colour of a palette, by distance in CIELAB, steadily over time.

    Painted texture crosses the border between two colours everywhere and in every frame, so the nearest colour alone is
    speckle that flickers. Two things hold it: fine texture is smoothed first, across no strong edge (bilateral filter,
    Tomasi 1998), and a pixel keeps the colour that it had until another is clearly nearer (hysteresis). The difference
    of their distances must exceed `steadiness` times half the distance between the two colours.

    Args:
        image: `(H, W, 3)` float32 sRGB in [0, 1].
        palette: `(1, n, 3)` float32 sRGB in [0, 1].
        before: labels of the frame before, warped to this one; below 0 where a pixel is new. None for a first frame.
        steadiness: 0 (the nearest colour in every frame) to 1.

    Returns:
        `(H, W)` int32, indices into the palette.
    """
    lab, centres = _smoothed(to_lab(image), steadiness).reshape(-1, 3), to_lab(palette)[0]
    nearest = _nearest(lab, centres)
    if before is not None and steadiness > 0:
        own = before.reshape(-1)
        known = np.flatnonzero((own >= 0) & (own != nearest))
        new, old = centres[nearest[known]], centres[own[known]]
        farther = _distance(lab[known], old) - _distance(lab[known], new)
        kept = known[farther <= steadiness / 2 * _distance(new, old)]
        nearest[kept] = own[kept]
    return nearest.reshape(image.shape[:2]).astype(np.int32)


def paint_labels(labels: Labels, palette: FloatImage) -> FloatImage:
    """Return the image in which each pixel has the colour of its label, `(H, W, 3)` float32 sRGB in [0, 1]."""
    return np.ascontiguousarray(palette[0][labels])


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


def _smoothed(lab: NDArray[np.float32], steadiness: float) -> NDArray[np.float32]:
    """Smooth fine texture, more for larger images, which show it at the same size in pixels or larger."""
    if steadiness == 0:
        return lab
    reach_px = steadiness * float(np.clip(max(lab.shape[:2]) / _SMOOTHING_UNIT_PX, 1, 8))
    return np.asarray(cv2.bilateralFilter(lab, -1, steadiness * _SMOOTHED_CONTRAST, reach_px), np.float32)


def _distance(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.linalg.norm(one - other, axis=-1), np.float32)
