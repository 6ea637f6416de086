"""The log of a run: one JSON object per line, only ever added to."""

import json
import math
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from vidnst.atomic_write import translate_os_errors
from vidnst.errors import RunError

_LONGEST_LINE = 1 << 20
_AT_ONCE = 1000
"""Events that a reader gives at a time: those of a whole log took 14 kB for each frame."""


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a log, oldest first. Lines that are no JSON objects are passed over: what they said did not happen.

    Raises:
        RunError: a line of more than 1 MiB, so that this is no log of ours, or no file.
    """
    try:
        opened = path.open("rb")
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}", "start afresh with --restart") from error
    with opened as file:
        while line := file.readline(_LONGEST_LINE + 1):
            if len(line) > _LONGEST_LINE:
                raise RunError(f"{path} is damaged: it has a line of over 1 MiB", "start afresh with --restart")
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(event, dict):
                yield event


class LogReader:
    """Reads a log that others still write, from where it was left off. Needs no lock.

    Args:
        path: of the log, which need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._file: tuple[int, int] | None = None

    def news(self) -> tuple[bool, list[dict[str, Any]]]:
        """Whether another log begins, so that all that was read before is void, and the next events; none: no news.

        A last line without an end is left for the next time; what is no JSON object is passed over.
        """
        try:
            with self._path.open("rb") as file:
                status = os.fstat(file.fileno())
                this = (status.st_dev, status.st_ino)
                anew = this != self._file or status.st_size < self._offset
                self._file, self._offset = this, 0 if anew else self._offset
                file.seek(self._offset)
                return anew, list(self._lines(file))
        except OSError:
            anew, self._file, self._offset = self._file is not None, None, 0
            return anew, []

    def _lines(self, file: BinaryIO) -> Iterator[dict[str, Any]]:
        given = 0
        while given < _AT_ONCE and (line := file.readline(_LONGEST_LINE + 1)):
            if not line.endswith(b"\n") and len(line) <= _LONGEST_LINE:
                return
            self._offset += len(line)
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(event, dict):
                given += 1
                yield event


class EventLog:
    """A log that is open for adding, by any thread. Needs the folder's lock.

    A last line that was cut off by a kill is removed on opening.
    """

    def __init__(self, path: Path) -> None:
        self._folder = path.parent
        self._lock = threading.Lock()
        with translate_os_errors(self._folder):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            self._end = self._repair()

    def _repair(self) -> int:
        end = size = os.fstat(self._descriptor).st_size
        tail = os.pread(self._descriptor, _LONGEST_LINE, max(0, size - _LONGEST_LINE))
        end -= len(tail) - (tail.rfind(b"\n") + 1)
        if end < size:
            os.ftruncate(self._descriptor, end)
        return end

    def append(self, kind: str, facts: Mapping[str, Any], *, durable: bool = True) -> None:
        """Add an event: see `extend`."""
        self.extend([(kind, facts)], durable=durable)

    def extend(self, events: Iterable[tuple[str, Mapping[str, Any]]], *, durable: bool = True) -> None:
        """Add events with the present time, all of them or none.

        Args:
            events: of each what happened, and JSON values; numbers that JSON lacks (NaN, infinity) become null.
            durable: whether to wait until they are on the disk.

        Raises:
            DiskFullError: no space left; the log is as it was before.
        """
        now = round(time.time(), 3)
        lines = b"".join(_line({"time": now, "kind": kind, **facts}) for kind, facts in events)
        with self._lock:
            try:
                with translate_os_errors(self._folder):
                    written = os.pwrite(self._descriptor, lines, self._end)
                    while written < len(lines):
                        written += os.pwrite(self._descriptor, lines[written:], self._end + written)
                    if durable:
                        os.fsync(self._descriptor)
            except BaseException:
                os.ftruncate(self._descriptor, self._end)
                raise
            self._end += len(lines)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1


def _line(event: Mapping[str, Any]) -> bytes:
    return json.dumps(_plain(event), separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
