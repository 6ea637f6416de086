"""Adam and L-BFGS, which turn gradients into steps without reading a number back from the device."""

from collections import deque
from typing import Protocol

import torch
from torch import Tensor

_TINY = 1e-20


class Optimizer(Protocol):
    """Computes the step of a picture from its gradient, and keeps the state for the next one."""

    def __call__(self, picture: Tensor, gradient: Tensor, rate: float | Tensor) -> Tensor:
        """Compute the step to add to `picture`, of the same shape.

        Args:
            picture: the picture at which the gradient was computed.
            gradient: about as large at any resolution.
            rate: size of the step, in units of the full range of a channel: a number, or `(1, 1, H, W)` for each pixel.
        """


class Adam:
    """Kingma & Ba 2015, algorithm 1: every channel of every pixel moves by about `rate` at first."""

    def __init__(self, *, momentum: float = 0.9, memory: float = 0.99) -> None:
        self._momentum = momentum
        self._memory = memory
        self._count = 0
        self._mean: Tensor | None = None
        self._square: Tensor | None = None

    def __call__(self, picture: Tensor, gradient: Tensor, rate: float | Tensor) -> Tensor:
        if self._mean is None or self._square is None:
            self._mean, self._square = torch.zeros_like(gradient), torch.zeros_like(gradient)
        self._count += 1
        self._mean.lerp_(gradient, 1 - self._momentum)
        self._square.mul_(self._memory).addcmul_(gradient, gradient, value=1 - self._memory)
        # Both bias corrections are numbers: they go into the rate, and save a pass over the picture.
        scale = (1 - self._memory**self._count) ** 0.5 / (1 - self._momentum**self._count)
        return (self._mean / self._square.sqrt().add_(_TINY)).mul_(rate * -scale)


class LBFGS:
    """Nocedal & Wright 2006, algorithm 7.4, with a cap in place of a line search.

    A line search would evaluate the loss an unknown number of times for each step. Here a step is the quasi-Newton
    step, shortened if its root mean square exceeds `rate`. Pairs of steps and gradient changes are recorded after the
    picture has been clamped to its range, so the curvature is that along the actual step.

    Args:
        history: number of pairs; each takes 24 bytes per pixel.
    """

    def __init__(self, *, history: int = 10) -> None:
        self._pairs: deque[tuple[Tensor, Tensor, Tensor]] = deque(maxlen=history)
        self._last: tuple[Tensor, Tensor] | None = None
        self._scale: Tensor | None = None

    def __call__(self, picture: Tensor, gradient: Tensor, rate: float | Tensor) -> Tensor:
        if self._last is not None:
            self._remember(picture - self._last[0], gradient - self._last[1])
        self._last = (picture.clone(), gradient.clone())
        direction = self._direction(-gradient)
        size = direction.square().mean().sqrt()
        cap = (rate.mean() if isinstance(rate, Tensor) else rate) / (size + _TINY)
        return direction * (cap if self._scale is None else cap.clamp(max=1))

    def _remember(self, step: Tensor, change: Tensor) -> None:
        curvature, steepness = (step * change).sum(), change.square().sum()
        # A pair without positive curvature would make the direction point uphill: it is stored without effect. The
        # decision is made on the device, because reading the number would wait for it.
        positive = curvature > 1e-10 * steepness
        inverse = torch.where(positive, 1 / curvature, torch.zeros_like(curvature))
        scale = torch.where(positive, curvature / steepness, self._scale if self._scale is not None else curvature * 0)
        self._pairs.append((step, change, inverse))
        self._scale = scale

    def _direction(self, direction: Tensor) -> Tensor:
        alphas = []
        for step, change, inverse in reversed(self._pairs):
            alpha = inverse * (step * direction).sum()
            direction = direction - alpha * change
            alphas.append(alpha)
        if self._scale is not None:
            direction = direction * self._scale
        for (step, change, inverse), alpha in zip(self._pairs, reversed(alphas), strict=True):
            beta = inverse * (change * direction).sum()
            direction = direction + (alpha - beta) * step
        return direction
