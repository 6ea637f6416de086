"""Paths for libraries that take only UTF-8: OpenCV ends the process at another name, torch refuses to open it."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from vidnst.errors import VidnstError

_PLAIN_SUFFIX_CHARACTERS = 16


@contextmanager
def utf8_path(path: Path) -> Iterator[str]:
    """Yield an absolute path to a file that is valid UTF-8: its own, or that of a link that exists meanwhile.

    A file that stays open may still be read after the link has gone. The link keeps a plain suffix, by which libraries
    choose formats.

    Raises:
        OSError: no link can be made.
    """
    own = str(path.absolute())
    if is_utf8(own):
        yield own
        return
    with tempfile.TemporaryDirectory(prefix="vidnst-") as folder:
        if not is_utf8(folder):
            raise OSError(errno.EILSEQ, "neither it nor the folder of temporary files (TMPDIR) has a UTF-8 name", own)
        link = os.path.join(folder, f"link{_plain_suffix(path)}")
        os.symlink(own, link)
        yield link


@contextmanager
def linked(path: Path, error: type[VidnstError]) -> Iterator[str]:
    """Yield the path of `utf8_path`; a link that cannot be made is an error of the given kind.

    Raises:
        VidnstError: no link can be made.
    """
    with ExitStack() as stack:
        try:
            name = stack.enter_context(utf8_path(path))
        except OSError as reason:
            raise error(f"{path} cannot be opened: {reason.strerror or reason}", "rename the file") from reason
        yield name


def is_utf8(text: str) -> bool:
    """Return whether a text has no bytes of a name that are not UTF-8, which Python keeps as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _plain_suffix(path: Path) -> str:
    suffix = path.suffix
    plain = suffix.isascii() and suffix[1:].isalnum() and len(suffix) <= _PLAIN_SUFFIX_CHARACTERS
    return suffix if plain else ""
