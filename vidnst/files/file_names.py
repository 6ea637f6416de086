"""Names of files and folders that are derived from other names, within the length that file systems allow."""

import hashlib
import os

MAX_NAME_BYTES = 255
"""Longest name of a file on the usual file systems."""

_MAX_PATH_BYTES = 4096
_MARK_DIGITS = 8
_RANDOM_CHARACTERS = 8  # of tempfile


def derived_name(name: str, *, prefix: str = "", suffix: str = "", max_bytes: int = MAX_NAME_BYTES) -> str:
    """Put a prefix and a suffix around a name; one that gets too long is cut, and marked with a hash of it.

    Args:
        name: the name that the new one is derived from; the same one gives the same result.
        max_bytes: longest result, in bytes of the file system's encoding.
    """
    whole = f"{prefix}{name}{suffix}"
    if _length(whole) <= max_bytes:
        return whole
    mark = "~" + hashlib.sha256(os.fsencode(name)).hexdigest()[:_MARK_DIGITS]
    room = max(0, max_bytes - _length(f"{prefix}{mark}{suffix}"))
    kept = name[:room]
    while _length(kept) > room:  # a character may take several bytes
        kept = kept[:-1]
    return f"{prefix}{kept}{mark}{suffix}"


def reason_for_no_path(text: str) -> str | None:
    """Say why a text cannot be the path of any file; None if it can."""
    if "\0" in text:
        return "it has a zero byte"
    try:
        parts = os.fsencode(text).split(b"/")
    except UnicodeEncodeError:
        return "it has a character that no file name can hold"
    if sum(map(len, parts)) + len(parts) > _MAX_PATH_BYTES:
        return f"it is longer than {_MAX_PATH_BYTES} bytes"
    return None


def part_prefix(name: str) -> str:
    """Return the prefix of a temporary folder for an output, to which `tempfile` adds random characters."""
    return derived_name(name, prefix=".", suffix=".part", max_bytes=MAX_NAME_BYTES - _RANDOM_CHARACTERS)


def _length(name: str) -> int:
    return len(os.fsencode(name))
