"""A child process that decodes picture files one after the other, bounded in time and memory.

One child serves many files, since starting one takes longer than decoding a frame. It is started with the first file,
and again after a file has ended it; so a file that crashes a decoder is an error like any other.
"""

import atexit
import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vidnst.errors import SourceError
from vidnst.files.utf8_path import linked
from vidnst.media.input.limits import MAX_IMAGE_BYTES, MAX_PIXELS
from vidnst.processes.child_guard import CHILD_GUARD
from vidnst.processes.running_time import RunningTimer

_PROGRAM = Path(__file__).with_name("picture_decoder.py")
_LIMITS = {
    "memory_bytes": 12 << 30,
    "pixels": MAX_PIXELS,
    "decoded_bytes": 4 << 30,
    "channels": 1024,
}
_ANSWER_SECONDS = 120
"""Most seconds for one file; the largest ones take a part of it."""
_MAX_LINE_BYTES = 1 << 16
_DTYPES = frozenset({"|u1", "<u2", "<f2", "<f4"})


class PictureProcess:
    """The child process, started when it is needed. Thread-safe.

    Args:
        program: the arguments of Python that run it; None is `picture_decoder`, for EXR and DPX files.
        environment: variables that are added to those of this process.
    """

    def __init__(self, program: Sequence[str] | None = None, environment: Mapping[str, str] | None = None) -> None:
        self._program = program
        self._environment = dict(environment or {})
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._timed_out = False

    def decode(
        self, kind: Literal["exr", "dpx"], path: Path, *, pixels: bool, alpha: bool = False
    ) -> tuple[dict[str, Any], NDArray[Any]]:
        """Read a file.

        Args:
            pixels: False reads the header alone, and returns no planes.
            alpha: read the alpha channel, too, if the file has one.

        Returns:
            What `picture_decoder` says of the file, and `(channels, H, W)` planes.

        Raises:
            SourceError: the file is missing, too large or damaged, or its decoder crashed or hung.
        """
        header, planes = self.ask(path, {"kind": kind, "pixels": pixels, "alpha": alpha})
        if reason := header.get("error"):
            raise SourceError(f"the image {path} cannot be read ({reason})", "check the file")
        return header, planes

    def ask(self, path: Path, request: Mapping[str, Any]) -> tuple[dict[str, Any], NDArray[Any]]:
        """Send a request about a file, whose `path` is added; return the answer, and the array that follows it.

        Raises:
            SourceError: the file is missing or too large, or its decoder crashed or hung.
        """
        if path.exists() and not path.is_file():  # reading a pipe could block forever
            raise SourceError(f"{path} is not a file", "give an image file")
        try:
            if path.stat().st_size > MAX_IMAGE_BYTES:
                raise SourceError(f"the image {path} has more than {MAX_IMAGE_BYTES} bytes", "save it with compression")
        except OSError as error:
            raise SourceError(f"there is no image {path}", "check the name") from error
        with self._lock, linked(path, SourceError) as name:
            try:
                return self._ask({**request, "path": name})
            except (OSError, ValueError, LookupError, TypeError, MemoryError) as error:
                took_long = self._timed_out
                self.close()
                how = f"takes more than {_ANSWER_SECONDS} s" if took_long else "crashes its decoder"
                raise SourceError(f"the image {path} does not decode: it {how}", "check the file") from error

    def _ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], NDArray[Any]]:
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        self._timed_out = False
        timer = RunningTimer(_ANSWER_SECONDS, partial(self._time_out, process))
        timer.start()
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            header = json.loads(process.stdout.readline(_MAX_LINE_BYTES))
            planes = np.empty((0, 0, 0), np.uint8)
            if shape := header.get("shape"):
                sides = [int(side) for side in shape]
                within = len(sides) in (2, 3) and min(sides) > 0 and math.prod(sides) <= 4 * MAX_PIXELS
                if not within or header["dtype"] not in _DTYPES:
                    raise ValueError(f"an answer of {shape}")
                planes = np.empty(sides, header["dtype"])
                _read_into(process.stdout, planes)
            return header, planes
        finally:
            timer.cancel()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._owner != os.getpid():  # a fork shares its parent's child, and must not use it
            self._process, self._owner = None, os.getpid()
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = subprocess.Popen(
                # -P: the program's folder must not hide modules of the standard library.
                [sys.executable, "-P", *(self._program or [str(_PROGRAM)]), json.dumps(_LIMITS)],
                env=(CHILD_GUARD.environment() or dict(os.environ)) | self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in the terminal must reach the parent only
            )
        return self._process

    def _time_out(self, process: subprocess.Popen[bytes]) -> None:
        self._timed_out = True
        process.kill()

    def close(self) -> None:
        """End the child; the next file starts another."""
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


def _read_into(pipe: Any, planes: NDArray[Any]) -> None:
    """Fill an array from a pipe; raises ValueError if the pipe ends before."""
    view = planes.data.cast("B")
    at = 0
    while at < len(view):
        count = pipe.readinto(view[at:])
        if not count:
            raise ValueError("the decoder ended")
        at += count


PICTURE_PROCESS = PictureProcess()
"""The one child for EXR and DPX files of this process."""

atexit.register(PICTURE_PROCESS.close)
