"""Independent pieces of work side by side in threads, their results one after the other. Standard library only."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future
from typing import TypeVar

_MOST_THREADS = 24
"""With more, whoever hands out the work is what the others wait for."""

_T = TypeVar("_T")


def local_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def side_by_side(piece_bytes: int, room_bytes: int) -> int:
    """How many threads suit work that computes: one for each core, as far as so many pieces have room in memory."""
    return max(1, min(local_cores(), _MOST_THREADS, room_bytes // piece_bytes))


def in_order(
    pieces: Iterable[Callable[[], _T]], pool: Executor, *, ahead: int | Callable[[], int]
) -> Generator[_T, None, None]:
    """What the pieces return, in their order, though they are done side by side.

    Close it where it is left early: that drops what has not begun.

    The pieces are asked for in the caller's thread, each just before it is begun, so they may be made out of something
    that no two threads may share, such as a decoder.

    Args:
        pieces: none needs what another returns.
        pool: does them; a piece must not wait for the same pool.
        ahead: how many are begun or finished beyond the one whose result is waited for, so that memory is bounded. A
            function is asked again before each piece.

    Raises:
        Whatever a piece, or asking for one, raises, in its turn.
    """
    most = ahead if callable(ahead) else lambda: ahead
    begun: deque[Future[_T]] = deque()
    left = iter(pieces)
    wrong: Exception | None = None
    try:
        while True:
            while wrong is None and len(begun) <= most():
                try:
                    piece = next(left)
                except StopIteration:
                    break
                except Exception as error:  # what comes before it is finished first
                    wrong = error
                else:
                    begun.append(pool.submit(piece))
            if not begun:
                break
            yield begun.popleft().result()
        if wrong is not None:
            raise wrong
    finally:
        for future in begun:
            future.cancel()
