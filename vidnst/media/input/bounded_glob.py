"""Globs with bounds: one from a stranger's file must not walk through all disks, nor along links in circles."""

import fnmatch
import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from vidnst.errors import SourceError

MAX_ENTRIES = 1_000_000
"""Files and folders that one glob may look at."""
MAX_DEPTH = 16
"""Folders below each other that `**` enters."""


def bounded_glob(root: Path, pattern: Path, *, max_entries: int = MAX_ENTRIES) -> Iterator[Path]:
    """Yield the paths that match a pattern, in no order; hidden names only where the pattern names the dot.

    `**` as a whole part stands for any folders, 16 below each other at most, and follows no links. Parts that exist
    are taken literally.

    Args:
        root: the folder that a relative pattern starts from.
        pattern: with `*`, `?`, `[...]` and `**`.
        max_entries: files and folders that are looked at.

    Raises:
        SourceError: the pattern would look at more.
    """
    whole = root / pattern
    yield from _Walk(str(pattern), max_entries).expand(Path(whole.anchor or "."), whole.parts[bool(whole.anchor) :])


def name_fits(name: str, pattern: str) -> bool:
    """True if a name fits a part of a pattern; a hidden name only where the pattern names the dot."""
    fits = fnmatch.fnmatchcase(os.path.normcase(name), os.path.normcase(pattern))
    return fits and (pattern.startswith(".") or not name.startswith("."))


class _Walk:
    def __init__(self, pattern: str, max_entries: int) -> None:
        self._pattern = pattern
        self._max = max_entries
        self._seen = 0

    def expand(self, folder: Path, parts: Sequence[str]) -> Iterator[Path]:
        if not parts:
            yield folder
            return
        part, *rest = parts
        if os.path.lexists(folder / part):
            yield from self.expand(folder / part, rest)
        elif part == "**":
            yield from dict.fromkeys(path for below in self._below(folder) for path in self.expand(below, rest or "*"))
        elif glob.has_magic(part):
            for entry in self._entries(folder):
                if name_fits(entry.name, part):
                    yield from self.expand(folder / entry.name, rest)

    def _below(self, folder: Path, depth: int = 0) -> Iterator[Path]:
        yield folder
        if depth < MAX_DEPTH:
            for entry in self._entries(folder):
                if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                    yield from self._below(folder / entry.name, depth + 1)

    def _entries(self, folder: Path) -> list["os.DirEntry[str]"]:
        """The entries of a folder; none if it is no folder, or cannot be read."""
        found: list[os.DirEntry[str]] = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    self._seen += 1
                    if self._seen > self._max:
                        raise SourceError(
                            f"the pattern {self._pattern[:200]!r} looks at more than {self._max} files",
                            "name a folder nearer to the files",
                        )
                    found.append(entry)
        except OSError:
            return []
        return found
