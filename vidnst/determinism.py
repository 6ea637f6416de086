"""cuDNN in its reproducible mode, for as long as any thread of this process wants it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_lock = threading.Lock()
_inside = 0
_before = (False, False)


@contextmanager
def same_every_time() -> Iterator[None]:
    """cuDNN in its reproducible mode, and as it was before once the last thread has left.

    The mode is the process's: with threads that enter and leave as they like, each restoring what it found, one would
    switch it off under the other.
    """
    global _inside, _before
    cudnn = torch.backends.cudnn
    with _lock:
        if _inside == 0:
            _before = cudnn.deterministic, cudnn.benchmark
            cudnn.deterministic, cudnn.benchmark = True, False
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                cudnn.deterministic, cudnn.benchmark = _before
