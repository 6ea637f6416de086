"""What to show of a frame where nothing can be fetched from its neighbours."""

import numpy as np
from numpy.typing import NDArray

_SAMPLES = 20_000
_PRIOR_SAMPLES = 1.0
"""Weight of "colours stay as they are", in pixels, so that a few odd pixels do not decide the colours of all."""


def match_colours(
    content: NDArray[np.float32], stylized: NDArray[np.float32], valid: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The content in the colours that its stylized version has elsewhere.

    What comes into view has no stylized past. Begun from the bare content it stays grey for many frames, since a warm
    frame has few evaluations. So it begins in the stylized colours; strokes then come from the optimisation.

    Args:
        content: `(H, W, 3)` float32 in [0, 1].
        stylized: the same shape; counts where it is valid.
        valid: `(H, W)` float32 in [0, 1].

    Returns:
        `(H, W, 3)` float32 in [0, 1].
    """
    mapped = np.einsum("ni,ij->nj", _with_one(content), fit_colours(content, stylized, valid))
    return np.asarray(np.clip(mapped, 0, 1), np.float32).reshape(content.shape)


def fit_colours(
    content: NDArray[np.float32], stylized: NDArray[np.float32], valid: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The affine map of colours that best explains stylized pixels by those of the content, by least squares.

    Returns:
        `(4, 3)` float32: a colour, with a 1 after it, times this is the stylized colour.
    """
    weight = valid.reshape(-1).astype(np.float64)
    step = max(1, weight.size // _SAMPLES)
    seen = _with_one(content)[::step].astype(np.float64)
    wanted, share = stylized.reshape(-1, 3)[::step].astype(np.float64), weight[::step]
    # einsum adds up in one order whatever the number of threads, so the bytes do not depend on the machine's load.
    left = np.einsum("n,ni,nj->ij", share, seen, seen) + _PRIOR_SAMPLES * np.eye(4)
    right = np.einsum("n,ni,nj->ij", share, seen, wanted) + _PRIOR_SAMPLES * np.eye(4, 3)
    return np.asarray(np.linalg.solve(left, right), np.float32)


def _with_one(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    flat = picture.reshape(-1, 3)
    return np.concatenate([flat, np.ones((len(flat), 1), np.float32)], axis=1)
