"""Opens the files of run and batch folders, which may come from strangers; nothing else opens them.

A link, a file with a second name elsewhere (a hard link), a pipe, a device, a folder and a file that is too large are
refused in a sentence. So nothing outside of the folder is read, written or waited for, whatever was planted in it.
"""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from vidnst.errors import RunError
from vidnst.formatting import format_bytes

MAX_IMAGE_BYTES = 2 << 30
"""No frame, mask or state of a frame is larger: sources have at most 179 megapixels."""

_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_SAFE = _NO_LINK | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_STRANGE = frozenset({errno.ELOOP, errno.EMLINK, errno.EISDIR, errno.ENXIO, errno.EOPNOTSUPP, errno.ENOTDIR})
"""Errors of opening what is no regular file without following links; systems differ in them."""
_REMEDY = "remove it, or choose another folder with --work-dir"


def open_descriptor(path: Path, flags: int = os.O_RDONLY) -> int:
    """Open a file of a run or batch folder, whose folder must be no link either.

    Args:
        flags: as for `os.open`.

    Raises:
        RunError: it is something else than a regular file with one name, or its folder is a link.
        OSError: it is missing (FileNotFoundError), or cannot be opened.
    """
    descriptor = -1
    try:
        folder = os.open(path.parent, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _SAFE)
        try:
            descriptor = os.open(path.name, flags | _SAFE, 0o644, dir_fd=folder)
        finally:
            os.close(folder)
        status = os.fstat(descriptor)
    except OSError as error:
        if error.errno in _STRANGE:
            raise _refused(path) from error
        raise
    except ValueError as error:  # a zero byte in the name
        raise FileNotFoundError(errno.ENOENT, "there is no such file", str(path)) from error
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:  # none is left while the file is being replaced
        os.close(descriptor)
        raise _refused(path)
    return descriptor


def open_file(path: Path, *, max_bytes: int) -> BinaryIO:
    """Open a file of a run or batch folder for reading.

    Raises:
        RunError: as `open_descriptor`, or it is larger than `max_bytes`.
        OSError: it is missing, or cannot be opened.
    """
    descriptor = open_descriptor(path)
    if os.fstat(descriptor).st_size > max_bytes:
        os.close(descriptor)
        raise RunError(
            f"{path} is larger than the {format_bytes(max_bytes)} that vidnst reads of such a file", "remove it"
        )
    return os.fdopen(descriptor, "rb")


def read_file(path: Path, *, max_bytes: int) -> bytes:
    """Read a file of a run or batch folder; errors as `open_file`."""
    with open_file(path, max_bytes=max_bytes) as file:
        return file.read(max_bytes + 1)


def is_file(path: Path, *, max_bytes: int = MAX_IMAGE_BYTES) -> bool:
    """True if a path in a run or batch folder is a file that `open_file` opens."""
    try:
        return stat.S_ISDIR(path.parent.lstat().st_mode) and _is_plain(path.lstat(), max_bytes)
    except (OSError, ValueError):
        return False


def file_names(folder: Path) -> set[str]:
    """The names of the files in a folder of images or states that `open_file` opens; anything else is not there."""
    names = set()
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False) and _is_plain(entry.stat(follow_symlinks=False), MAX_IMAGE_BYTES):
                names.add(entry.name)
    return names


def check_folder(path: Path) -> None:
    """Make sure that a path of a run or batch folder is a real folder, or nothing yet.

    Raises:
        RunError: it is a link, a file or something else.
    """
    try:
        is_folder = stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return
    if not is_folder:
        raise _refused(path, "a folder")


def _is_plain(status: os.stat_result, max_bytes: int) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_nlink <= 1 and status.st_size <= max_bytes


def _refused(path: Path, expected: str = "a file of its own") -> RunError:
    for place in (path.parent, path):
        if place.is_symlink():
            return RunError(f"{place} is a link", _REMEDY)
    return RunError(f"{path} is not {expected}", _REMEDY)
