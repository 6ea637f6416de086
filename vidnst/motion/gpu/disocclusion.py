"""The initial colours of disoccluded areas: `vidnst.motion.disocclusion` on a device."""

import torch
from torch import Tensor

from vidnst.motion.disocclusion import PRIOR_SAMPLES, sample_step


def match_colours(content: Tensor, stylized: Tensor, valid: Tensor) -> Tensor:
    """Map the content's colours to those of its stylized version.

    Args:
        content: `(1, 3, H, W)` float32 in [0, 1].
        stylized: the same shape; counts where it is valid.
        valid: `(1, 1, H, W)` float32 in [0, 1].

    Returns:
        `(1, 3, H, W)` float32 in [0, 1].
    """
    colour_map = fit_colours(content, stylized, valid).reshape(4, 1, 3, 1, 1)
    mapped = colour_map[3].expand_as(content)
    for number in range(3):
        mapped = torch.addcmul(mapped, colour_map[number], content[:, number : number + 1])
    return mapped.clamp_(0, 1)


def fit_colours(content: Tensor, stylized: Tensor, valid: Tensor) -> Tensor:
    """Fit the affine map from the content's to the stylized colours: `(4, 3)`. Arguments as in `match_colours`."""
    step = sample_step(valid.numel())
    x, y, weights = (maps.reshape(maps.shape[1], -1)[:, ::step].double() for maps in (content, stylized, valid))
    x = torch.cat([x, torch.ones_like(weights)])
    # Summed by a reduction, whose order is fixed; cuBLAS guarantees that only under conditions.
    sums = ((x * weights)[:, None] * torch.cat([x, y])[None]).sum(dim=-1)
    prior = torch.eye(4, dtype=sums.dtype, device=sums.device) * PRIOR_SAMPLES
    return solve(sums + torch.cat([prior, prior[:, :3]], dim=1)).float()


def solve(equations: Tensor) -> Tensor:
    """Solve linear equations by Gauss-Jordan elimination without pivoting.

    This is stable as the left side is positive definite, and unlike cuSOLVER it does not synchronise with the device.

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
