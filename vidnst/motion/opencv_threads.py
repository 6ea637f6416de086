"""How many threads OpenCV may take."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2

_lock = threading.Lock()
_before: list[int] = []
"""For each `one_thread_each` that is under way, what the number was; the first one's is what it will be again."""


def use_threads(count: int) -> None:
    """Let OpenCV use so many threads in this process.

    Left to itself it takes all cores, in every worker, however many there are. What it computes here has the same bytes
    with any number.
    """
    with _lock:
        if _before:
            _before[0] = count
        else:
            cv2.setNumThreads(count)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Until the block is left OpenCV works in the threads that call it, and in no others: for callers that are many.

    Blocks of several threads may overlap; what `use_threads` says meanwhile holds after the last.
    """
    with _lock:
        _before.append(cv2.getNumThreads())
        cv2.setNumThreads(1)
    try:
        yield
    finally:
        with _lock:
            after = _before[0] if len(_before) == 1 else 1
            _before[:] = _before[:-1]
            cv2.setNumThreads(after)
