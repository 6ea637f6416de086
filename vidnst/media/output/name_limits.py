"""Lengths of names: an output and what is written next to it must fit into the limits of the file system."""

import os
from contextlib import suppress
from pathlib import Path

from vidnst.errors import OutputError

_FOLDER_BYTES = 80
"""Room for longer names next to the output, and for the paths in a run folder."""
_USUAL_LIMITS = {"PC_NAME_MAX": 255, "PC_PATH_MAX": 4096}


def check_name_length(output: Path) -> None:
    """Make sure that an output's name is short enough, and its path leaves room for what is written next to it.

    Names of temporary files and of the run folder need no room: they are cut where they get too long.

    Raises:
        OutputError: it does not.
    """
    parent = output.absolute().parent
    name_bytes, path_bytes = len(os.fsencode(output.name)), len(os.fsencode(output.absolute()))
    longest = _limit(parent, "PC_NAME_MAX")
    if name_bytes > longest:
        raise OutputError(
            f"the output's name {output.name[:40]}... is {name_bytes} bytes long", f"choose one of up to {longest}"
        )
    longest = _limit(parent, "PC_PATH_MAX") - _FOLDER_BYTES
    if path_bytes > longest:
        raise OutputError(
            f"the output's path {str(output)[:40]}... is {path_bytes} bytes long", f"choose one of up to {longest}"
        )


def _limit(folder: Path, name: str) -> int:
    with suppress(OSError, ValueError, AttributeError):  # no such folder; unknown to this system
        return os.pathconf(folder, name)
    return _USUAL_LIMITS[name]
