"""Lengths of names: what is written next to an output is called after it, so its own name must leave room."""

import os
from contextlib import suppress
from pathlib import Path

from vidnst.errors import OutputError

_ADDED_BYTES = 14
"""Most bytes that a name next to the output is longer than the output's: `.NAME.part.palette.png` for `NAME.gif`."""
_FOLDER_BYTES = 64
"""Room for the paths in a run folder."""
_USUAL_LIMITS = {"PC_NAME_MAX": 255, "PC_PATH_MAX": 4096}


def check_name_length(output: Path) -> None:
    """Make sure that an output's name leaves room for the names of temporary files and the run folder next to it.

    Raises:
        OutputError: it does not.
    """
    parent = output.absolute().parent
    name_bytes, path_bytes = len(os.fsencode(output.name)), len(os.fsencode(output.absolute()))
    longest = _limit(parent, "PC_NAME_MAX") - _ADDED_BYTES
    if name_bytes > longest:
        raise OutputError(
            f"the output's name {output.name[:40]}... is {name_bytes} bytes long", f"choose one of up to {longest}"
        )
    longest = _limit(parent, "PC_PATH_MAX") - _FOLDER_BYTES - _ADDED_BYTES
    if path_bytes > longest:
        raise OutputError(
            f"the output's path {str(output)[:40]}... is {path_bytes} bytes long", f"choose one of up to {longest}"
        )


def _limit(folder: Path, name: str) -> int:
    with suppress(OSError, ValueError, AttributeError):  # no such folder; unknown to this system
        return os.pathconf(folder, name)
    return _USUAL_LIMITS[name]
