"""AVIF files put together box by box: tile grids and rotations, which no encoder at hand writes."""

import struct
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from support import media


def encode_tile(folder: Path, pixels: media.Picture, *, ten_bits: bool = False) -> tuple[bytes, bytes]:
    """Encode a tile as AV1; return its data and the body of its `av1C` box."""
    source, file = folder / "tile.png", folder / "tile.avif"
    if ten_bits:
        media.write_picture(source, pixels)
        av1 = ("-c:v", "libaom-av1", "-still-picture", "1", "-cpu-used", "8", "-crf", "5", "-pix_fmt", "yuv444p10le")
        media.run_ffmpeg("-i", source, *av1, file)
    else:
        Image.fromarray(pixels).save(file, "AVIF", quality=95, subsampling="4:4:4", speed=10)
    data = file.read_bytes()
    return _body(data, b"mdat"), _body(data, b"av1C")


def _body(data: bytes, kind: bytes) -> bytes:
    at = data.index(kind)
    return data[at + 4 : at - 4 + int.from_bytes(data[at - 4 : at], "big")]


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", len(body) + 8) + kind + body


def _full(kind: bytes, *parts: bytes, version: int = 0) -> bytes:
    return _box(kind, struct.pack(">I", version << 24), *parts)


def _size(width: int, height: int) -> bytes:
    return _full(b"ispe", struct.pack(">II", width, height))


def write_grid(
    path: Path,
    tiles: Sequence[tuple[bytes, bytes]],
    *,
    columns: int,
    tile_size: tuple[int, int],
    size: tuple[int, int],
    quarter_turns: int = 0,
    ten_bits: bool = False,
) -> Path:
    """Write a grid of tiles.

    Args:
        tiles: data and configurations, row by row.
        size: width and height of the picture, before it is turned.
        quarter_turns: counterclockwise, of the picture.
    """
    count, rows = len(tiles), len(tiles) // columns
    grid = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, *size)
    blobs = [grid, *(data for data, _ in tiles)]
    ids = range(1, count + 2)  # the grid is item 1
    depth = _full(b"pixi", bytes([3, *[10 if ten_bits else 8] * 3]))
    properties = [
        _size(*tile_size),
        _box(b"av1C", tiles[0][1]),
        depth,
        _size(*size),
        _box(b"irot", bytes([quarter_turns])),
    ]
    of_grid, of_tile = bytes([3, 4, 3, 0x80 | 5]), bytes([3, 1, 0x80 | 2, 3])
    entries = b"".join(struct.pack(">H", number) + (of_grid if number == 1 else of_tile) for number in ids)
    kinds = [
        _full(b"infe", struct.pack(">HH", number, 0), b"grid" if number == 1 else b"av01", b"\0", version=2)
        for number in ids
    ]

    def meta(offset: int) -> bytes:
        places, at = b"", offset
        for number, blob in zip(ids, blobs, strict=True):
            places += struct.pack(">HHHII", number, 0, 1, at, len(blob))
            at += len(blob)
        return _full(
            b"meta",
            _full(b"hdlr", bytes(4), b"pict", bytes(13)),
            _full(b"pitm", struct.pack(">H", 1)),
            _full(b"iloc", b"\x44\x00", struct.pack(">H", len(blobs)), places),
            _full(b"iinf", struct.pack(">H", len(blobs)), *kinds),
            _full(b"iref", _box(b"dimg", struct.pack(">HH", 1, count), struct.pack(f">{count}H", *ids[1:]))),
            _box(b"iprp", _box(b"ipco", *properties), _full(b"ipma", struct.pack(">I", len(blobs)), entries)),
        )

    head = _box(b"ftyp", b"avif", bytes(4), b"avifmif1miaf")
    start = len(head) + len(meta(0)) + 8
    path.write_bytes(head + meta(start) + _box(b"mdat", *blobs))
    return path
