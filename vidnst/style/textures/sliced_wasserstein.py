"""Textures as the distributions of activations along many directions."""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from vidnst.style.losses.terms import NO_ENERGY, Scale
from vidnst.style.textures.protocol import Statistic, Texture, vectors

LEVELS = 256
"""Equal parts into which each sorted distribution is divided."""
_LIKE_GRAM = 2.8
"""Photographs are then about as far from paintings as under the Gram matrix: see `kernels`."""
_SEED = 20210620


class Sliced(Statistic):
    """The sliced Wasserstein distance (Heitz, Vanhoey, Chambon & Belcour 2021, "A Sliced Wasserstein Loss for Neural
    Texture Synthesis"): activations projected onto directions, sorted, compared in order.

    Deviations. There are as many directions as channels, orthogonal to each other, seeded and always the same, where
    the paper draws new ones for every step: the loss is then one function, and the same bytes come out. A sorted
    distribution is kept as the means of its `LEVELS` equal parts, so that pictures of different sizes compare and
    positions can be weighted (guided positions take as much of a part as they weigh). What is mixed lies between
    two textures quantile by quantile, which is the shortest way from one distribution to the other.
    """

    additive = False
    takes_half = False

    def of(self, maps: Tensor, guide: Tensor | None = None) -> Texture:
        """Quantile functions `(N, LEVELS)`, one for each direction."""
        columns = vectors(maps)
        projected = _directions(len(columns), columns.dtype, str(columns.device)) @ columns
        return (quantiles(projected, None if guide is None else guide.flatten()),)

    def distance(self, found: Texture, target: Texture, *, scale: Scale) -> Tensor:
        """Mean squared difference over directions and quantiles; relative: over the target's, times `_LIKE_GRAM`."""
        apart = (found[0] - target[0]).square().mean()
        return apart if scale != "relative" else _LIKE_GRAM * apart / (target[0].square().mean() + NO_ENERGY)


def quantiles(values: Tensor, weights: Tensor | None = None) -> Tensor:
    """The means of the `LEVELS` equal parts of each row's sorted values: `(K, M)` to `(K, LEVELS)`.

    Args:
        values: differentiable.
        weights: `(M,)` at least 0, how much each column counts; None counts all alike. All 0 gives zeros.
    """
    result: Tensor = _Quantiles.apply(values, weights)
    return result


class _Quantiles(torch.autograd.Function):
    """`quantiles`, with a gradient that is gathered instead of scattered: it adds up in one order on any device.

    Sorted and weighted, each value holds a span of [0, 1]. A part's mean is what the integral of the quantile function
    grows by over it; and a value's gradient is what the integral of the parts' gradients grows by over its span.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, weights: Tensor | None) -> Tensor:
        order = values.argsort(dim=1, stable=True)
        ctx.save_for_backward(order, weights)
        ordered = values.gather(1, order).double()
        ends = _ends(order, weights)
        spans = ends.diff(dim=1, prepend=torch.zeros_like(ends[:, :1]))
        integral = (ordered * spans).cumsum(dim=1)
        levels = torch.linspace(0, 1, LEVELS + 1, dtype=torch.float64, device=values.device)[1:-1]
        places = torch.searchsorted(ends, levels.expand(len(ends), -1).contiguous()).clamp(max=values.shape[1] - 1)
        beyond = (ends.gather(1, places) - levels).expand(len(values), -1)
        places = places.expand(len(values), -1)
        inner = integral.gather(1, places) - beyond * ordered.gather(1, places)
        whole = torch.cat([torch.zeros_like(inner[:, :1]), inner, integral[:, -1:]], dim=1)
        found = whole.diff(dim=1) * LEVELS
        return (found if weights is None else found * (weights.sum() > 0)).to(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        order, weights = ctx.saved_tensors
        (gradient,) = gradients
        ends = _ends(order, weights).clamp(0, 1) * LEVELS
        begins = torch.cat([torch.zeros_like(ends[:, :1]), ends[:, :-1]], dim=1)
        steps = gradient.double()
        grown = torch.cat([torch.zeros_like(steps[:, :1]), steps.cumsum(dim=1)], dim=1)

        def integral(at: Tensor) -> Tensor:
            part = at.long().clamp(max=LEVELS - 1)
            share = (at - part).expand(len(steps), -1)
            part = part.expand(len(steps), -1)
            return grown.gather(1, part) + share * steps.gather(1, part)

        ordered = (integral(ends) - integral(begins)).to(gradient)
        return torch.zeros_like(ordered).scatter_(1, order, ordered), None


def _ends(order: Tensor, weights: Tensor | None) -> Tensor:
    """Where each sorted value's span of [0, 1] ends, `(K, M)`, or `(1, M)` where all rows are alike; float64."""
    if weights is None:
        count = order.shape[1]
        return (torch.arange(1, count + 1, dtype=torch.float64, device=order.device) / count)[None]
    whole = weights.double()
    ends: Tensor = (whole / (whole.sum() + NO_ENERGY))[order].cumsum(dim=1)
    return ends


@lru_cache(maxsize=32)
def _directions(channels: int, dtype: torch.dtype, device: str) -> Tensor:
    generator = torch.Generator().manual_seed(_SEED)
    drawn = torch.randn(channels, channels, generator=generator, dtype=torch.float64)
    turned: Tensor = torch.linalg.qr(drawn)[0]
    return turned.to(device, dtype)
