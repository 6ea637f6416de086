"""The folders of a local Ray: its temporary files, in which sockets must have short paths, and where it is started."""

import os
import sys
import tempfile
from pathlib import Path

from vidnst.errors import FarmError
from vidnst.farm.ray.private_folder import NAME_LENGTH
from vidnst.files.utf8_path import is_utf8
from vidnst.formatting import printable

_LONGEST_SOCKET_BYTES = 103 if sys.platform == "darwin" else 107
"""Of a path in `sockaddr_un`, without the zero byte at its end."""
_SOCKET = f"/{'x' * NAME_LENGTH}/r/session_2000-01-01_00-00-00_000000_0000000/sockets/plasma_store"
"""What `PrivateFolder` and Ray add to the folder; process numbers have up to seven digits."""


def temporary_folder() -> Path:
    """Return the folder for the temporary files of a Ray that is started on this machine.

    As Ray does, this takes RAY_TMPDIR, else on Linux TMPDIR, else /tmp. Sockets can be opened in it, and its name and
    that of the working directory are text.

    Raises:
        FarmError: that folder's path is too long, or not UTF-8, or the working directory's is not.
    """
    working = os.getcwd()
    if not is_utf8(working):
        raise FarmError(
            f"Ray does not start here: the working directory {printable(working)} is not UTF-8",
            "run the command in another one, or render without Ray: --executor inline",
        )
    names = ("RAY_TMPDIR", "TMPDIR") if sys.platform.startswith("linux") else ("RAY_TMPDIR",)
    variable = next((name for name in names if os.environ.get(name)), None)
    if variable is None:
        return Path(_suggestion())
    if sys.platform == "win32":
        return Path(os.environ[variable])
    folder = os.path.abspath(os.environ[variable])
    longest = _LONGEST_SOCKET_BYTES - len(_SOCKET)
    if len(os.fsencode(folder)) > longest:
        problem = f"longer than the {longest} bytes that leave room for the paths of its sockets"
    elif not is_utf8(folder):
        problem = "not UTF-8"
    else:
        return Path(folder)
    raise FarmError(
        f"Ray does not start here: its folder of temporary files, {printable(folder)} by {variable}, is {problem}",
        f"set RAY_TMPDIR to another one, such as {_suggestion()}, or render without Ray: --executor inline",
    )


def _suggestion() -> str:
    return "/tmp" if os.path.isdir("/tmp") else tempfile.gettempdir()
