"""A lock on a folder that a dead process never holds.

Readers take a shared lock for microseconds only, for which a writer waits, so watching a run never disturbs it.
"""

import fcntl
import os
import socket
import time
from pathlib import Path

from vidnst.errors import RunError
from vidnst.files.atomic_write import translate_os_errors
from vidnst.runs.safe_files import open_descriptor

_ATTEMPTS, _PAUSE_SECONDS = 5, 0.02  # `lock_holder` in another process holds the lock for some microseconds


def lock_holder(path: Path) -> str | None:
    """The process that holds the lock on `path`, in words; None if none does. Nothing is written.

    The lock is taken together with other readers for some microseconds, in which `FolderLock` waits.
    """
    try:
        descriptor = open_descriptor(path)
    except (OSError, RunError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_holder(descriptor)
    except OSError:  # a file system without locks
        return None
    finally:
        os.close(descriptor)
    return None


class FolderLock:
    """The exclusive use of a folder by this process; the system releases it when the process ends, however it ends.

    Args:
        path: the file in the folder that stands for the lock; it is made if it is missing, and names the holder.

    Raises:
        RunError: another process has it (named with its host), the file system has no locks, or the file is refused.
        OutputError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        with translate_os_errors(path.parent):
            self._descriptor = open_descriptor(path, os.O_RDWR | os.O_CREAT)
        try:
            self._acquire(path)
        except BaseException:
            os.close(self._descriptor)
            raise
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)

    def _acquire(self, path: Path) -> None:
        try:
            acquired = any(_try_lock(self._descriptor, pause=attempt > 0) for attempt in range(_ATTEMPTS))
        except OSError as error:
            raise RunError(
                f"the run folder {path.parent} cannot be locked: {error.strerror}",
                "choose a folder on a local disk with --work-dir",
            ) from error
        if not acquired:
            raise RunError(
                f"the run folder {path.parent} is in use by {_read_holder(self._descriptor)}",
                "wait until that is done, stop it, or choose another folder with --work-dir",
            )

    def release(self) -> None:
        """Let other processes have the folder."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _try_lock(descriptor: int, *, pause: bool) -> bool:
    if pause:
        time.sleep(_PAUSE_SECONDS)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_holder(descriptor: int) -> str:
    return os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"
