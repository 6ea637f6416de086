"""The number of threads that OpenCV uses in this process. Its results in vidnst do not depend on it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2

_lock = threading.Lock()
_restore_counts: list[int] = []
"""The thread count before each active `single_threaded_opencv` block; the first is restored after the last block."""


def set_opencv_threads(count: int) -> None:
    """Set OpenCV's thread count; by default each worker process would use all cores."""
    with _lock:
        if _restore_counts:
            _restore_counts[0] = count
        else:
            cv2.setNumThreads(count)


@contextmanager
def single_threaded_opencv() -> Iterator[None]:
    """Keep OpenCV in the calling threads inside the block: for callers that run in parallel themselves.

    Blocks of several threads may overlap. `set_opencv_threads` takes effect after the last one.
    """
    with _lock:
        _restore_counts.append(cv2.getNumThreads())
        cv2.setNumThreads(1)
    try:
        yield
    finally:
        with _lock:
            count = _restore_counts[0] if len(_restore_counts) == 1 else 1
            _restore_counts.pop()
            cv2.setNumThreads(count)
