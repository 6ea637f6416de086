"""HEIC photographs, decoded whole by libheif: tile grids are assembled, depth maps and thumbnails left out.

ffmpeg's demuxer takes a tile of the grid for a video, so these files must not get to it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pillow_heif
from numpy.typing import NDArray

_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"mif1", b"mif2", b"miaf"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_MOST_BRANDS_BYTES = 256
_HEAD_BYTES = 1 << 16
_HDR_TRANSFERS = frozenset({16, 18})  # PQ and HLG (ITU-T H.273)


@dataclass(frozen=True, slots=True)
class HeifHeader:
    """The primary image of a HEIC file, as the header describes it."""

    width: int
    """Pixels across, upright: libheif applies the file's rotation and mirroring."""
    height: int
    """Pixels down, upright."""
    exif: bytes
    """EXIF data; empty without. Its orientation does not count in a HEIC file (ISO/IEC 23008-12)."""
    others: int
    """Number of further images in the file."""


def iso_image_brand(path: Path) -> str:
    """Return HEIF or AVIF for a still image in an ISO base media file, by its first bytes; empty for all others.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_MOST_BRANDS_BYTES)
    if head[4:8] != b"ftyp":
        return ""
    length = min(int.from_bytes(head[:4], "big"), len(head))
    major, compatible = head[8:12], {head[at : at + 4] for at in range(16, length - 3, 4)}
    if major in _AVIF_BRANDS or (major in _HEIF_BRANDS and compatible & _AVIF_BRANDS):
        return "AVIF"
    return "HEIF" if major in _HEIF_BRANDS else ""


def is_hdr(path: Path) -> bool:
    """Return whether a HEIC or AVIF file says that its light is coded as PQ or HLG.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    at = head.find(b"colrnclx")
    return at >= 0 and int.from_bytes(head[at + 10 : at + 12], "big") in _HDR_TRANSFERS


def read_heif_header(path: Path) -> HeifHeader:
    """Read the header of a HEIC file; nothing is decoded.

    Raises:
        Exception: any of a dozen types, if the file is damaged.
    """
    images = pillow_heif.open_heif(path, convert_hdr_to_8bit=False)
    image = images[images.primary_index]
    width, height = image.size
    return HeifHeader(width, height, cast(bytes, image.info.get("exif") or b""), others=len(images) - 1)


def decode_heif(path: Path) -> NDArray[Any]:
    """Decode the primary image of a HEIC file upright.

    Returns:
        `(H, W)` grey, `(H, W, 3)` RGB or `(H, W, 4)` RGBA; uint8, or uint16 if the file has more than 8 bits.

    Raises:
        Exception: as `read_heif_header`.
    """
    images = pillow_heif.open_heif(path, convert_hdr_to_8bit=False)
    image = images[images.primary_index]
    depth = cast(int, image.info["bit_depth"])
    pixels = np.asarray(image)
    if pixels.dtype != np.uint16:
        return pixels
    return widen(pixels >> np.uint16(16 - depth), depth)  # libheif's samples stand in the upper bits


def widen(samples: NDArray[np.uint16], depth: int) -> NDArray[np.uint16]:
    """Stretch samples of `depth` bits, 8 to 16, to the full range of 16 bits, rounded to nearest."""
    top = (1 << depth) - 1
    return ((samples.astype(np.uint32) * 65535 + top // 2) // top).astype(np.uint16)
