"""Standard output and error: no name of a file breaks them, and they may be closed by what reads them, like `head`."""

import codecs
import errno
import os
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, TextIO, cast

from vidnst.formatting import printable_lines

_CLOSED_STATUS = 141
"""128 + SIGPIPE: what a shell reports of a program that ended because its reader did."""

_ERROR_HANDLER = "vidnst.original-bytes"


class _PipeStream:
    """A text stream that ends the program quietly as soon as nobody reads it any more.

    SIGPIPE itself stays ignored, as Python has it: it would also end the program for a closed pipe of ffmpeg or a
    socket. In a thread other than the main one nothing is raised, and the next write of the main thread ends it. It is
    raised once: what is written while the program unwinds goes nowhere.

    What libraries write (warnings, logs of Ray, the help with its colours) passes here without sequences that terminals
    obey, colours excepted. The command line's own texts come from `Terminal`, clean already.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_closed = False
        self._has_ended = False

    def write(self, text: str) -> int:
        """Write a text, cleaned; raises SystemExit if the reader has gone."""
        return self.write_as_is(printable_lines(text, colours=True))

    def write_as_is(self, text: str) -> int:
        """Write a text that is clean but for sequences of our own; raises SystemExit if the reader has gone."""
        try:
            written = self._stream.write(text)
        except OSError as error:
            self._note_end(error)
            written = len(text)
        self._end_if_closed()
        return written

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush what is written; raises SystemExit if the reader has gone."""
        try:
            self._stream.flush()
        except OSError as error:
            self._note_end(error)
        self._end_if_closed()

    def _note_end(self, error: OSError) -> None:
        """Let what is still buffered go nowhere, so that no later flush fails; raise an error of another kind.

        A terminal that was closed ends nothing: either SIGHUP does, or it is ignored, below `nohup`.
        """
        self._is_closed |= isinstance(error, BrokenPipeError)
        if not isinstance(error, BrokenPipeError) and error.errno != errno.EIO:
            raise error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

    def _end_if_closed(self) -> None:
        if self._is_closed and not self._has_ended and threading.current_thread() is threading.main_thread():
            self._has_ended = True
            raise SystemExit(_CLOSED_STATUS)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def protect_streams() -> None:
    """Make this process's standard streams take every text, and a reader that goes away.

    Bytes of file names that are not UTF-8 are written as they are; other characters that the encoding lacks become
    escapes. Streams that something else has replaced, as tests do, are left alone.
    """
    codecs.register_error(_ERROR_HANDLER, _original_bytes)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller: `>&-`
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - until the process ends
        elif stream is getattr(sys, f"__{name}__"):
            if name == "stdout":
                stream.reconfigure(errors=_ERROR_HANDLER)
            setattr(sys, name, cast(TextIO, _PipeStream(stream)))


def end_streams() -> None:
    """Write what is still buffered, as the last thing; raises SystemExit if the reader of a stream has gone."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # a full disk under a redirected log; a stream that is closed
            stream.flush()


def _original_bytes(error: UnicodeError) -> tuple[str | bytes, int]:
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.lookup_error("backslashreplace")(error)
