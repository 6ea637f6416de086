"""Makes sure that nothing which is read is replaced or removed by what is written.

Files are compared by their identity on the disk, so links count, and names that differ in case where the disk does not
tell them apart. Names that do not exist yet are compared, too: what one job writes, another must not read.
"""

import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TypeAlias

from vidnst.errors import OutputError
from vidnst.media.input.bounded_glob import name_fits
from vidnst.media.input.frame_numbers import NumberPattern
from vidnst.media.input.image_files import is_image

_Mark: TypeAlias = str | tuple[int, int]
"""What tells a file from others: its device and number there, or its real path where there is no file yet."""


class SparedInputs:
    """Files and folders that are read, with all folders that they lie in.

    Args:
        inputs: files, folders, or names of such; texts that are no path are ignored.
    """

    def __init__(self, inputs: Iterable[str | Path]) -> None:
        self._own: dict[_Mark, Path] = {}
        self._below: dict[_Mark, dict[str, Path]] = {}
        """By folder: the names in it on the way to inputs, and such an input."""
        self._real_folders: dict[Path, str] = {}
        self._folder_marks: dict[str, _Mark] = {}
        self._patterns: dict[_Mark, list[Path]] = {}
        """By folder: the patterns of numbers and the globs of pictures in it that are read."""
        for path in dict.fromkeys(map(Path, inputs)):
            if "\0" not in str(path):
                self._own.setdefault(self._mark(path), path)
                self._add_way(os.path.abspath(path), path)
                self._add_way(self._real(path), path)
                if not os.path.exists(path):
                    self._patterns.setdefault(self._mark(path.parent), []).append(path)

    def _add_way(self, way: str, path: Path) -> None:
        """Note the folders on an absolute way to an input."""
        while (folder := os.path.dirname(way)) != way:
            is_known = folder in self._folder_marks
            if not is_known:
                self._folder_marks[folder] = self._mark(Path(folder))
            self._below.setdefault(self._folder_marks[folder], {}).setdefault(os.path.basename(way), path)
            if is_known:
                return
            way = folder

    def _mark(self, path: Path) -> _Mark:
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            return self._real(path)
        return status.st_dev, status.st_ino

    def _real(self, path: Path) -> str:
        """The path without links; that of the folder is found once for many files."""
        if os.path.islink(path) or path.name in ("", ".."):
            return os.path.realpath(path)
        folder = path.parent
        if folder not in self._real_folders:
            self._real_folders[folder] = os.path.realpath(folder)
        return os.path.join(self._real_folders[folder], path.name)

    def check_file(self, output: Path) -> None:
        """Make sure that an output, a file or a folder that is replaced as a whole, is no input and holds none.

        Raises:
            OutputError: it is one, or it is a folder that holds one.
        """
        mark = self._mark(output)
        if mark in self._own:
            found = self._own[mark]
            raise OutputError(f"{output} is an input" + ("" if found == output else f": {found}"), _REMEDY)
        if mark in self._below:
            held = next(iter(self._below[mark].values()))
            raise OutputError(f"{output} holds {held}, which is an input", _REMEDY)

    def check_joins_none(self, output: Path) -> None:
        """Make sure that an output that is a picture does not become one more of a folder or a pattern that is read.

        Raises:
            OutputError: it would.
        """
        if not is_image(output):
            return
        folder = self._mark(output.parent)
        fitting = (pattern for pattern in self._patterns.get(folder, ()) if _fits(output.name, pattern))
        found = self._own.get(folder) or next(fitting, None)
        if found is not None:
            raise OutputError(f"{output} would become a picture of {found}, which is an input", "choose another folder")

    def check_folder(self, folder: Path, own_names: Collection[str]) -> None:
        """Make sure that no input lies among the files of ours in a folder, which are replaced and removed.

        Raises:
            OutputError: one does.
        """
        for name, path in self._below.get(self._mark(folder), {}).items():
            if name in own_names:
                raise OutputError(f"{path} is an input in {folder}, whose {name} is replaced", _REMEDY)


def _fits(name: str, pattern: Path) -> bool:
    numbers = NumberPattern.parse(pattern)
    return name_fits(name, pattern.name) if numbers is None else numbers.number(name) is not None


_REMEDY = "choose another name, or copy the input elsewhere first"


def check_spares_inputs(
    outputs: Iterable[Path],
    inputs: Iterable[str | Path],
    *,
    run_folders: Iterable[Path] = (),
    own_names: Collection[str] = (),
    joins: bool = False,
) -> None:
    """Make sure, before anything is written, that no output replaces or removes what is read.

    Args:
        outputs: files and folders that are written as a whole; they need not exist.
        inputs: files and folders that are read.
        run_folders: folders in which files of our own are written and removed.
        own_names: the names of those.
        joins: make sure, too, that no output becomes one more picture of a folder that is read.

    Raises:
        OutputError: an output is an input, by whatever link or name, holds one, or would become a picture of one.
    """
    spared = SparedInputs(inputs)
    for output in outputs:
        spared.check_file(output)
        if joins:
            spared.check_joins_none(output)
    for folder in run_folders:
        spared.check_folder(folder, own_names)
