"""What files hold, in one number that changes with any byte of them."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from vidnst.errors import SourceError

_BLOCK = 1 << 20


def fingerprint(paths: Iterable[Path]) -> str:
    """SHA-256, in hexadecimal, of the files' lengths and bytes in order; their names do not count.

    Raises:
        SourceError: a file cannot be read.
    """
    whole = hashlib.sha256()
    for path in paths:
        try:
            # Lengths keep apart what would run together: the same bytes, cut elsewhere, are other pictures.
            whole.update(path.stat().st_size.to_bytes(8, "big"))
            with path.open("rb") as file:
                while block := file.read(_BLOCK):
                    whole.update(block)
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error.strerror or error}", "check the file") from error
    return whole.hexdigest()
