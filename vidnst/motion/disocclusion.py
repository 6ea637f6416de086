"""What to show of a frame where nothing can be fetched from its neighbours."""

import numpy as np
from numpy.typing import NDArray

_SAMPLES = 20_000
"""Pixels that the colours are fitted to, no fewer where the picture has as many."""
PRIOR_SAMPLES = 1.0
"""Weight of "colours stay as they are", in pixels, so that a few odd pixels do not decide the colours of all."""


def sample_step(pixels: int) -> int:
    """Of a picture with so many pixels every so many are enough to fit colours to."""
    return max(1, pixels // _SAMPLES)


def match_colours(
    content: NDArray[np.float32], stylized: NDArray[np.float32], valid: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The content in the colours that its stylized version has elsewhere.

    What comes into view has no stylized past. Begun from the bare content it stays grey for many frames, since a warm
    frame has few evaluations. So it begins in the stylized colours; strokes then come from the optimisation.

    Args:
        content: `(3, H, W)` float32 in [0, 1].
        stylized: the same shape; counts where it is valid.
        valid: `(H, W)` float32 in [0, 1].

    Returns:
        `(3, H, W)` float32 in [0, 1].
    """
    *gains, offsets = fit_colours(content, stylized, valid)
    mapped = np.empty_like(content)
    part = np.empty_like(valid)
    for number, plane in enumerate(mapped):
        np.multiply(content[0], gains[0][number], out=plane)
        for channel, gain in zip(content[1:], gains[1:], strict=True):
            plane += np.multiply(channel, gain[number], out=part)
        plane += offsets[number]
    return np.clip(mapped, 0, 1, out=mapped)


def fit_colours(
    content: NDArray[np.float32], stylized: NDArray[np.float32], valid: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The affine map of colours that best explains stylized pixels by those of the content, by least squares.

    Arguments as in `match_colours`.

    Returns:
        `(4, 3)` float32: a colour, with a 1 after it, times this is the stylized colour.
    """
    step = sample_step(valid.size)
    seen, wanted = _samples(content, step), _samples(stylized, step)
    seen = np.concatenate([seen, np.ones((len(seen), 1))], axis=1)
    share = valid.reshape(-1)[::step].astype(np.float64)
    # einsum adds up in one order whatever the number of threads, so the bytes do not depend on the machine's load.
    left = np.einsum("n,ni,nj->ij", share, seen, seen) + PRIOR_SAMPLES * np.eye(4)
    right = np.einsum("n,ni,nj->ij", share, seen, wanted) + PRIOR_SAMPLES * np.eye(4, 3)
    return np.asarray(np.linalg.solve(left, right), np.float32)


def _samples(picture: NDArray[np.float32], step: int) -> NDArray[np.float64]:
    """Colours of every so many pixels of a picture `(3, H, W)`: `(n, 3)`."""
    return np.ascontiguousarray(picture.reshape(3, -1)[:, ::step].T, dtype=np.float64)
