"""Two ways from a gradient to a step. Neither reads a number back from the device."""

from collections import deque
from typing import Protocol

import torch
from torch import Tensor

_TINY = 1e-20


class Stepper(Protocol):
    """Makes the change of a picture from its gradient, and remembers what it needs for the next one."""

    def __call__(self, picture: Tensor, gradient: Tensor, rate: float | Tensor) -> Tensor:
        """The change to add to `picture`, of the same shape.

        Args:
            picture: where the gradient was taken.
            gradient: of the mean kind: about as large at any resolution.
            rate: size of the step, in units of the full range of a channel; one, or `(1, 1, H, W)` for each pixel.
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
        # Both corrections for the beginning are numbers, so they go into the rate and not over the picture.
        scale = (1 - self._memory**self._count) ** 0.5 / (1 - self._momentum**self._count)
        return (self._mean / self._square.sqrt().add_(_TINY)).mul_(rate * -scale)


class LBFGS:
    """Nocedal & Wright 2006, algorithm 7.4, with a cap in place of a line search.

    A line search would evaluate the loss an unknown number of times for each step. Here a step is the quasi-Newton
    one, shortened where its root mean square exceeds `rate`. Pairs of steps and gradients are taken after the picture
    has been clamped to its range, so the curvature is that of the way really gone.

    Args:
        history: pairs remembered; each takes 24 bytes per pixel.
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

    def _remember(self, moved: Tensor, change: Tensor) -> None:
        curvature, steepness = (moved * change).sum(), change.square().sum()
        # A pair without positive curvature would make the direction point uphill: it is kept as one without effect,
        # decided on the device because asking for the number would stop it.
        sound = curvature > 1e-10 * steepness
        inverse = torch.where(sound, 1 / curvature, torch.zeros_like(curvature))
        scale = torch.where(sound, curvature / steepness, self._scale if self._scale is not None else curvature * 0)
        self._pairs.append((moved, change, inverse))
        self._scale = scale

    def _direction(self, direction: Tensor) -> Tensor:
        along = []
        for moved, change, inverse in reversed(self._pairs):
            alpha = inverse * (moved * direction).sum()
            direction = direction - alpha * change
            along.append(alpha)
        if self._scale is not None:
            direction = direction * self._scale
        for (moved, change, inverse), alpha in zip(self._pairs, reversed(along), strict=True):
            beta = inverse * (change * direction).sum()
            direction = direction + (alpha - beta) * moved
        return direction
