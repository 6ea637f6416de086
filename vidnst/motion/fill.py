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
    frame has few evaluations. So the affine map of colours that best explains the stylized pixels by those of the
    content (least squares over the valid ones) is applied to the content; strokes then come from the optimisation.

    Args:
        content: `(H, W, 3)` float32 in [0, 1].
        stylized: the same shape; counts where it is valid.
        valid: `(H, W)` float32 in [0, 1].

    Returns:
        `(H, W, 3)` float32 in [0, 1].
    """
    weight = valid.reshape(-1).astype(np.float64)
    step = max(1, weight.size // _SAMPLES)
    colours = np.concatenate([content.reshape(-1, 3), np.ones((weight.size, 1), np.float32)], axis=1)
    seen, wanted = colours[::step].astype(np.float64), stylized.reshape(-1, 3)[::step].astype(np.float64)
    share = weight[::step]
    identity = np.eye(4, 3)
    # einsum adds up in one order whatever the number of threads, so the bytes do not depend on the machine's load.
    left = np.einsum("n,ni,nj->ij", share, seen, seen) + _PRIOR_SAMPLES * np.eye(4)
    right = np.einsum("n,ni,nj->ij", share, seen, wanted) + _PRIOR_SAMPLES * identity
    mapped = np.einsum("ni,ij->nj", colours, np.linalg.solve(left, right).astype(np.float32))
    return np.asarray(np.clip(mapped, 0, 1), np.float32).reshape(content.shape)
