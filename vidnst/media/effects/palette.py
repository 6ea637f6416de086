"""Few colours: the best ones for some frames, and a picture in them."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.media.effects.colour_space import FloatImage, from_lab, to_lab

_SAMPLE = 24_000
_STEPS = 60


def extract_palette(frames: Sequence[FloatImage], count: int, *, seed: int = 0) -> FloatImage:
    """Colours that stand for all colours of some frames: K-means in CIELAB, begun by K-means++ (Arthur 2007).

    Args:
        frames: `(H, W, 3)` float32 sRGB in [0, 1]; sizes may differ.
        count: how many colours; fewer come out where the frames have fewer.
        seed: of the pixels that are looked at and of the beginning.

    Returns:
        `(1, n, 3)` float32 sRGB in [0, 1], from dark to bright, `n <= count`.
    """
    random = np.random.default_rng([seed, count])
    each = max(1, _SAMPLE // len(frames))
    picked = []
    for frame in frames:
        colours = to_lab(frame).reshape(-1, 3)
        picked.append(colours[random.choice(len(colours), min(each, len(colours)), replace=False)])
    sample = np.ascontiguousarray(np.concatenate(picked))
    centres = _spread(sample, count, random)
    if len(centres) == count:
        labels = _nearest(sample, centres).astype(np.int32)[:, None]
        criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_MAX_ITER, _STEPS, 1e-3)
        # With labels to begin with, OpenCV's K-means draws no random number.
        found = cv2.kmeans(sample, count, labels, criteria, 1, cv2.KMEANS_USE_INITIAL_LABELS)[2]
        centres = np.asarray(found, np.float32)
    return from_lab(centres[np.lexsort(centres.T[::-1])][None])


def apply_palette(picture: FloatImage, palette: FloatImage) -> FloatImage:
    """The picture with each pixel in the nearest colour of the palette, by distance in CIELAB."""
    nearest = _nearest(to_lab(picture).reshape(-1, 3), to_lab(palette)[0])
    return np.ascontiguousarray(palette[0][nearest].reshape(picture.shape))


def _spread(sample: NDArray[np.float32], count: int, random: np.random.Generator) -> NDArray[np.float32]:
    """Colours of the sample far from each other, each drawn with its squared distance to those before as its chance."""
    chosen = [sample[random.integers(len(sample))]]
    distance = np.square(sample - chosen[0]).sum(-1, dtype=np.float64)
    while len(chosen) < count and distance.sum() > 1e-6 * len(sample):
        place = int(np.searchsorted(np.cumsum(distance), random.random() * distance.sum()))
        chosen.append(sample[min(place, len(sample) - 1)])
        distance = np.minimum(distance, np.square(sample - chosen[-1]).sum(-1))
    return np.stack(chosen)


def _nearest(colours: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.intp]:
    """For each of `(N, 3)` colours the number of the nearest of `(n, 3)` centres; the first of equals."""
    nearest = np.zeros(len(colours), np.intp)
    least = np.full(len(colours), np.inf, np.float32)
    for number, centre in enumerate(centres):
        distance = np.square(colours - centre).sum(-1)
        closer = distance < least
        nearest[closer], least[closer] = number, distance[closer]
    return nearest
