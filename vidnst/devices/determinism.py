"""The modes in which a GPU computes reproducibly, shared by the threads of a process.

cuDNN takes algorithms whose order of summation is fixed. And float32 is float32: torch lets cuDNN round the factors of
convolutions to TF32's 10 bits of mantissa on cards from 2020 on, so that older cards, and CPUs, gave other pictures.
What gains from the speed of tensor cores uses bfloat16 maps (`model.precision`).
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

_EXACT = "highest"
"""torch's name for products of float32 factors that are not rounded first."""

_lock = threading.Lock()
_active_blocks = 0


@dataclass(frozen=True, slots=True)
class _Flags:
    """The flags of this process on which results depend."""

    deterministic: bool
    benchmark: bool
    convolutions_in_tf32: bool
    matrix_products: str

    @classmethod
    def current(cls) -> "_Flags":
        cudnn = torch.backends.cudnn
        return cls(cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, torch.get_float32_matmul_precision())

    def set(self) -> None:
        cudnn = torch.backends.cudnn
        cudnn.deterministic, cudnn.benchmark = self.deterministic, self.benchmark
        cudnn.allow_tf32 = self.convolutions_in_tf32
        if torch.get_float32_matmul_precision() != self.matrix_products:
            torch.set_float32_matmul_precision(self.matrix_products)


_REPRODUCIBLE = _Flags(True, False, False, _EXACT)
_previous = _REPRODUCIBLE


@contextmanager
def reproducible_mode() -> Iterator[None]:
    """Compute reproducibly inside the block, and restore the flags when the last thread leaves such a block.

    The flags belong to the process: if each of several overlapping blocks restored what it had seen, one would switch
    the mode off while another still needs it.
    """
    global _active_blocks, _previous
    with _lock:
        if _active_blocks == 0:
            _previous = _Flags.current()
            _REPRODUCIBLE.set()
        _active_blocks += 1
    try:
        yield
    finally:
        with _lock:
            _active_blocks -= 1
            if _active_blocks == 0:
                _previous.set()
