"""Child processes that read HEIC, AVIF, WebP and TIFF files, and all others but the plainest formats.

Their decoders are large C libraries, in which hostile files find faults most often. JPEG, PNG, BMP, GIF and PPM files
are read in this process.
"""

import atexit
import os
import queue
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

import vidnst
from vidnst.errors import SourceError
from vidnst.media.input.picture_process import PictureProcess
from vidnst.processes.parallel import local_cores

_PLAIN_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF8", b"P4", b"P5", b"P6")
_MOST_PROCESSES = 4
PATH_MARK = "\0"
"""Stands for the path in what a process says, since it may know the file by the name of a link."""


def is_read_in_child(path: Path) -> bool:
    """Return whether a file is of a format that is read in a child process, by its first bytes.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return not file.read(8).startswith(_PLAIN_STARTS)


def new_process() -> PictureProcess:
    """Return a process that reads stills; it starts with the first request."""
    package = str(Path(vidnst.__file__).parent.parent)
    paths = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    return PictureProcess(("-m", "vidnst.media.input.still_decoder"), {"PYTHONPATH": paths})


def check_answer(answer: Mapping[str, Any], path: Path) -> None:
    """Raise what a process says is wrong with a file: SourceError, or ValueError with its decoder's words."""
    if "refused" in answer:
        what, remedy = (str(text).replace(PATH_MARK, str(path)) for text in answer["refused"])
        raise SourceError(what, remedy)
    if "error" in answer:
        raise ValueError(str(answer["error"]) or "damaged")


class StillProcesses:
    """A few child processes that read stills, as many as there are threads that ask. Thread-safe."""

    def __init__(self) -> None:
        count = max(1, min(_MOST_PROCESSES, local_cores()))
        self._all = [new_process() for _ in range(count)]
        self._free: queue.LifoQueue[PictureProcess] = queue.LifoQueue()
        for process in self._all:
            self._free.put(process)

    def ask(self, path: Path, request: Mapping[str, Any]) -> tuple[dict[str, Any], NDArray[Any]]:
        """Send a request to the process that was free last; see `PictureProcess.ask`."""
        process = self._free.get()
        try:
            return process.ask(path, request)
        finally:
            self._free.put(process)

    def close(self) -> None:
        """End all of them; the next request starts one."""
        for process in self._all:
            process.close()


STILL_PROCESSES = StillProcesses()
"""Those of this process."""

atexit.register(STILL_PROCESSES.close)
