"""Decoded pictures, as `stream_decoder` sends them, to RGB with 8 or 16 bits over a background, and to their alpha."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from vidnst.frames import AlphaPlane, HdrInfo, Pixels, Rgb, from_float, to_float
from vidnst.media.input.alpha import alpha_bits, over_background, row_blocks
from vidnst.media.input.colour_names import MATRICES
from vidnst.media.input.hdr import to_sdr
from vidnst.media.input.limits import MAX_PIXELS
from vidnst.media.input.yuv import LUMA_SHARES, rgb_from_yuv

_WIDE_PRIMARIES = 9  # BT.2020
_MAX_PADDING_BYTES = 4096
"""Most bytes at the end of a row that are no pixels."""


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """What a decoded picture is like, as its decoder describes it."""

    is_yuv: bool
    """True for planes of YUV 4:4:4 with 16 bits, then alpha as stored; False for packed RGB or RGBA."""
    width: int
    height: int
    bits: int
    """Bits per channel in the file, 8 to 16."""
    has_alpha: bool
    matrix: int
    """Code points of ITU-T H.273."""
    primaries: int
    full_range: bool
    line_bytes: tuple[int, ...]
    """Length of a row in each plane, with padding."""

    @classmethod
    def parse(cls, answer: Mapping[str, Any]) -> Self:
        """Parse a decoder's answer.

        Raises:
            ValueError, KeyError, TypeError: it makes no sense.
        """
        width, height, lines = int(answer["width"]), int(answer["height"]), tuple(map(int, answer["line_bytes"]))
        if not (0 < width * height <= MAX_PIXELS and all(0 < line <= 8 * width + _MAX_PADDING_BYTES for line in lines)):
            raise ValueError("a picture that is too large")
        return cls(
            is_yuv=answer["kind"] == "yuv",
            width=width,
            height=height,
            bits=int(answer["bits"]),
            has_alpha=bool(answer["alpha"]),
            matrix=int(answer["matrix"]),
            primaries=int(answer["primaries"]),
            full_range=bool(answer["full_range"]),
            line_bytes=lines,
        )

    @property
    def kind(self) -> type[np.uint8] | type[np.uint16]:
        """The type of its pixels."""
        return np.uint16 if self.bits > 8 else np.uint8


def rgb_pixels(header: PictureHeader, planes: Sequence[bytes], background: Rgb, hdr: HdrInfo | None = None) -> Pixels:
    """Convert a picture to `(H, W, 3)` sRGB over a background: uint16 above 8 bits and for HDR, else uint8.

    Args:
        hdr: what makes it HDR, so that it is tone-mapped; None for SDR.
    """
    if header.is_yuv:
        pixels = _from_yuv(header, planes, hdr)
        alpha = _stored_alpha(header, 3, planes[3]) if header.has_alpha else None
    else:
        packed = _packed(header, planes[0])
        pixels = cast(Pixels, np.ascontiguousarray(packed[..., :3]))
        pixels = pixels if hdr is None else _tone_mapped(pixels, hdr)
        alpha = cast(AlphaPlane, packed[..., 3]) if header.has_alpha else None
    if alpha is None:
        return pixels
    return over_background(pixels, alpha_bits(alpha, pixels.itemsize * 8), background)


def alpha_plane(header: PictureHeader, planes: Sequence[bytes]) -> AlphaPlane:
    """Return `(H, W)` alpha, for which alone the decoder was asked: uint16 if it has more than 8 bits, else uint8."""
    if header.is_yuv:
        return _stored_alpha(header, 0, planes[0])
    return cast(AlphaPlane, np.ascontiguousarray(_packed(header, planes[0])[..., 3]))


def _tone_mapped(pixels: Pixels, hdr: HdrInfo) -> Pixels:
    result = np.empty(pixels.shape, np.uint16)
    for rows in row_blocks(len(pixels)):
        result[rows] = from_float(to_sdr(to_float(pixels[rows]), hdr), 16)
    return result


def _from_yuv(header: PictureHeader, planes: Sequence[bytes], hdr: HdrInfo | None) -> Pixels:
    name = MATRICES.get(header.matrix, "")
    if name not in LUMA_SHARES:  # untagged: as OpenCV does, but for what must be BT.2020
        name = "bt2020nc" if header.primaries == _WIDE_PRIMARIES or hdr is not None else "smpte170m"
    stored = np.stack([_samples(header, number, planes[number], np.uint16) for number in range(3)])
    bits = 16 if header.bits > 8 or hdr is not None else 8
    kind = np.uint16 if bits == 16 else np.uint8
    result: NDArray[Any] = np.empty((header.height, header.width, 3), kind)
    for rows in row_blocks(header.height):
        rgb = rgb_from_yuv(stored[:, rows], name, full_range=header.full_range, bits=header.bits)
        result[rows] = from_float(rgb if hdr is None else to_sdr(rgb, hdr), bits)
    return cast(Pixels, result)


def _packed(header: PictureHeader, plane: bytes) -> NDArray[Any]:
    channels = 4 if header.has_alpha else 3
    samples = _samples(header, 0, plane, header.kind, channels=channels)
    return samples.reshape(header.height, header.width, channels)


def _stored_alpha(header: PictureHeader, number: int, plane: bytes) -> AlphaPlane:
    stored = _samples(header, number, plane, header.kind)
    if header.bits in (8, 16):
        return cast(AlphaPlane, stored)
    largest = (1 << header.bits) - 1
    levels = (np.minimum(stored, largest).astype(np.uint32) * 65535 + largest // 2) // largest
    return cast(AlphaPlane, levels.astype(np.uint16))


def _samples(
    header: PictureHeader, number: int, plane: bytes, kind: type[np.uint8] | type[np.uint16], *, channels: int = 1
) -> NDArray[Any]:
    """Return the samples of a plane without the padding at the end of its rows."""
    rows: NDArray[Any] = np.frombuffer(plane, np.uint8).reshape(header.height, header.line_bytes[number])
    return np.ascontiguousarray(rows[:, : header.width * channels * np.dtype(kind).itemsize]).view(kind)
