"""The signals that stop a command: SIGINT, SIGTERM, and SIGHUP, which a terminal sends when it is closed.

The first one asks for an orderly stop where a command can make one, and says so; elsewhere, and if it is the second,
it raises KeyboardInterrupt. A thread hears of every signal, even while C code keeps the main thread from its handler.
It interrupts a command that does not stop within seconds, and then ends the process with the same status: a run folder
needs no more than that.
"""

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from vidnst.errors import CancelledError
from vidnst.processes.abandoned_work import end_process

INTERRUPT_SECONDS = 4.0
"""From the first signal until a command that has not ended is interrupted."""
END_SECONDS = 2.0
"""From the interruption until the process ends as it is."""
POLL_SECONDS = 0.2

_NOTICE = "stopping within seconds; Ctrl-C again to stop now"
_ENDED = "stopped at once; the same command continues a run that has begun"
_SHOW_CURSOR = "\x1b[?25h"
"""For terminals, whose cursor is hidden below bars."""

STOP_NUMBERS = tuple(
    number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None
)


class StopSignals:
    """What this process does when it gets a signal to stop.

    Args:
        end: ends the process and its children with a status, at once and from any thread.
        interrupt_seconds: see `INTERRUPT_SECONDS`.
        end_seconds: see `END_SECONDS`.
    """

    def __init__(
        self,
        end: Callable[[int], object] = end_process,
        *,
        interrupt_seconds: float = INTERRUPT_SECONDS,
        end_seconds: float = END_SECONDS,
    ) -> None:
        self.requested = False
        """True once a signal has come."""
        self._end = end
        self._interrupt_seconds = interrupt_seconds
        self._end_seconds = end_seconds
        self._stops_orderly = False
        self._is_ending = False
        self._stopped = threading.Event()
        self._heard, self._wakeup = socket.socketpair()
        self._thread = threading.Thread(target=self._watch, name="stop-signals", daemon=True)
        self._previous: dict[int, object] = {}

    def install(self) -> None:
        """Handle the signals from now on; a hangup that is ignored, as below `nohup`, stays so. Main thread only."""
        self._wakeup.setblocking(False)
        signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        for number in STOP_NUMBERS:
            handler = signal.getsignal(number)
            if number == getattr(signal, "SIGHUP", None) and handler is signal.SIG_IGN:
                continue
            self._previous[number] = handler
            signal.signal(number, self._handle)
        self._thread.start()

    def remove(self) -> None:
        """Undo `install`; what has come since has no consequences any more."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._previous.clear()
        signal.set_wakeup_fd(-1)
        self._wakeup.close()
        self._thread.join()
        self._heard.close()

    @contextmanager
    def orderly(self) -> Iterator[None]:
        """In this block the first signal sets `requested`, and leaves the rest to the block."""
        self._stops_orderly, self.requested = True, False
        try:
            yield
        finally:
            self._stops_orderly = False

    def wait(self) -> None:
        """Wait in an orderly block until a signal comes."""
        while not self.requested:
            self._stopped.wait(POLL_SECONDS)

    def finish(self) -> None:
        """Raise nothing any more: the process is about to end by itself. It still ends in time."""
        self._is_ending = True

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._is_ending:
            return
        is_first, self.requested = not self.requested, True
        if not (is_first and self._stops_orderly):
            raise KeyboardInterrupt

    def _watch(self) -> None:
        if not self._next(None):
            return
        if self._stops_orderly:
            _say(_NOTICE)
        again = self._next(self._interrupt_seconds)
        if again is None:
            _interrupt_main_thread()
            again = self._next(self._end_seconds)  # ends early at the interruption, which is heard here, too
        if again != b"" and self._next(self._end_seconds) != b"":
            _say(_SHOW_CURSOR + _ENDED if sys.stderr.isatty() else _ENDED)
            self._end(CancelledError.exit_code)

    def _next(self, seconds: float | None) -> bytes | None:
        """Wait for a signal; None if none came in time, and nothing if this object is removed."""
        self._heard.settimeout(seconds)
        try:
            while received := self._heard.recv(1):
                if received[0] in STOP_NUMBERS:
                    return received
        except TimeoutError:
            return None
        except OSError:
            pass
        return b""


_installed: StopSignals | None = None


def install() -> None:
    """Handle signals in this process from now on; called first of all."""
    global _installed
    if _installed is None and threading.current_thread() is threading.main_thread():
        _installed = StopSignals()
        _installed.install()


def remove() -> None:
    """Undo `install`."""
    global _installed
    if _installed is not None:
        _installed.remove()
        _installed = None


def finish() -> None:
    """Raise nothing any more, since the process is about to end."""
    if _installed is not None:
        _installed.finish()


def watching_thread() -> threading.Thread | None:
    """The thread that hears of signals."""
    return None if _installed is None else _installed._thread


@contextmanager
def orderly_stop() -> Iterator[StopSignals]:
    """In this block, the first signal asks for an orderly stop: poll `requested`."""
    install()
    stop = _installed or StopSignals()  # in a thread other than the main one, nothing is ever requested
    with stop.orderly():
        yield stop


def _interrupt_main_thread() -> None:
    """Send SIGINT to the main thread, which also ends a system call that it waits in."""
    thread = threading.main_thread().ident
    with suppress(OSError):
        if hasattr(signal, "pthread_kill") and thread is not None:
            signal.pthread_kill(thread, signal.SIGINT)
        else:
            os.kill(os.getpid(), signal.SIGINT)


def _say(text: str) -> None:
    """Write a line to stderr, in a thread: nobody may read it, and then it would wait for ever."""

    def write() -> None:
        with suppress(OSError, ValueError, SystemExit):
            sys.stderr.write(f"vidnst: {text}\n")
            sys.stderr.flush()

    thread = threading.Thread(target=write, daemon=True)
    with suppress(RuntimeError):  # no memory for a thread
        thread.start()
        thread.join(POLL_SECONDS)
