"""Moving the pixels: a loop that counts evaluations, keeps the best picture seen and notices NaN."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor

from vidnst.config import OptimizeConfig
from vidnst.errors import NumericalError
from vidnst.style.losses.objective import TERMS
from vidnst.style.optimizers import LBFGS, Adam, Stepper

_READ_EVERY = 10
"""Evaluations between two looks at the losses on a GPU: each look waits until the device has caught up."""

Loss: TypeAlias = Callable[[Tensor], Mapping[str, Tensor]]
"""From a picture `(1, 3, H, W)` to scalars by the names of `objective.TERMS`."""


@dataclass(frozen=True, slots=True)
class StepReport:
    """How an optimisation is getting on."""

    evaluation: int
    """Evaluations done, from 1."""
    limit: int
    """The most that there will be."""
    losses: Mapping[str, float]
    """Of the picture just evaluated, by the names of `objective.TERMS`."""
    height: int
    """Of the picture at its present scale, in pixels."""
    width: int
    picture: Tensor = field(repr=False, compare=False)
    """The picture just evaluated, `(1, 3, height, width)` in [0, 1], on its device. Not a copy, and not to be changed;
    it stays as it is, whatever the optimisation does next."""


@dataclass(frozen=True, slots=True)
class Minimum:
    """The best that an optimisation has seen."""

    image: Tensor
    """`(1, 3, H, W)` in [0, 1]."""
    losses: dict[str, float]
    evaluations: int


def minimize(
    loss: Loss,
    start: Tensor,
    *,
    config: OptimizeConfig,
    evaluations: int,
    step_scale: float | Tensor = 1.0,
    steady: float = 0.0,
    on_step: Callable[[StepReport], None] | None = None,
    every_step: bool = False,
) -> Minimum:
    """Change a picture so that its loss falls; give back the best one evaluated, which need not be the last.

    Args:
        loss: what is to fall; differentiable.
        start: `(1, 3, H, W)`; clamped to [0, 1], itself left as it is.
        config: optimizer, step sizes, when to stop.
        evaluations: the most calls of `loss`, at least 1.
        step_scale: factor on the step size; one, or `(1, 1, H, W)` for each pixel.
        steady: share of the evaluations, in [0, 1), for which the step size stays before it falls.
        on_step: told now and then, and at the end; may raise to cancel.
        every_step: whether `on_step` is told after each evaluation on a GPU, too, which then waits for every one. The
            result is the same.

    Raises:
        NumericalError: the loss is NaN or infinite somewhere on the way.
    """
    picture = start.detach().clamp(0, 1)
    stepper: Stepper = Adam() if config.optimizer == "adam" else LBFGS(history=config.history)
    record = _Record(picture, evaluations, on_step)
    read_every = _read_every(picture.device)
    for count in range(1, evaluations + 1):
        last = count == evaluations
        terms, gradient = _evaluated(loss, picture, differentiate=not last)
        record.add(picture, terms)
        usual = count % read_every == 0 or last
        if usual or every_step:
            record.read(picture)
        if usual and (record.has_settled(config.tolerance, config.patience) or record.is_below(config.stop_at_loss)):
            break
        if gradient is not None:
            rate = config.learning_rate * step_scale * _decay(count - 1, evaluations, config.final_rate, steady)
            picture = (picture + stepper(picture, gradient, rate)).clamp_(0, 1)
    return record.minimum()


def _evaluated(loss: Loss, picture: Tensor, *, differentiate: bool) -> tuple[Mapping[str, Tensor], Tensor | None]:
    """The terms of a picture, and the gradient of their total where a step follows: it takes most of the time."""
    if not differentiate:
        with torch.no_grad():
            return loss(picture), None
    leaf = picture.detach().requires_grad_(True)
    terms = loss(leaf)
    # Times the number of samples: the gradient of a mean over pixels would shrink as pictures grow.
    (gradient,) = torch.autograd.grad(terms["total"] * picture.numel(), leaf)
    return terms, gradient


def _read_every(device: torch.device) -> int:
    return 1 if device.type == "cpu" else _READ_EVERY


def _decay(done: int, limit: int, final: float, steady: float) -> float:
    """Share of the first step's size after `done` steps: 1 at first, `final` at the last, along half a cosine."""
    progress = done / max(1, limit - 2)  # after the last evaluation there is no step
    progress = max(0.0, (progress - steady) / (1 - steady))
    return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2


class _Record:
    """The losses so far and the best picture, on the device until they are read."""

    def __init__(self, picture: Tensor, limit: int, on_step: Callable[[StepReport], None] | None) -> None:
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
        """Whether the best loss has fallen by less than the share `tolerance` over the last `patience` evaluations."""
        if tolerance == 0 or len(self._totals) <= patience:
            return False
        before, now = min(self._totals[:-patience]), min(self._totals)
        return before - now < tolerance * abs(before)

    def is_below(self, loss: float | None) -> bool:
        """Whether the best loss is less than this one; on a GPU that is known every `_READ_EVERY` evaluations."""
        return loss is not None and min(self._totals) < loss

    def minimum(self) -> Minimum:
        losses = dict(zip(TERMS, self._best_terms.tolist(), strict=True))
        return Minimum(self._best, losses, len(self._totals))
