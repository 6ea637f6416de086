"""Recognizes MP4 and QuickTime files whose index was never written, or lies behind the end of the file."""

from pathlib import Path

_FIRST_BOXES = frozenset({b"ftyp", b"mdat", b"wide", b"free", b"skip", b"pnot", b"uuid", b"moov"})
_MAX_BOXES = 10_000
_HEADER_BYTES = 16


def is_incomplete(path: Path) -> bool:
    """Return whether a file is MP4 or QuickTime, and its index (`moov`) is missing or cut off.

    Cameras write the index when the recording ends.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            at = 0
            for number in range(_MAX_BOXES):
                file.seek(at)
                header = file.read(_HEADER_BYTES)
                name = header[4:8]
                if number == 0 and name not in _FIRST_BOXES:
                    return False
                if len(header) < 8:
                    return True  # the end of the file, and no index
                length = int.from_bytes(header[:4], "big")
                if length == 1:
                    length = int.from_bytes(header[8:16], "big")
                if name == b"moov":
                    return at + length > size
                if length < 8:  # 0: up to the end of the file
                    return True
                at += length
    except OSError:
        pass
    return False
