"""Finished PNG files as a stream of bytes for ffmpeg: plain at a constant rate, else in Matroska with their times."""

import struct
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from fractions import Fraction
from functools import partial
from pathlib import Path

from vidnst.errors import OutputError
from vidnst.media.images import encode_png, read_image
from vidnst.parallel import ordered_results, thread_count

TICKS_PER_SECOND = 1_000_000
"""Clock of the Matroska stream."""

_PIXEL_BYTES = 40
"""Memory for each pixel of a deep picture on its way to a shallow one."""
_ROOM_BYTES = 1 << 29
"""For pictures that are made ready ahead."""

_PNG_DEPTH = 24  # where a PNG file says its bits per channel
_PNG = b"\x89PNG\r\n\x1a\n"
_ANY_LENGTH = b"\x01" + b"\xff" * 7


def read_png_frames(
    paths: Sequence[Path], size: tuple[int, int], *, shallow: bool = False
) -> Generator[bytes, None, None]:
    """The files' bytes one after the other, as the `image2pipe` demuxer takes them.

    Files are read, and pictures made shallow, side by side in threads, somewhat ahead of what is asked for.

    Args:
        paths: of the files. Each is asked for in one of those threads, so a sequence may let them wait for a file that
            is still to come: those before it are given meanwhile.
        size: width and height that each must have; ffmpeg would scale the others without a word.
        shallow: make 16-bit pictures 8-bit ones, rounded; ffmpeg's own way brightens them by half a level.

    Raises:
        OutputError: a file is missing, no PNG, or of another size.
    """

    def piece(place: int) -> bytes:
        path = paths[place]
        data = _png(path, size)
        deep = data[_PNG_DEPTH] == 16
        return encode_png(read_image(path, bits=8)) if deep and shallow else data

    threads = thread_count(size[0] * size[1] * _PIXEL_BYTES, _ROOM_BYTES)
    with (
        ThreadPoolExecutor(threads) as pool,
        closing(ordered_results((partial(piece, place) for place in range(len(paths))), pool, ahead=threads)) as found,
    ):
        yield from found


def to_matroska(
    frames: Iterable[bytes],
    size: tuple[int, int],
    *,
    pts_seconds: Sequence[Fraction],
    last_duration_seconds: Fraction,
) -> Iterator[bytes]:
    """PNG pictures as a Matroska stream in which each has its own time stamp and duration, to a microsecond."""
    ticks = [round((at - pts_seconds[0]) * TICKS_PER_SECOND) for at in pts_seconds]
    ends = [*ticks[1:], ticks[-1] + round(last_duration_seconds * TICKS_PER_SECOND)]
    yield _header(*size)
    for data, start, end in zip(frames, ticks, ends, strict=True):
        yield _cluster(start, end - start, data)


def _png(path: Path, size: tuple[int, int]) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise OutputError(
            f"the finished frame {path} cannot be read: {error.strerror or error}", "resume to render it again"
        ) from error
    if not data.startswith(_PNG) or len(data) <= _PNG_DEPTH:
        raise OutputError(f"the finished frame {path} is no PNG picture", "remove it and resume to render it again")
    found = struct.unpack(">II", data[16:24])
    if found != size:
        raise OutputError(
            f"the finished frame {path} has {found[0]}x{found[1]} pixels, not {size[0]}x{size[1]}",
            "remove it and resume to render it again",
        )
    return data


def _element(identity: str, payload: bytes) -> bytes:
    """An EBML element: identity, length in eight bytes, payload (RFC 8794)."""
    return bytes.fromhex(identity) + (len(payload) | 1 << 56).to_bytes(8, "big") + payload


def _number(value: int) -> bytes:
    return value.to_bytes(8, "big")


def _header(width: int, height: int) -> bytes:
    """EBML header, an endless segment, its clock, and one track of PNG pictures (RFC 9559)."""
    ebml = _element("4282", b"matroska") + _element("4287", _number(4)) + _element("4285", _number(2))
    clock = _element("2AD7B1", _number(1_000_000_000 // TICKS_PER_SECOND))
    # PNG has no identity of its own in Matroska: it goes by the code that it has in AVI.
    bitmap = struct.pack("<IiiHH4sIiiII", 40, width, height, 1, 24, b"MPNG", 0, 0, 0, 0, 0)
    track = _element("D7", _number(1)) + _element("73C5", _number(1)) + _element("83", _number(1))
    track += _element("86", b"V_MS/VFW/FOURCC") + _element("63A2", bitmap)
    track += _element("E0", _element("B0", _number(width)) + _element("BA", _number(height)))
    segment = bytes.fromhex("18538067") + _ANY_LENGTH
    return (
        _element("1A45DFA3", ebml) + segment + _element("1549A966", clock) + _element("1654AE6B", _element("AE", track))
    )


def _cluster(start: int, duration: int, data: bytes) -> bytes:
    """One frame: a cluster that starts with it, so that its own offset is nought."""
    block = b"\x81\x00\x00\x00" + data  # track 1, offset 0, no flags
    group = _element("A0", _element("A1", block) + _element("9B", _number(duration)))
    return _element("1F43B675", _element("E7", _number(start)) + group)
