"""What a stranger may plant in a folder of ours, and a folder elsewhere that must stay as it is."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

SECRET = "canary-that-nobody-may-see"


class Canary:
    """A folder elsewhere, with files that no command may read, change or delete.

    Args:
        folder: made here, with a file of each kind that a run or a batch has.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for name in ("00000000.png", "0.0.npy", "0.npz", f"{0:020d}-1.json", "jobs.json", "lock", ".a.part.png"):
            (folder / name).write_text(SECRET)
        (folder / "secret.txt").write_text(json.dumps({"kind": SECRET, "jobs": [{"name": SECRET}], "text": SECRET}))
        self.file = folder / "secret.txt"
        self._before = self._look()

    def is_untouched(self) -> bool:
        """True if every file has the bytes, the time and the number of names that it had, and none was added."""
        return self._look() == self._before

    def _look(self) -> dict[str, tuple[bytes, int]]:
        return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(self.folder.iterdir())}


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _linked(path: Path, canary: Canary) -> None:
    path.symlink_to(canary.folder if path.suffix == "" and path.name not in ("lock",) else canary.file)


def _huge(path: Path, canary: Canary) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def _versions(version: int) -> Callable[[Path, Canary], None]:
    def write(path: Path, canary: Canary) -> None:
        path.write_text(json.dumps({"format": version, "version": version, "jobs": [], "time": 1, "kind": "done"}))

    return write


PLANTS: dict[str, Callable[[Path, Canary], None]] = {
    "link": _linked,
    "link to a file": lambda path, canary: path.symlink_to(canary.file),
    "dangling link": lambda path, canary: path.symlink_to(canary.folder / "new"),
    "link to itself": lambda path, canary: path.symlink_to(path),
    "hard link": lambda path, canary: os.link(canary.file, path),
    "FIFO": lambda path, canary: os.mkfifo(path),
    "folder": lambda path, canary: path.mkdir(),
    "garbage": lambda path, canary: path.write_bytes(bytes(range(256)) * 16),
    "huge": _huge,
    "empty": lambda path, canary: path.touch(),
    "old version": _versions(0),
    "new version": _versions(99),
}
"""What takes the place of a file or folder, by a name for it."""


def plant(kind: str, path: Path, canary: Canary) -> None:
    """Put something in the place of a file or folder."""
    _remove(path)
    PLANTS[kind](path, canary)
