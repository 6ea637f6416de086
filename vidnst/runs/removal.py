"""Deletes what a run or a batch has made in its folder; nothing else deletes there.

Only files with names that a run or batch gives are deleted, links are not followed, and folders that are links are
refused. What somebody else put there stays, and so does the folder that it is in.
"""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from vidnst.files.atomic_write import translate_os_errors
from vidnst.files.part_files import is_part_name, remove_part
from vidnst.runs.layout import FOLDERS, LOCK, MASKS, RECORDS, RunLayout
from vidnst.runs.safe_files import check_folder

_MADE = re.compile(r"[0-9]{8,12}\.png|[0-9]{1,12}\.npz|([0-9]{1,12}|network|sound[0-9]{1,4})\.[0-9]{1,12}\.npy")
"""Names of frames and masks, of what a pass over frames keeps of a shot, and of the states of nodes."""


def clear(folder: Path) -> None:
    """Remove a run, its records first, so that what a kill leaves is no run.

    Raises:
        RunError: a folder in it is a link.
        OutputError: something cannot be deleted.
    """
    for name in FOLDERS:
        check_folder(folder / name)
    with translate_os_errors(folder):
        for name in RECORDS:
            (folder / name).unlink(missing_ok=True)
        for name in FOLDERS:
            remove_images(folder / name)


def remove_run(folder: Path) -> None:
    """Remove a run with its folder, which stays if foreign files are in it. Raises as `clear`."""
    clear(folder)
    with suppress(OSError):
        (folder / LOCK).unlink(missing_ok=True)
        folder.rmdir()


def remove_images(folder: Path) -> None:
    """Remove a folder of images, states or masks: what a run has made in it, and itself if nothing else is left.

    Raises:
        RunError: it is a link.
        OSError: something cannot be deleted.
    """
    check_folder(folder)
    if not folder.is_dir():
        return
    for entry in list(os.scandir(folder)):
        path = Path(entry.path)
        if is_part_name(entry.name):
            remove_part(path)
        elif not entry.is_dir(follow_symlinks=False):
            if _MADE.fullmatch(entry.name):
                path.unlink(missing_ok=True)
        elif folder.name == MASKS:
            remove_images(path)
    with suppress(OSError):  # foreign files stay
        folder.rmdir()


def remove_all_images(folder: Path) -> None:
    """Remove the images, states and masks of a run as far as possible; what cannot be deleted stays."""
    for name in FOLDERS:
        with suppress(Exception):
            remove_images(folder / name)


def remove_states(folder: Path, names: Iterable[str]) -> None:
    """Delete states by their names in a run folder. Raises OSError."""
    for name in names:
        (RunLayout(folder).states / name).unlink(missing_ok=True)


def remove_finished(folder: Path, frames: Iterable[int]) -> None:
    """Delete all finished images of a run, and the filtered source images of some frames. Raises OSError, RunError."""
    layout = RunLayout(folder)
    remove_images(layout.finished)
    check_folder(layout.folder / "before")
    for index in frames:
        layout.frame(index, "before").unlink(missing_ok=True)


def remove_command(path: Path) -> None:
    """Delete a command that a batch has carried out, if possible."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
