"""Fingerprints of files, which change with every byte."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from vidnst.errors import SourceError

_BLOCK_BYTES = 1 << 20


def fingerprint(paths: Iterable[Path]) -> str:
    """Return the SHA-256 of the files' lengths and bytes in order, in hexadecimal; their names do not count.

    Raises:
        SourceError: a file cannot be read.
    """
    digest = hashlib.sha256()
    for path in paths:
        try:
            # With lengths, the same bytes split into different files give another fingerprint.
            digest.update(path.stat().st_size.to_bytes(8, "big"))
            with path.open("rb") as file:
                while block := file.read(_BLOCK_BYTES):
                    digest.update(block)
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error.strerror or error}", "check the file") from error
    return digest.hexdigest()
