"""What to show where nothing can be fetched: `vidnst.motion.disocclusion`, with its numbers, on a device."""

import torch
from torch import Tensor

from vidnst.motion.disocclusion import PRIOR_SAMPLES, sample_step


def match_colours(content: Tensor, stylized: Tensor, valid: Tensor) -> Tensor:
    """The content in the colours that its stylized version has elsewhere.

    Args:
        content: `(1, 3, H, W)` float32 in [0, 1].
        stylized: the same shape; counts where it is valid.
        valid: `(1, 1, H, W)` float32 in [0, 1].

    Returns:
        `(1, 3, H, W)` float32 in [0, 1].
    """
    fitted = fit_colours(content, stylized, valid).reshape(4, 1, 3, 1, 1)
    mapped = fitted[3].expand_as(content)
    for number in range(3):
        mapped = torch.addcmul(mapped, fitted[number], content[:, number : number + 1])
    return mapped.clamp_(0, 1)


def fit_colours(content: Tensor, stylized: Tensor, valid: Tensor) -> Tensor:
    """The affine map of colours that best explains stylized pixels by those of the content, by least squares.

    Arguments as in `match_colours`.

    Returns:
        `(4, 3)` float32: a colour, with a 1 after it, times this is the stylized colour.
    """
    step = sample_step(valid.numel())
    seen, wanted, share = (maps.reshape(maps.shape[1], -1)[:, ::step].double() for maps in (content, stylized, valid))
    seen = torch.cat([seen, torch.ones_like(share)])
    # Products added up by a reduction, whose order is fixed; cuBLAS promises that under conditions only.
    sums = ((seen * share)[:, None] * torch.cat([seen, wanted])[None]).sum(dim=-1)
    prior = torch.eye(4, dtype=sums.dtype, device=sums.device) * PRIOR_SAMPLES
    return solved(sums + torch.cat([prior, prior[:, :3]], dim=1)).float()


def solved(equations: Tensor) -> Tensor:
    """The unknowns of linear equations, by Gauss and Jordan's elimination without a choice of pivots.

    That is stable since the left side is positive definite, and unlike cuSOLVER it asks the device for nothing.

    Args:
        equations: `(n, n + m)` float64: a symmetric positive definite left side, and `m` right sides.

    Returns:
        `(n, m)`.
    """
    count = equations.shape[0]
    for pivot in range(count):
        row = equations[pivot] / equations[pivot, pivot]
        equations = equations - equations[:, pivot : pivot + 1] * row
        equations[pivot] = row
    return equations[:, count:]
