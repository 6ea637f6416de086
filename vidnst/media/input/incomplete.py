"""Recognizes files that are cut short: MP4 and QuickTime without their index, and pictures without their last part."""

from pathlib import Path
from typing import BinaryIO

from vidnst.errors import SourceError

_FIRST_BOXES = frozenset({b"ftyp", b"mdat", b"wide", b"free", b"skip", b"pnot", b"uuid", b"moov"})
_MAX_BOXES = 10_000
_HEADER_BYTES = 16
_MOST_PADDING_BYTES = 1 << 12
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_PNG = b"\x89PNG\r\n\x1a\n"


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


def cut_short(path: Path) -> SourceError:
    """Return the error for a picture that ends before its last part does."""
    return SourceError(
        f"the image {path} is incomplete: the file ends before its last part does", "copy it once more, or leave it out"
    )


def is_cut_short(path: Path) -> bool:
    """Return whether a PNG, WebP, HEIC, AVIF, GIF, AVI or Matroska file ends before its last part does.

    False for all others.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(_HEADER_BYTES)
            if head.startswith(b"RIFF") and head[8:12] in (b"WEBP", b"AVI "):
                return 8 + int.from_bytes(head[4:8], "little") > size
            if head.startswith(b"GIF8"):
                file.seek(max(0, size - _MOST_PADDING_BYTES))
                return not file.read().rstrip(b"\0").endswith(b";")
            if head.startswith(_EBML):
                return _matroska_end(file) > size
            if head.startswith(_PNG):
                return _lacks_part(file, size, start=len(_PNG), extra=12, last=b"IEND")
            return head[4:8] == b"ftyp" and _lacks_part(file, size, start=0, extra=0)
    except OSError:
        return False


def _matroska_end(file: BinaryIO) -> int:
    """Return the offset at which the segment of a Matroska file ends (RFC 8794); 0 if that is not known."""
    file.seek(len(_EBML))
    head_length = _read_length(file)
    if head_length is None:
        return 0
    file.seek(head_length, 1)
    length = _read_length(file) if file.read(len(_SEGMENT)) == _SEGMENT else None
    return 0 if length is None else file.tell() + length


def _read_length(file: BinaryIO) -> int | None:
    """Read the length of an EBML element; None if it is unknown or damaged."""
    first = file.read(1)
    count = 9 - first[0].bit_length() if first else 9
    rest = file.read(count - 1)
    if count > 8 or len(rest) != count - 1:
        return None
    bits = 7 * count
    length = int.from_bytes(first + rest, "big") & ((1 << bits) - 1)
    return None if length == (1 << bits) - 1 else length


def _lacks_part(file: BinaryIO, size: int, *, start: int, extra: int, last: bytes = b"") -> bool:
    """Return whether the parts of a file, each with a length of four bytes and a name, reach behind its end.

    Args:
        start: offset of the first part.
        extra: bytes of a part that its length does not count.
        last: name of the part with which the file must end; empty for any.
    """
    at, name = start, b""
    for _ in range(_MAX_BOXES):
        if at >= size:
            break
        file.seek(at)
        header = file.read(_HEADER_BYTES)
        length, name = int.from_bytes(header[:4], "big"), header[4:8]
        if name == last:
            return False
        if length == 1 and not last:
            length = int.from_bytes(header[8:16], "big")
        if length == 0 and not last:  # up to the end of the file
            return False
        at += max(length + extra, 8)
    return at > size or bool(last)
