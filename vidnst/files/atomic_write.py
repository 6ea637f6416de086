"""Files that appear under their names only once they are complete and on the disk, and the errors of writing them."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, wait
from contextlib import contextmanager, suppress
from pathlib import Path

from vidnst.errors import DiskFullError, OutputError
from vidnst.files.part_files import new_part

_DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT)
_NEARLY_FULL_BYTES = 4 << 20
"""A writer that fails without a reason (cv2 only returns False) is taken to have filled a disk with less free space."""


def disk_full_error(folder: Path) -> DiskFullError:
    """The error for a folder whose disk has no space left."""
    return DiskFullError(
        f"no space left on the disk of {folder}",
        "free some space and repeat the command; everything that is finished is kept",
    )


@contextmanager
def translate_os_errors(folder: Path) -> Iterator[None]:
    """Turn errors of the operating system from writing in `folder` into those of the package.

    Raises:
        DiskFullError: no space left.
        OutputError: any other OSError.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _DISK_FULL_ERRNOS:
            raise disk_full_error(folder) from error
        if error.errno == errno.ENOENT and not folder.exists():
            raise OutputError(
                f"the folder {folder} has gone", "put it back if it was moved, and give the same command again"
            ) from error
        raise OutputError(
            f"cannot write in {folder}: {error.strerror or error}",
            "check its permissions, or choose another folder for the output or with --work-dir",
        ) from error


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file under a temporary name, flush it to the disk, and rename it to `path`.

    Raises:
        DiskFullError: no space left.
        OutputError: any other OSError, or `write` made no file or an empty one.
    """
    write_all_atomically({path: write})


def write_bytes_atomically(path: Path, data: bytes) -> None:
    """Write bytes as `write_atomically` does."""
    write_atomically(path, lambda part: part.write_bytes(data))


def write_all_atomically(files: Mapping[Path, Callable[[Path], object]], *, threads: Executor | None = None) -> None:
    """Write several files: none is renamed before all are on the disk, and each folder is flushed once.

    Args:
        files: the writer of each file, as for `write_atomically`.
        threads: writes the files in parallel; None writes them one after the other in this thread.

    Raises:
        DiskFullError, OutputError: as `write_atomically`.
    """
    parts: dict[Path, Path] = {}
    try:
        for path in files:
            with _nearly_full_counts_as_full(path.parent):
                parts[path] = new_part(path)
        if threads is None:
            for path, write in files.items():
                _write_part(path, parts[path], write)
        else:
            futures = [threads.submit(_write_part, path, parts[path], write) for path, write in files.items()]
            wait(futures)  # all of them, so that none leaves its part after the parts are removed
            for future in futures:
                future.result()
        for path, part in parts.items():
            with _nearly_full_counts_as_full(path.parent):
                part.replace(path)
        for folder in dict.fromkeys(path.parent for path in files):
            with _nearly_full_counts_as_full(folder):
                _flush(folder, os.O_RDONLY)
    except BaseException:
        for part in parts.values():
            with suppress(OSError):
                part.unlink(missing_ok=True)
        raise


def _write_part(path: Path, part: Path, write: Callable[[Path], object]) -> None:
    with _nearly_full_counts_as_full(path.parent):
        write(part)
        if not part.is_file() or part.stat().st_size == 0:
            raise OutputError(f"{path} was not written", "check the folder and the space on its disk")
        _flush(part, os.O_RDWR)


@contextmanager
def _nearly_full_counts_as_full(folder: Path) -> Iterator[None]:
    try:
        with translate_os_errors(folder):
            yield
    except DiskFullError:
        raise
    except OutputError as error:
        if folder.is_dir() and shutil.disk_usage(folder).free < _NEARLY_FULL_BYTES:
            raise disk_full_error(folder) from error
        raise


def _flush(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
