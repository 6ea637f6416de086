"""Work that no signal may interrupt: its handlers run when it is done. Standard library only."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Keep the handlers of signals that stop a program from running in this block; afterwards they do, if it raised
    nothing. Handlers that the block itself sets are replaced by those from before.

    In other threads than the main one, where no handler runs, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)

    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    handlers = {number: handler for number in numbers if callable(handler := signal.getsignal(number))}
    kept = {number: signal.getsignal(number) for number in numbers if number not in handlers}
    for number in handlers:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in (handlers | kept).items():
            if handler is not None:  # None: not set from Python
                signal.signal(number, handler)
    for number in came:
        handlers[number](number, None)
