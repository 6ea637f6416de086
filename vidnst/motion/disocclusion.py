"""The initial colours of disoccluded areas, for which no stylized pixels can be warped from neighbouring frames.

What comes into view has no stylized past. It starts as the content in the colours of the stylized rest, and gets full
optimizer steps while the rest is only touched up: started from the bare content it stayed grey for many frames.
"""

import numpy as np
from numpy.typing import NDArray

_SAMPLES = 20_000
"""Least number of pixels to which colours are fitted, if the picture has as many."""
PRIOR_SAMPLES = 1.0
"""Weight of the identity map, in pixels, so that a few odd pixels do not decide all colours."""


def sample_step(pixel_count: int) -> int:
    """Return the step between the pixels of a picture to which colours are fitted."""
    return max(1, pixel_count // _SAMPLES)


def match_colours(
    content: NDArray[np.float32], stylized: NDArray[np.float32], valid: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Map the content's colours to those of its stylized version.

    Disoccluded areas have no stylized past. If they start from the bare content they look grey for many frames, since
    a warm frame has few evaluations; so they start in the stylized colours, and the optimisation adds the strokes.

    Args:
        content: `(3, H, W)` float32 in [0, 1].
        stylized: the same shape; counts where it is valid.
        valid: `(H, W)` float32 in [0, 1].

    Returns:
        `(3, H, W)` float32 in [0, 1].
    """
    *gains, offsets = fit_colours(content, stylized, valid)
    mapped = np.empty_like(content)
    product = np.empty_like(valid)
    for number, plane in enumerate(mapped):
        np.multiply(content[0], gains[0][number], out=plane)
        for channel, gain in zip(content[1:], gains[1:], strict=True):
            plane += np.multiply(channel, gain[number], out=product)
        plane += offsets[number]
    return np.clip(mapped, 0, 1, out=mapped)


def fit_colours(
    content: NDArray[np.float32], stylized: NDArray[np.float32], valid: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Fit the affine map from the content's to the stylized colours by regularised, weighted least squares.

    It solves (X'WX + kI) A = X'WY + kE, where the rows of X are content colours with a 1 appended, those of Y the
    stylized colours, W the validity, E the identity map and k = `PRIOR_SAMPLES`. Arguments as in `match_colours`.

    Returns:
        `(4, 3)` float32: a colour with a 1 appended times this is the stylized colour.
    """
    step = sample_step(valid.size)
    x, y = _samples(content, step), _samples(stylized, step)
    x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    weights = valid.reshape(-1)[::step].astype(np.float64)
    # einsum sums in one order with any number of threads, so the bytes do not depend on the machine's load.
    left = np.einsum("n,ni,nj->ij", weights, x, x) + PRIOR_SAMPLES * np.eye(4)
    right = np.einsum("n,ni,nj->ij", weights, x, y) + PRIOR_SAMPLES * np.eye(4, 3)
    return np.asarray(np.linalg.solve(left, right), np.float32)


def _samples(picture: NDArray[np.float32], step: int) -> NDArray[np.float64]:
    """Take the colours of every `step`th pixel of a picture `(3, H, W)`: `(n, 3)`."""
    return np.ascontiguousarray(picture.reshape(3, -1)[:, ::step].T, dtype=np.float64)
