"""A sum over parts of a tensor, one part at a time: forward, and once more on the way back.

However large the tensor is, only one part's graph is held. That is what checkpoints do, turned by ninety degrees: they
forget layers, this forgets places.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vidnst.style.textures.protocol import Texture


@dataclass(frozen=True, slots=True)
class Window:
    """Some rows and columns: those from `top` and `left` to just before `bottom` and `right`."""

    top: int
    bottom: int
    left: int
    right: int

    def of(self, x: Tensor) -> Tensor:
        """That part of `(1, N, H, W)`; a view."""
        return x[..., self.top : self.bottom, self.left : self.right]

    def within(self, other: "Window") -> "Window":
        """The same place, counted from another window's upper left corner."""
        top, left = other.top, other.left
        return Window(self.top - top, self.bottom - top, self.left - left, self.right - left)

    def over(self, stride: int) -> "Window":
        """The place of the same pixels in a map with one position for so many of them."""
        return Window(self.top // stride, self.bottom // stride, self.left // stride, self.right // stride)

    @property
    def positions(self) -> int:
        """How many there are."""
        return (self.bottom - self.top) * (self.right - self.left)


def bands(whole: Window, rows: int) -> list[Window]:
    """A window cut into bands of so many rows, the last of which may have fewer."""
    tops = range(whole.top, whole.bottom, rows)
    return [Window(top, min(top + rows, whole.bottom), whole.left, whole.right) for top in tops]


def summed(
    x: Tensor, windows: Sequence[Window], look: Callable[[Tensor, int], dict[Any, Texture]]
) -> dict[Any, Texture]:
    """The sum over windows of what a function says of each.

    Args:
        x: `(1, N, H, W)`.
        windows: may overlap.
        look: from a window's part of `x`, and the window's number, to tensors by their names, as many and of the same
            shapes for all; differentiable. It is asked twice, and has to say the same.
    """
    shape: dict[Any, int] = {}

    def flat(part: Tensor, number: int) -> tuple[Tensor, ...]:
        found = look(part, number)
        shape.update({name: len(texture) for name, texture in found.items()})
        return tuple(tensor for texture in found.values() for tensor in texture)

    tensors = iter(_Summed.apply(x, windows, flat))
    return {name: tuple(next(tensors) for _ in range(count)) for name, count in shape.items()}


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, windows: Sequence[Window], look: Callable[[Tensor, int], tuple[Tensor, ...]]
    ) -> tuple[Tensor, ...]:
        ctx.save_for_backward(x)
        ctx.windows, ctx.look = windows, look
        whole: list[Tensor] = []
        for number, window in enumerate(windows):
            found = look(window.of(x), number)
            whole = [one + other for one, other in zip(whole, found, strict=True)] if whole else list(found)
        return tuple(whole)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        whole = torch.zeros_like(x)
        for number, window in enumerate(ctx.windows):
            part = window.of(x).detach().requires_grad_()
            with torch.enable_grad():
                found = ctx.look(part, number)
            (gradient,) = torch.autograd.grad(found, part, gradients)
            window.of(whole).add_(gradient)
        return whole, None, None
