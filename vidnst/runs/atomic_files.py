"""Files that are either whole or not there, and a lock that a dead process never holds."""

import errno
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, wait
from contextlib import contextmanager, suppress
from pathlib import Path

from vidnst.errors import DiskFullError, OutputError, RunError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_TRIES, _PAUSE_SECONDS = 5, 0.02  # whoever only looks at a lock holds it for some microseconds
_LITTLE_BYTES = 4 << 20
"""Below this, a writer that failed without saying why (cv2 only returns False) is taken to have filled the disk."""


def disk_full(folder: Path) -> DiskFullError:
    """The error for a folder whose disk has no space left."""
    return DiskFullError(
        f"no space left on the disk of {folder}",
        "make room and give the same command again; all that is finished is kept",
    )


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn the operating system's errors into ours.

    Raises:
        DiskFullError: no space left.
        OutputError: any other OSError.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise disk_full(folder) from error
        raise OutputError(
            f"cannot write in {folder}: {error.strerror or error}",
            "check its permissions, or choose another folder with --work-dir",
        ) from error


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file under a temporary name beside `path`, and rename it once it is on the disk.

    The temporary name begins with a dot, has `.part` in it, and keeps the suffix, by which picture writers choose
    the format.

    Raises:
        DiskFullError: no space left.
        OutputError: any other OSError; also where `write` leaves no file.
    """
    write_together({path: write})


def write_together(files: Mapping[Path, Callable[[Path], object]], *, threads: Executor | None = None) -> None:
    """`write_whole` for several files: none has its name before all are on the disk, and each folder is flushed once.

    Args:
        files: what writes each of them.
        threads: where they are made side by side; None makes one after the other, here.
    """
    parts = {path: path.with_name(f".{path.stem}.part{path.suffix}") for path in files}
    try:
        if threads is None:
            for path, write in files.items():
                _write_part(path, parts[path], write)
        else:
            futures = [threads.submit(_write_part, path, parts[path], write) for path, write in files.items()]
            wait(futures)  # all of them, so that none leaves its part after the parts are removed
            for future in futures:
                future.result()
        for path, part in parts.items():
            with _saying_full(path.parent):
                part.replace(path)
        for folder in dict.fromkeys(path.parent for path in files):
            with _saying_full(folder):
                _flush(folder, os.O_RDONLY)
    except BaseException:
        for part in parts.values():
            with suppress(OSError):
                part.unlink(missing_ok=True)
        raise


def _write_part(path: Path, part: Path, write: Callable[[Path], object]) -> None:
    with _saying_full(path.parent):
        part.unlink(missing_ok=True)  # a stranger's folder may have a link there, to be written through
        write(part)
        if not part.is_file() or part.stat().st_size == 0:
            raise OutputError(f"{path} was not written", "check the folder and the space on its disk")
        _flush(part, os.O_RDWR)


@contextmanager
def _saying_full(folder: Path) -> Iterator[None]:
    """`writing`, where the disk also counts as full if there is next to no space when something fails."""
    try:
        with writing(folder):
            yield
    except DiskFullError:
        raise
    except OutputError as error:
        if shutil.disk_usage(folder).free < _LITTLE_BYTES:
            raise disk_full(folder) from error
        raise


def write_bytes_whole(path: Path, data: bytes) -> None:
    """`write_whole` for what is in memory already."""
    write_whole(path, lambda part: part.write_bytes(data))


def remove_parts(folder: Path) -> None:
    """Delete what a writer left under temporary names when it was killed."""
    for entry in os.scandir(folder):
        if entry.name.startswith(".") and ".part" in entry.name and entry.is_file(follow_symlinks=False):
            os.unlink(entry.path)


def _flush(path: Path, flags: int) -> None:
    if sys.platform == "win32" and path.is_dir():
        return  # Windows opens no folders, and journals renames itself
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, *, last: bool) -> bool:
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if not last:
            time.sleep(_PAUSE_SECONDS)
        return False
    return True


def _holder(descriptor: int) -> str:
    return os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"


def lock_holder(path: Path) -> str | None:
    """Who has the lock that `path` stands for, in words; None where nobody has. Nothing is written.

    The lock is asked for together with other askers, for some microseconds, in which `FolderLock` waits.
    """
    if sys.platform == "win32":
        return None
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(descriptor)
    except OSError:  # a file system without locks
        return None
    finally:
        os.close(descriptor)
    return None


class FolderLock:
    """The exclusive use of a folder by this process; the system lets go of it when the process ends, however it ends.

    Raises:
        RunError: another process has it (named with its host), or the file system has no locks.
    """

    def __init__(self, path: Path) -> None:
        with writing(path.parent):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._acquire(path)
        except BaseException:
            os.close(self._descriptor)
            raise
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)

    def _acquire(self, path: Path) -> None:
        if sys.platform == "win32":
            return
        try:
            free = any(_try_lock(self._descriptor, last=attempt == _TRIES - 1) for attempt in range(_TRIES))
        except OSError as error:
            raise RunError(
                f"the run folder {path.parent} cannot be locked: {error.strerror}",
                "choose a folder on a local disk with --work-dir",
            ) from error
        if not free:
            holder = _holder(self._descriptor)
            raise RunError(
                f"the run folder {path.parent} is in use by {holder}",
                "wait until that is done, stop it, or choose another folder with --work-dir",
            )

    def release(self) -> None:
        """Let others have the folder."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
