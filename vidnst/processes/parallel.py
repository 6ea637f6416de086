"""Independent tasks run in threads, with their results in order and in bounded memory. Standard library only.

Tasks are pure and hold what they need, so results do not depend on the number of threads.
"""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future
from typing import TypeVar

_MAX_THREADS = 24
"""With more threads, the caller's thread, which submits the tasks, becomes the bottleneck."""

_T = TypeVar("_T")


def local_cores() -> int:
    """Count the CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_count(task_bytes: int, memory_bytes: int) -> int:
    """Choose the number of threads for CPU-bound tasks: one per core, as far as their data fits into the memory."""
    return max(1, min(local_cores(), _MAX_THREADS, memory_bytes // task_bytes))


def ordered_results(
    tasks: Iterable[Callable[[], _T]], pool: Executor, *, ahead: int | Callable[[], int]
) -> Generator[_T, None, None]:
    """Run tasks in parallel and yield their results in the order of the tasks.

    Closing the generator early cancels the tasks that have not started. The iterable advances in the caller's thread,
    just before each task is submitted, so it may read from something that is not thread-safe, such as a decoder.

    Args:
        tasks: none needs the result of another.
        pool: runs them; a task must not wait for the same pool.
        ahead: number of tasks submitted beyond the one whose result is awaited, which bounds the memory. A function is
            called before each submission.

    Raises:
        Exception: any that a task or the iterable raises, after the results of all earlier tasks.
    """
    max_ahead = ahead if callable(ahead) else lambda: ahead
    pending: deque[Future[_T]] = deque()
    remaining = iter(tasks)
    iterable_error: Exception | None = None
    try:
        while True:
            while iterable_error is None and len(pending) <= max_ahead():
                try:
                    task = next(remaining)
                except StopIteration:
                    break
                except Exception as error:  # raised after the results of the earlier tasks
                    iterable_error = error
                else:
                    pending.append(pool.submit(task))
            if not pending:
                break
            yield pending.popleft().result()
        if iterable_error is not None:
            raise iterable_error
    finally:
        for future in pending:
            future.cancel()
