"""What a run folder consists of: its names, whose they are, how it is emptied."""

import shutil
from pathlib import Path

from vidnst.errors import RunError
from vidnst.runs.atomic_files import writing
from vidnst.runs.image_folder import PICTURE_FOLDERS

FOLDERS = ("state", "frames", "masks", *PICTURE_FOLDERS)
"""Where states and pictures are."""
_RECORDS = ("run.json", "plan.json", "events.jsonl", "measure.json", "report.html")
_OURS = frozenset({*_RECORDS, "lock", *FOLDERS})


def is_ours(name: str) -> bool:
    """Whether a name in a run folder is one that a run gives."""
    return name in _OURS or (name.startswith(".") and ".part" in name)


def clear(folder: Path) -> None:
    """Remove a run, its record first, so that what a kill leaves is no run."""
    with writing(folder):
        for name in _RECORDS:
            (folder / name).unlink(missing_ok=True)
        for name in FOLDERS:
            path = folder / name
            refuse_link(path)
            if path.exists():
                shutil.rmtree(path)


def refuse_link(path: Path) -> None:
    """A run folder from elsewhere must not make us delete or write outside it.

    Raises:
        RunError: it is a link.
    """
    if path.is_symlink():
        raise RunError(f"{path} is a link", "remove it, or choose another folder with --work-dir")
