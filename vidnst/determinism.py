"""cuDNN's deterministic mode, shared by the threads of a process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_lock = threading.Lock()
_active_blocks = 0
_previous_flags = (False, False)


@contextmanager
def deterministic_cudnn() -> Iterator[None]:
    """Make cuDNN deterministic inside the block, and restore its flags when the last thread leaves such a block.

    The flags belong to the process: if each of several overlapping blocks restored what it had seen, one would switch
    the mode off while another still needs it.
    """
    global _active_blocks, _previous_flags
    cudnn = torch.backends.cudnn
    with _lock:
        if _active_blocks == 0:
            _previous_flags = cudnn.deterministic, cudnn.benchmark
            cudnn.deterministic, cudnn.benchmark = True, False
        _active_blocks += 1
    try:
        yield
    finally:
        with _lock:
            _active_blocks -= 1
            if _active_blocks == 0:
                cudnn.deterministic, cudnn.benchmark = _previous_flags
