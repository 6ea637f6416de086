"""A device that is not the CPU, pretended on the CPU: it computes, and refuses to mix its tensors with the CPU's.

torch calls it `meta`, a device whose kernels need no driver. What runs on it runs on a GPU as far as the places of
tensors go; speed, rounding, and what only CUDA has are another matter.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

OTHER_DEVICE = torch.device("meta")
_MOVES = ("aten::_to_copy", "aten::copy_")
"""Operators that take tensors of two devices."""
_INDEXES = ("aten::index", "aten::_index_put", "aten::index_put")
"""Operators whose indices may be on the CPU."""


class OtherTensor(torch.Tensor):
    """A tensor that says it is on the other device, around one on the CPU."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> "OtherTensor":
        outer: OtherTensor = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=OTHER_DEVICE,
            requires_grad=inner.requires_grad,
        )
        outer.inner = inner
        return outer

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return _computed(func, args, dict(kwargs or {}))


class _Dispatch(TorchDispatchMode):
    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return _computed(func, args, dict(kwargs or {}))


class _Construction(TorchFunctionMode):
    """What does not come by as an operator: `torch.tensor` copies to its device before."""

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        options = dict(kwargs or {})
        if func is torch.tensor and options.get("device") is not None:
            device = options.pop("device")
            return func(*args, **options).to(device)
        if func is torch.Tensor.tolist:  # torch refuses it for subclasses
            return func(_inner(args[0]))
        return func(*args, **options)


@contextmanager
def other_device() -> Iterator[torch.device]:
    """Let the other device exist in this block."""
    before = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        with _Dispatch(), _Construction():
            yield OTHER_DEVICE
    finally:
        torch.__future__.set_swap_module_params_on_conversion(before)


def _computed(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Compute on the CPU what is asked of the other device; RuntimeError if tensors of both devices meet."""
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    name: str = func._schema.name
    is_other = any(isinstance(tensor, OtherTensor) for tensor in tensors)
    strangers = [tensor for tensor in tensors if tensor.ndim and not isinstance(tensor, OtherTensor)]
    if is_other and strangers and not name.startswith((*_MOVES, *_INDEXES)):
        raise RuntimeError(f"{name} mixes tensors of two devices")
    device = kwargs.get("device")
    if device is not None:
        is_other = torch.device(device) == OTHER_DEVICE
        kwargs["device"] = torch.device("cpu")
    result = func(*tree_map(_inner, args), **tree_map(_inner, kwargs))
    if isinstance(result, Tensor):  # an operator in place returns what it was given
        for tensor in tensors:
            if _inner(tensor) is result:
                if tensor.shape != result.shape:  # as `squeeze_` does
                    with no_dispatch():
                        func(*args, **kwargs)
                return tensor
    return tree_map(_outer, result) if is_other else result


def _inner(value: Any) -> Any:
    return value.inner if isinstance(value, OtherTensor) else value


def _outer(value: Any) -> Any:
    return OtherTensor(value) if isinstance(value, Tensor) and not isinstance(value, OtherTensor) else value
