"""The event log of a run: one JSON object per line, to which events are only ever added."""

import json
import math
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from vidnst.errors import OutputError, RunError
from vidnst.files.atomic_write import translate_os_errors
from vidnst.processes.running_time import SteadyTime
from vidnst.runs.safe_files import open_descriptor, open_file

_MAX_LINE_BYTES = 1 << 20
_MAX_LOG_BYTES = 4 << 30
"""A feature film in fifteen passes leaves a quarter of it."""
_MAX_TEXT = 1 << 16
_BATCH_EVENTS = 1000
"""Events that a reader returns at a time: all of a long log at once would take 14 kB of memory for each frame."""


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """Read the events of a log, oldest first. Lines that are no JSON objects are skipped, as if nothing had happened.

    Raises:
        RunError: a line has more than 1 MiB, so that this is no event log, or the file cannot be read or is too large.
        FileNotFoundError: there is no log.
    """
    try:
        opened = open_file(path, max_bytes=_MAX_LOG_BYTES)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}", "start afresh with --restart") from error
    with opened as file:
        while line := file.readline(_MAX_LINE_BYTES + 1):
            if len(line) > _MAX_LINE_BYTES:
                raise _too_long(path)
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(event, dict):
                yield event


class LogReader:
    """Reads the events that were added to a log since the last time, while other processes write it. Needs no lock.

    Args:
        path: the log, which need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._file: tuple[int, int] | None = None

    def read_new(self) -> tuple[bool, list[dict[str, Any]]]:
        """Read the next events, at most 1000 at a time; none if nothing was added.

        A last line without an end is left for the next time; what is no JSON object is skipped.

        Returns:
            True if another log has replaced the one that was read before, so that its events are void; and the events.

        Raises:
            RunError: it is no file of its own, is too large, or has a line of more than 1 MiB.
        """
        try:
            with open_file(self._path, max_bytes=_MAX_LOG_BYTES) as file:
                status = os.fstat(file.fileno())
                identity = (status.st_dev, status.st_ino)
                is_new = identity != self._file or status.st_size < self._offset
                self._file, self._offset = identity, 0 if is_new else self._offset
                file.seek(self._offset)
                return is_new, list(self._lines(file))
        except OSError:
            is_new, self._file, self._offset = self._file is not None, None, 0
            return is_new, []

    def _lines(self, file: BinaryIO) -> Iterator[dict[str, Any]]:
        count = 0
        while count < _BATCH_EVENTS and (line := file.readline(_MAX_LINE_BYTES + 1)):
            if len(line) > _MAX_LINE_BYTES:
                raise _too_long(self._path)
            if not line.endswith(b"\n"):
                return
            self._offset += len(line)
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(event, dict):
                count += 1
                yield event


class EventLog:
    """Adds events to a log, from any thread. Needs the folder's lock.

    A last line that a kill cut off is removed on opening. A clock that is set while the log is open moves no time in
    it: the rates and durations that others read from it stay right. RunError is raised for a log that is no file of
    its own.
    """

    def __init__(self, path: Path) -> None:
        self._folder = path.parent
        self._lock = threading.Lock()
        self._now = SteadyTime()
        with translate_os_errors(self._folder):
            self._descriptor = open_descriptor(path, os.O_RDWR | os.O_CREAT)
            self._end = self._repair()

    def _repair(self) -> int:
        end = size = os.fstat(self._descriptor).st_size
        tail = os.pread(self._descriptor, _MAX_LINE_BYTES, max(0, size - _MAX_LINE_BYTES))
        end -= len(tail) - (tail.rfind(b"\n") + 1)
        if end < size:
            os.ftruncate(self._descriptor, end)
        return end

    def append(self, kind: str, facts: Mapping[str, Any], *, durable: bool = True) -> None:
        """Add one event, as `extend` does."""
        self.extend([(kind, facts)], durable=durable)

    def extend(self, events: Iterable[tuple[str, Mapping[str, Any]]], *, durable: bool = True) -> None:
        """Add events with the present time, all of them or none.

        Args:
            events: the kind and the facts of each, as JSON values; numbers that JSON lacks (NaN, infinity) become null.
            durable: whether to wait until they are on the disk.

        Raises:
            DiskFullError, OutputError: they cannot be written; the log is as it was before.
        """
        now = round(self._now(), 3)
        lines = b"".join(_line({"time": now, "kind": kind, **facts}) for kind, facts in events)
        with self._lock:
            if self._end + len(lines) > _MAX_LOG_BYTES:
                raise OutputError(f"the event log in {self._folder} is full", "start afresh with --restart")
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


def _too_long(path: Path) -> RunError:
    return RunError(f"{path} is damaged: it has a line of over 1 MiB", "start afresh with --restart")


def _line(event: Mapping[str, Any]) -> bytes:
    return json.dumps(_to_json(event), separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _to_json(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value[:_MAX_TEXT]
    if isinstance(value, Mapping):
        return {str(key): _to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json(item) for item in value]
    return value
