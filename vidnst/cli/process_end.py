"""The end of the process, whatever threads are at work."""

import atexit
import os
import sys
import threading
from contextlib import suppress

from vidnst.cli import stop_signals
from vidnst.processes.abandoned_work import end_process, is_any_left


class ProcessEnd:
    """The end of this process, which threads that are still in C++ code must not turn into an abort.

    An interpreter that ends stops each thread as soon as that wants to run Python code; in torch or OpenCV, that is
    fatal for the process. So the process ends right before, after all that is done at an exit. So it does wherever
    torch is loaded: clearing that up takes a second, in which a signal would end the process with another status.
    """

    def __init__(self) -> None:
        self.status = 1
        """What the process is to end with; 1 is that of an error that nothing handles."""
        self._is_registered = False

    def register(self) -> None:
        """Look for threads at the end; called before libraries register what they do there, since that comes first."""
        if not self._is_registered:
            self._is_registered = True
            atexit.register(self._end_despite_threads)

    def end_if_work_is_abandoned(self) -> None:
        """End the process now, with its children, if a stopped command has left a thread that still starts workers."""
        if is_any_left():
            _flush()
            end_process(self.status)

    def _end_despite_threads(self) -> None:
        harmless = (threading.main_thread(), stop_signals.watching_thread())
        if "torch" in sys.modules or any(thread not in harmless for thread in threading.enumerate()):
            _flush()
            os._exit(self.status)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, SystemExit):
            stream.flush()


process_end = ProcessEnd()
