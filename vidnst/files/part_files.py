"""Temporary names of files and folders that are being written: made fresh, and removed if a killed process left them.

A name is `.NAME.RANDOM.part` with the suffix of the final name, by which image writers and ffmpeg choose the format.
"""

import os
import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vidnst.files.file_names import derived_name

_ATTEMPTS = 100
_RANDOM_BYTES = 6
_PART = re.compile(r"\..+\.part(?:\.[^.]+){0,2}", re.DOTALL)
"""Also the names that earlier versions gave, without a random part, and those of palettes, with a second suffix."""
_OWN_PART = rf"\.[0-9a-f]{{{2 * _RANDOM_BYTES}}}\.part"


def new_part(path: Path) -> Path:
    """Make an empty file with a temporary name next to a file that is to be written; nothing that exists is touched.

    Raises:
        OSError: it cannot be made.
    """
    return PartMaker().file(path)


@dataclass(frozen=True, slots=True)
class PartMaker:
    """Makes the temporary files and folders of outputs."""

    folder: Path | None = None
    """Where they are made, on the file system of the output; None is next to it."""
    announce: Callable[[Path], object] = bool
    """Called with each path before anything is made there, so that it can be removed after a kill."""

    def file(self, output: Path) -> Path:
        """Make an empty file for an output. Raises OSError."""
        return self._make(output, _make_file)

    def directory(self, output: Path) -> Path:
        """Make an empty folder for an output. Raises OSError."""
        return self._make(output, Path.mkdir)

    def _make(self, output: Path, make: Callable[[Path], object]) -> Path:
        before, suffix = _around(output)
        for _ in range(_ATTEMPTS):
            name = f"{before}.{secrets.token_hex(_RANDOM_BYTES)}.part{suffix}"
            part = (self.folder or output.parent) / name
            self.announce(part)
            with suppress(FileExistsError):
                make(part)
                return part
        raise FileExistsError(f"no free name for {output}")


def can_move(folder: Path, output: Path) -> bool:
    """True if a file in a folder can be renamed to an output: a disk mounted twice looks like one, but is two."""
    probe: Path | None = None
    moved = False
    try:
        probe = PartMaker(folder).file(output)
        probe.rename(output.parent / probe.name)
        moved = True
    except OSError:
        pass
    finally:
        if probe is not None:
            remove_part(output.parent / probe.name if moved else probe)
    return moved


def is_part_name(name: str) -> bool:
    """True if a name is one that a temporary file or folder gets."""
    return _PART.fullmatch(name) is not None


def is_part_of(path: Path, output: Path) -> bool:
    """True if a path is one that a `PartMaker` may give for an output, next to it."""
    before, suffix = _around(output)
    name = re.escape(before) + _OWN_PART + re.escape(suffix)
    return path.parent == output.parent and re.fullmatch(name, path.name, re.DOTALL) is not None


def remove_part(part: Path) -> None:
    """Delete a temporary file, or a temporary folder with the files in it; folders inside it stay, and so does it then.

    Links are deleted, and never followed. Errors are ignored: what stays is swept the next time.
    """
    with suppress(OSError):
        if part.is_symlink() or not part.is_dir():
            part.unlink(missing_ok=True)
            return
        for entry in list(os.scandir(part)):
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.path)
        part.rmdir()


def remove_parts(folder: Path, *, min_age_seconds: float = 0.0) -> None:
    """Delete the temporary files and folders that a killed process left in a folder that only vidnst writes in.

    Args:
        min_age_seconds: younger ones stay, where other processes may be writing.
    """
    for entry in list(os.scandir(folder)):
        if not is_part_name(entry.name) or entry.is_symlink():
            continue
        with suppress(OSError):
            if not min_age_seconds or time.time() - entry.stat().st_mtime > min_age_seconds:
                remove_part(Path(entry.path))


def _make_file(path: Path) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o666))


def _around(path: Path) -> tuple[str, str]:
    """What precedes and what follows the random part of a temporary name; a long name is cut and marked with a hash."""
    room = "." + "0" * 2 * _RANDOM_BYTES + ".part"
    name = derived_name(path.stem, prefix=".", suffix=f"{room}{path.suffix}")
    return name[: len(name) - len(room) - len(path.suffix)], path.suffix
