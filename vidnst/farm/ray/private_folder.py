"""A temporary folder that no other user can enter, with a path that is short enough for sockets."""

import os
import secrets
import shutil
import stat
import string
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from vidnst.errors import FarmError
from vidnst.formatting import printable
from vidnst.processes.abandoned_work import add_removal, drop_removal

PREFIX = "v-"
NAME_LENGTH = len(PREFIX) + 4
_ALPHABET = string.ascii_lowercase + string.digits
_ATTEMPTS = 200
_LOCK = "vidnst.lock"
_REMOVALS = 20
_HASTY_REMOVALS = 3
_PAUSE_SECONDS = 0.1


class PrivateFolder:
    """A new folder `v-????` with mode 0700, which is removed on `close`.

    It is locked while it is in use. Folders that a killed process of this user has left there unlocked are removed.

    Args:
        base: the folder to make it in; it is made, too, if it is missing.

    Raises:
        FarmError: the folder cannot be made, or others could enter or replace it.
    """

    def __init__(self, base: Path) -> None:
        try:
            base.mkdir(parents=True, exist_ok=True)
            _check_base(base)
            _remove_abandoned(base)
            self.path = _make(base)
        except OSError as error:
            raise _refused(base, error.strerror or str(error)) from error
        self._lock: int | None = None
        add_removal(self._remove_at_once)
        try:
            _check_mode(self.path)
            self._lock = _locked(self.path)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove the folder with all that is in it; processes that still end may write into it meanwhile."""
        drop_removal(self._remove_at_once)
        _remove(self.path)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _remove_at_once(self) -> None:
        _remove(self.path, attempts=_HASTY_REMOVALS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def write_secret(path: Path, text: str) -> None:
    """Write a new file that only this user can read; it never exists with other rights, and no link is followed.

    Raises:
        FarmError: there is something of this name already, or it cannot be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        with open(os.open(path, flags, 0o600), "w", encoding="ascii") as file:
            file.write(text)
    except OSError as error:
        raise _refused(path.parent, error.strerror or str(error)) from error


def _make(base: Path) -> Path:
    for _ in range(_ATTEMPTS):
        path = base / (PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(NAME_LENGTH - len(PREFIX))))
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
            return path
    raise FileExistsError(f"all names like {path.name} are taken")


def _check_base(base: Path) -> None:
    mode = base.stat().st_mode
    if os.name == "posix" and mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise _refused(base, "every user may replace what is in it; `chmod +t` forbids that")


def _check_mode(path: Path) -> None:
    facts = path.lstat()
    if os.name != "posix":
        return
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
        raise _refused(path.parent, "its file system does not keep other users out")


def _locked(folder: Path) -> int | None:
    """Lock a folder for the life of this process. The lock gets its name when it is held, so nobody sees it free."""
    if os.name != "posix":
        return None
    import fcntl

    new = folder / f"{_LOCK}.new"
    lock = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with suppress(OSError):  # without locks on this file system, the folder only outlives a killed process
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            new.rename(folder / _LOCK)
    except BaseException:
        os.close(lock)
        raise
    return lock


def _remove_abandoned(base: Path) -> None:
    if os.name != "posix":
        return
    for folder in base.glob(f"{PREFIX}{'?' * (NAME_LENGTH - len(PREFIX))}"):
        with suppress(OSError):
            if _is_abandoned(folder):
                _remove(folder)


def _remove(folder: Path, *, attempts: int = _REMOVALS) -> None:
    """Remove a folder, its lock last, so that what could not be removed is found as abandoned the next time."""
    for _ in range(attempts):
        for path in [path for path in folder.glob("*") if path.name != _LOCK]:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        if all(path.name == _LOCK for path in folder.glob("*")):
            shutil.rmtree(folder, ignore_errors=True)
            return
        time.sleep(_PAUSE_SECONDS)


def _is_abandoned(folder: Path) -> bool:
    """True if a folder is this user's alone, and its lock is there, but free."""
    import fcntl

    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
        return False
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(lock).st_mode):
            return False
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(lock)
    return True


def _refused(base: Path, reason: str) -> FarmError:
    return FarmError(
        f"Ray does not start here: no private folder can be made in {printable(str(base))}: {reason}",
        "set RAY_TMPDIR to a folder of your own, or render without Ray: --executor inline",
    )
