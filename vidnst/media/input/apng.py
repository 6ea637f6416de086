"""Frames of animated PNG files (PNG specification, third edition, 11.3.6), in the file's bit depth.

Each frame is made a PNG file of its own, decoded by OpenCV, and composed here: Pillow has only 8 bits, and shows the
picture for viewers without animations through the first frames.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.media.input.limits import check_frame_count, check_frame_pixels

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SHARED = frozenset({b"PLTE", b"tRNS"})
_DISPOSE_BACKGROUND, _DISPOSE_PREVIOUS = 1, 2
_BLEND_OVER = 1
_NO_DENOMINATOR = 100
"""Denominator of a delay that gives 0."""


@dataclass(frozen=True, slots=True)
class _ApngFrame:
    """A frame control chunk, and where the frame's data lies in the file."""

    x: int
    y: int
    width: int
    height: int
    seconds: Fraction
    dispose: int
    blend: int
    data: list[tuple[int, int]] = field(default_factory=list)
    """Offset and length of each piece of compressed pixels."""


class ApngFrames:
    """The composed frames of an animated PNG, each from the one before.

    Raises:
        ValueError: the file is damaged. SourceError: it has too many frames.
    """

    def __init__(self, path: Path) -> None:
        self._data = np.memmap(path, np.uint8, "r")
        self._head = b""
        self._shared = b""
        self._frames: list[_ApngFrame] = []
        self._read_chunks(str(path))
        self._canvas: NDArray[Any] | None = None
        self._restored: NDArray[Any] | None = None
        self._shown = -1

    def __len__(self) -> int:
        return len(self._frames)

    def seconds(self, index: int) -> Fraction:
        """Return the duration of a frame as the file has it; 0 is as short as possible."""
        return self._frames[index].seconds

    def decode(self, index: int) -> NDArray[Any]:
        """Decode a frame as `(H, W, 4)` RGBA, uint8 or uint16; going back decodes from the start."""
        if index >= len(self._frames):
            raise ValueError("it is missing")
        if index < self._shown:
            self._shown, self._canvas = -1, None
        while self._shown < index:
            self._show(self._shown + 1)
        assert self._canvas is not None
        return self._canvas

    def close(self) -> None:
        """Free the file and the canvas."""
        self._canvas = self._restored = None
        del self._data

    def _show(self, index: int) -> None:
        """Put a frame onto the canvas, after what the frame before wants done with its own area."""
        frame = self._frames[index]
        pixels = self._decode_alone(frame)
        if self._canvas is None:
            width, height = struct.unpack(">II", self._head[:8])
            self._canvas = np.zeros((height, width, 4), pixels.dtype)
        elif index:
            before = self._frames[index - 1]
            area = _area(before)
            if before.dispose == _DISPOSE_PREVIOUS and index > 1:
                assert self._restored is not None
                self._canvas[area] = self._restored
            elif before.dispose in (_DISPOSE_BACKGROUND, _DISPOSE_PREVIOUS):
                self._canvas[area] = 0
        place = self._canvas[_area(frame)]
        self._restored = place.copy() if frame.dispose == _DISPOSE_PREVIOUS else None
        place[...] = _blend(pixels, place) if frame.blend == _BLEND_OVER else pixels
        self._shown = index

    def _decode_alone(self, frame: _ApngFrame) -> NDArray[Any]:
        size = struct.pack(">II", frame.width, frame.height)
        body = b"".join(self._data[at : at + length].tobytes() for at, length in frame.data)
        png = _SIGNATURE + _chunk(b"IHDR", size + self._head[8:]) + self._shared
        png += _chunk(b"IDAT", body) + _chunk(b"IEND", b"")
        pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
        if pixels is None or pixels.shape[:2] != (frame.height, frame.width):
            raise ValueError("damaged pixels")
        codes = {2: cv2.COLOR_GRAY2RGBA, 3: cv2.COLOR_BGR2RGBA, 4: cv2.COLOR_BGRA2RGBA}
        return cv2.cvtColor(pixels, codes[2 if pixels.ndim == 2 else pixels.shape[2]])

    def _read_chunks(self, name: str) -> None:
        current: _ApngFrame | None = None
        for kind, at, length in self._chunks():
            if kind == b"IHDR":
                self._head = self._bytes(at, length)
                check_frame_pixels(name, *struct.unpack(">II", self._head[:8]))
            elif kind in _SHARED:
                self._shared += _chunk(kind, self._bytes(at, length))
            elif kind == b"fcTL":
                current = self._frame(self._bytes(at, length))
                self._frames.append(current)
                check_frame_count(name, len(self._frames))
            elif kind == b"IDAT" and current is not None:
                current.data.append((at, length))
            elif kind == b"fdAT" and current is not None:
                current.data.append((at + 4, length - 4))
        if len(self._head) != 13 or not all(frame.data for frame in self._frames):
            raise ValueError("missing chunks")

    def _chunks(self) -> Iterator[tuple[bytes, int, int]]:
        """Yield kind, offset and length of the chunks up to the end, which must be there."""
        at = len(_SIGNATURE)
        while at + 12 <= len(self._data):
            length, kind = struct.unpack(">I4s", self._bytes(at, 8))
            end = at + 8 + length
            if end + 4 > len(self._data):
                break
            if zlib.crc32(self._data[at + 4 : end].data) != int.from_bytes(self._bytes(end, 4), "big"):
                raise ValueError("wrong checksum")
            if kind == b"IEND":
                return
            yield kind, at + 8, length
            at = end + 4
        raise ValueError("the file is cut short")

    def _frame(self, control: bytes) -> _ApngFrame:
        _, width, height, x, y, number, denominator, dispose, blend = struct.unpack(">IIIIIHHBB", control)
        canvas_width, canvas_height = struct.unpack(">II", self._head[:8])
        if not (0 < width <= canvas_width - x and 0 < height <= canvas_height - y):
            raise ValueError("a frame is larger than the picture")
        return _ApngFrame(x, y, width, height, Fraction(number, denominator or _NO_DENOMINATOR), dispose, blend)

    def _bytes(self, at: int, length: int) -> bytes:
        return self._data[at : at + length].tobytes()


def _area(frame: _ApngFrame) -> tuple[slice, slice]:
    return slice(frame.y, frame.y + frame.height), slice(frame.x, frame.x + frame.width)


def _blend(over: NDArray[Any], under: NDArray[Any]) -> NDArray[Any]:
    """Composite RGBA pixels over others."""
    top = np.iinfo(over.dtype).max
    if (over[..., 3] == top).all():
        return over
    share, behind = over[..., 3:] / top, under[..., 3:] / top
    alpha = share + behind * (1 - share)
    colour = (over[..., :3] * share + under[..., :3] * behind * (1 - share)) / np.where(alpha, alpha, 1)
    blended: NDArray[Any] = np.rint(np.concatenate([colour, alpha * top], axis=2)).astype(over.dtype)
    return blended


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
