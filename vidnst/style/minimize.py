"""The optimisation loop: it counts evaluations, keeps the best picture and detects NaN."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor

from vidnst.config import OptimizeConfig
from vidnst.errors import NumericalError
from vidnst.style.losses.objective import TERMS
from vidnst.style.optimizers import LBFGS, Adam, Optimizer

_READ_EVERY = 10
"""Evaluations between two reads of the losses on a GPU: each read waits for the device."""

Loss: TypeAlias = Callable[[Tensor], Mapping[str, Tensor]]
"""From a picture `(1, 3, H, W)` to scalars by the names of `objective.TERMS`."""


@dataclass(frozen=True, slots=True)
class StepReport:
    """The progress of an optimisation."""

    evaluation: int
    """Evaluations done, from 1."""
    limit: int
    """Upper limit of the evaluations."""
    losses: Mapping[str, float]
    """Losses of the picture just evaluated, by the names of `objective.TERMS`."""
    height: int
    """Height of the picture at its current scale, in pixels."""
    width: int
    picture: Tensor = field(repr=False, compare=False)
    """The picture just evaluated, `(1, 3, height, width)` in [0, 1], on its device. Not a copy, so it must not be
    changed; the optimisation does not change it either."""


OnStep: TypeAlias = Callable[[StepReport], None]


@dataclass(frozen=True, slots=True)
class StylizeResult:
    """A stylized picture and its losses."""

    image: Tensor
    """`(1, 3, H, W)` float32 sRGB in [0, 1], on the device of the optimisation."""
    losses: dict[str, float]
    """Losses of the picture by the names of `objective.TERMS`: the weighted total, then each term without its weight.
    Empty if nothing was evaluated."""
    evaluations: int
    """Evaluations of the loss, over all scales."""
    staleness: float | None = None
    """Mean `staleness` of a picture whose start was freed where it was stale; None for others."""


def minimize(
    loss: Loss,
    start: Tensor,
    *,
    config: OptimizeConfig,
    evaluations: int,
    step_scale: float | Tensor = 1.0,
    steady: float = 0.0,
    on_step: OnStep | None = None,
    every_step: bool = False,
    read_every: int | None = None,
) -> StylizeResult:
    """Minimize the loss of a picture and return the best picture evaluated, which need not be the last.

    Args:
        loss: differentiable.
        start: `(1, 3, H, W)`; clamped to [0, 1], itself left unchanged.
        config: optimizer, step sizes and stopping criteria.
        evaluations: upper limit of the calls of `loss`, at least 1.
        step_scale: factor on the step size: a number, or `(1, 1, H, W)` for each pixel.
        steady: share of the evaluations, in [0, 1), before the step size begins to decay.
        on_step: called from time to time, and at the end; may raise to cancel.
        every_step: True calls `on_step` after each evaluation on a GPU, too, which then waits for each. The result is
            the same.
        read_every: evaluations between two reads of the losses; None is 1 on a CPU, and `_READ_EVERY` on a GPU.

    Raises:
        NumericalError: a loss is NaN or infinite.
    """
    picture = start.detach().clamp(0, 1)
    optimizer: Optimizer = Adam() if config.optimizer == "adam" else LBFGS(history=config.history)
    record = _Progress(picture, evaluations, on_step)
    if read_every is None:
        read_every = 1 if picture.device.type == "cpu" else _READ_EVERY
    for count in range(1, evaluations + 1):
        last = count == evaluations
        terms, gradient = _evaluated(loss, picture, differentiate=not last)
        record.add(picture, terms)
        due = count % read_every == 0 or last
        if due or every_step:
            record.read(picture)
        if due and (record.has_settled(config.tolerance, config.patience) or record.is_below(config.stop_at_loss)):
            break
        if gradient is not None:
            rate = config.learning_rate * step_scale * _decay(count - 1, evaluations, config.final_rate, steady)
            picture = (picture + optimizer(picture, gradient, rate)).clamp_(0, 1)
    return record.result()


def _evaluated(loss: Loss, picture: Tensor, *, differentiate: bool) -> tuple[Mapping[str, Tensor], Tensor | None]:
    """The terms of a picture, and the gradient of their total if a step follows: it takes most of the time."""
    if not differentiate:
        with torch.no_grad():
            return loss(picture), None
    leaf = picture.detach().requires_grad_(True)
    terms = loss(leaf)
    # Multiplied by the number of values, because the gradient of a mean over pixels shrinks as pictures grow.
    (gradient,) = torch.autograd.grad(terms["total"] * picture.numel(), leaf)
    return terms, gradient


def _decay(done: int, limit: int, final: float, steady: float) -> float:
    """Step size after `done` steps, as a share of the first: from 1 down to `final` along half a cosine."""
    progress = done / max(1, limit - 2)  # after the last evaluation there is no step
    progress = max(0.0, (progress - steady) / (1 - steady))
    return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2


class _Progress:
    """The losses and the best picture so far, on the device until they are read."""

    def __init__(self, picture: Tensor, limit: int, on_step: OnStep | None) -> None:
        self._limit = limit
        self._on_step = on_step
        self._best = picture.clone()
        self._best_terms = torch.full((len(TERMS),), math.inf, device=picture.device)
        self._unread: list[Tensor] = []
        self._totals: list[float] = []

    def add(self, picture: Tensor, terms: Mapping[str, Tensor]) -> None:
        values = torch.stack([terms[name].detach().float() for name in TERMS])
        better = values[0] < self._best_terms[0]
        self._best = torch.where(better, picture, self._best)
        self._best_terms = torch.where(better, values, self._best_terms)
        self._unread.append(values)

    def read(self, picture: Tensor) -> None:
        rows = torch.stack(self._unread).tolist()
        self._unread.clear()
        for row in rows:
            self._totals.append(row[0])
            if not all(map(math.isfinite, row)):
                raise NumericalError(
                    f"evaluation {len(self._totals)} of {self._limit} gave a loss of {row[0]}",
                    "lower optimize.learning_rate, or the weights in losses",
                )
        if self._on_step is not None:
            height, width = picture.shape[-2:]
            losses = dict(zip(TERMS, rows[-1], strict=True))
            self._on_step(StepReport(len(self._totals), self._limit, losses, height, width, picture))

    def has_settled(self, tolerance: float, patience: int) -> bool:
        """True if the best loss fell by less than the share `tolerance` over the last `patience` evaluations."""
        if tolerance == 0 or len(self._totals) <= patience:
            return False
        before, now = min(self._totals[:-patience]), min(self._totals)
        return before - now < tolerance * abs(before)

    def is_below(self, limit: float | None) -> bool:
        """True if the best loss read so far is below a limit."""
        return limit is not None and min(self._totals) < limit

    def result(self) -> StylizeResult:
        losses = dict(zip(TERMS, self._best_terms.tolist(), strict=True))
        return StylizeResult(self._best, losses, len(self._totals))
