"""PNG files as a byte stream for ffmpeg: concatenated at a constant rate, else in Matroska with time stamps."""

import struct
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Literal

from vidnst.errors import OutputError
from vidnst.frames import WHITE, AlphaPlane, Pixels, Rgb
from vidnst.media.images import encode_png, read_image
from vidnst.media.input.alpha import AlphaPlanes, alpha_bits, uncovered
from vidnst.processes.parallel import ordered_results, thread_count

TICKS_PER_SECOND = 1_000_000
"""Clock of the Matroska stream."""

_PIXEL_BYTES = 40
"""Memory per pixel for the conversion of a 16-bit image to 8 bits."""
_MEMORY_BYTES = 1 << 29
"""Most memory of all conversions in parallel."""

_PNG_DEPTH_OFFSET = 24  # offset of the bit depth in a PNG file
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_UNKNOWN_LENGTH = b"\x01" + b"\xff" * 7


def read_png_frames(
    paths: Sequence[Path],
    size: tuple[int, int],
    *,
    to_8_bits: bool = False,
    alpha: AlphaPlanes | None = None,
    background: Rgb = WHITE,
    convert: Callable[[Pixels], Pixels] | None = None,
) -> Generator[bytes, None, None]:
    """Yield the bytes of PNG files in order, as for the `image2pipe` demuxer, prefetched in threads.

    Args:
        paths: the files. Each is requested in one of the threads, so a sequence may block for a file that is not
            written yet, while those before it are yielded.
        size: width and height that each must have; ffmpeg would silently scale others.
        to_8_bits: convert 16-bit images to 8 bits, rounded; ffmpeg's conversion brightens them by half a level.
        alpha: the alpha of the frames, which is added; None adds none.
        background: the colour that lies under transparent pixels of the files.
        convert: maps the pixels of each frame to 16 bits, such as to HDR; not together with alpha.

    Raises:
        OutputError: a file is missing, not a PNG, or of another size.
    """

    def read(position: int, plane: AlphaPlane | None) -> bytes:
        path = paths[position]
        data = _png(path, size)
        bits: Literal[8, 16] = 16 if data[_PNG_DEPTH_OFFSET] == 16 and not to_8_bits else 8
        if convert is not None:
            return encode_png(convert(read_image(path)), bits=16)
        if plane is not None:
            plane = alpha_bits(plane, bits)
            return encode_png(uncovered(read_image(path, bits=bits), plane, background), bits=bits, alpha=plane)
        return encode_png(read_image(path, bits=8)) if data[_PNG_DEPTH_OFFSET] == 16 and to_8_bits else data

    threads = thread_count(size[0] * size[1] * _PIXEL_BYTES, _MEMORY_BYTES)
    planes = alpha() if alpha else _no_planes()
    tasks = (partial(read, position, next(planes)) for position in range(len(paths)))
    with (
        closing(planes),
        ThreadPoolExecutor(threads) as pool,
        closing(ordered_results(tasks, pool, ahead=threads)) as chunks,
    ):
        yield from chunks


def _no_planes() -> Generator[None, None, None]:
    while True:
        yield None


def to_matroska(
    frames: Iterable[bytes],
    size: tuple[int, int],
    pts_seconds: Sequence[Fraction],
    last_duration_seconds: Fraction,
) -> Iterator[bytes]:
    """Mux PNG images into a Matroska stream with a time stamp and duration for each, to a microsecond."""
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
    if not data.startswith(_PNG_SIGNATURE) or len(data) <= _PNG_DEPTH_OFFSET:
        raise OutputError(f"the finished frame {path} is not a PNG image", "remove it and resume to render it again")
    width, height = struct.unpack(">II", data[16:24])
    if (width, height) != size:
        raise OutputError(
            f"the finished frame {path} has {width}x{height} pixels, not {size[0]}x{size[1]}",
            "remove it and resume to render it again",
        )
    return data


def _element(element_id: str, payload: bytes) -> bytes:
    """Return an EBML element: ID, length in eight bytes, payload (RFC 8794)."""
    return bytes.fromhex(element_id) + (len(payload) | 1 << 56).to_bytes(8, "big") + payload


def _number(value: int) -> bytes:
    return value.to_bytes(8, "big")


def _header(width: int, height: int) -> bytes:
    """Return an EBML header, a segment of unknown length, its clock, and one track of PNG images (RFC 9559)."""
    ebml = _element("4282", b"matroska") + _element("4287", _number(4)) + _element("4285", _number(2))
    clock = _element("2AD7B1", _number(1_000_000_000 // TICKS_PER_SECOND))
    # Matroska has no codec ID for PNG: it is declared by its FourCC in AVI.
    bitmap = struct.pack("<IiiHH4sIiiII", 40, width, height, 1, 24, b"MPNG", 0, 0, 0, 0, 0)
    track = _element("D7", _number(1)) + _element("73C5", _number(1)) + _element("83", _number(1))
    track += _element("86", b"V_MS/VFW/FOURCC") + _element("63A2", bitmap)
    track += _element("E0", _element("B0", _number(width)) + _element("BA", _number(height)))
    segment = bytes.fromhex("18538067") + _UNKNOWN_LENGTH
    return (
        _element("1A45DFA3", ebml) + segment + _element("1549A966", clock) + _element("1654AE6B", _element("AE", track))
    )


def _cluster(start: int, duration: int, data: bytes) -> bytes:
    """Return one frame as a cluster that starts at its time, so that the frame's offset is 0."""
    block = b"\x81\x00\x00\x00" + data  # track 1, offset 0, no flags
    group = _element("A0", _element("A1", block) + _element("9B", _number(duration)))
    return _element("1F43B675", _element("E7", _number(start)) + group)
