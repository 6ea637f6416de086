"""Image files: finding those of a source, reading them upright as RGB, and writing them atomically."""

import os
import re
import struct
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vidnst.atomic_write import write_atomically, write_bytes_atomically
from vidnst.errors import OutputError, SourceError
from vidnst.frames import Pixels, to_bits
from vidnst.media.exr import encode_exr
from vidnst.media.input.frame_numbers import NumberPattern, check_complete
from vidnst.media.input.limits import MAX_FRAMES, MAX_IMAGE_BYTES, MAX_PIXELS, check_frame_count
from vidnst.media.scene_images import SCENE_SUFFIXES, is_scene_image, read_scene_header, read_scene_image

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".tif", ".tiff", ".webp", ".bmp"}) | SCENE_SUFFIXES
"""Suffixes of image files, in lower case."""
WRITABLE_SUFFIXES = IMAGE_SUFFIXES - {".dpx"}
"""Suffixes of image files that can be written."""

_ORIENTATION = 0x0112  # EXIF tag
_ROWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """Size, orientation and format of an image file."""

    width: int
    """Pixels across, upright."""
    height: int
    """Pixels down, upright."""
    orientation: int
    """EXIF orientation, 1 to 8."""
    format: str
    """JPEG, PNG, TIFF, WEBP, ..."""


def natural_sort_key(path: Path) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """Return a sort key that puts img2 before img10: digits compare as numbers, letters case-insensitively."""
    parts = re.split(r"([0-9]+)", str(path).casefold())
    return tuple((1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts), str(path)


def is_image(path: Path) -> bool:
    """Return whether a name is that of an image; hidden files (also macOS's `._` twins) are not."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def list_images(source: str | Path, *, gaps: bool = False) -> tuple[Path, ...] | None:
    """List the images of a folder, glob, pattern (`img_%04d.png`, `img.####.exr`) or file name, in natural order.

    Other files are ignored. Returns None if the source is one file that is not an image.

    Args:
        gaps: True if numbers of a pattern may be missing.

    Raises:
        SourceError: there is no image, or a number is missing in a pattern.
    """
    try:
        path = Path(source).expanduser()
        if path.is_dir():
            images = _bounded(filter(is_image, path.iterdir()), path)
            return _not_empty(sorted(images, key=natural_sort_key), f"in the folder {path}")
        if path.exists():
            return (path,) if is_image(path) else None
        if pattern := NumberPattern.parse(path):
            return _numbered(path, pattern, gaps)
        if any(char in str(path) for char in "*?["):
            return _glob(path)
    except (OSError, ValueError, RuntimeError) as error:  # name too long, no such user, unsupported pattern
        raise SourceError(f"{str(source)[:200]} cannot be accessed: {error}"[:500], "check the name") from error
    raise SourceError(f"there is no {path}", "check the name")


def _bounded(paths: Iterable[Path], where: Path) -> list[Path]:
    """List the paths; raises SourceError if there are more than `MAX_FRAMES`."""
    found = list(islice(paths, MAX_FRAMES + 1))
    check_frame_count(str(where), len(found))
    return found


def _not_empty(paths: Sequence[Path], where: str) -> tuple[Path, ...]:
    if not paths:
        raise SourceError(f"there are no images {where}", f"images end with {', '.join(sorted(IMAGE_SUFFIXES))}")
    return tuple(paths)


def _glob(pattern: Path) -> tuple[Path, ...]:
    root = Path(pattern.anchor or ".")
    relative = str(pattern.relative_to(pattern.anchor) if pattern.anchor else pattern)
    found = _bounded((path for path in root.glob(relative) if path.is_file() and is_image(path)), pattern)
    return _not_empty(sorted(found, key=natural_sort_key), f"that match {pattern}")


def _numbered(path: Path, pattern: NumberPattern, gaps: bool) -> tuple[Path, ...]:
    found = pattern.files()
    if not gaps:
        check_complete(str(path), list(found))
    return _not_empty(list(found.values()), f"that match {path}")


def read_image_header(path: Path) -> ImageHeader:
    """Read an image's header only.

    Raises:
        SourceError: the file does not exist, is not an image, or has more than `MAX_PIXELS`.
    """
    if is_scene_image(path):
        return ImageHeader(*read_scene_header(path))
    if path.exists() and not path.is_file():  # reading a pipe could block forever
        raise SourceError(f"{path} is not a file", "give an image file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large images at half the size it refuses
            with Image.open(path) as image:
                width, height = image.size
                # For a PNG, Pillow's getexif decodes all pixels, since EXIF may follow them; it hardly ever does.
                exif = Image.Image.getexif(image) if _ends_with_pixels(path, image) else image.getexif()
                orientation = int(exif.get(_ORIENTATION, 1))
                kind = image.format or ""
    except FileNotFoundError as error:
        raise SourceError(f"there is no image {path}", "check the name") from error
    except Image.DecompressionBombError as error:
        raise _too_large(path) from error
    except Exception as error:  # Pillow's readers raise a dozen types for untrusted bytes
        raise SourceError(f"{path} is not a readable image ({error})", "check the file") from error
    if width * height > MAX_PIXELS:
        raise _too_large(path)
    orientation = orientation if 1 <= orientation <= 8 else 1
    if orientation >= 5 and kind != "TIFF":  # Pillow returns the upright size for TIFF files only
        width, height = height, width
    return ImageHeader(width, height, orientation, kind)


def _ends_with_pixels(path: Path, image: Image.Image) -> bool:
    """Return whether an image is a complete PNG file without chunks after the pixels."""
    if image.format != "PNG":
        return False
    in_pixels = False
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind == b"IEND":
                return in_pixels
            if in_pixels and kind != b"IDAT":
                return False
            in_pixels = in_pixels or kind == b"IDAT"
            file.seek(length + 4, os.SEEK_CUR)
    return False


def _too_large(path: Path) -> SourceError:
    return SourceError(f"the image {path} has more than {MAX_PIXELS} pixels", "make it smaller")


def read_image(path: Path, *, bits: Literal[8, 16] | None = None, transform: str = "auto") -> Pixels:
    """Read an image as `(H, W, 3)` sRGB in RGB order, upright by its EXIF orientation.

    Grey becomes three equal channels, transparency is composited over white, and colour profiles are not applied.

    Args:
        bits: 8 for uint8, 16 for uint16; None keeps the file's bit depth.
        transform: what turns the values of an EXR or DPX file, which has 16 bits then, into display values; see
            `scene_images.read_scene_image`.

    Raises:
        SourceError: the file does not exist, is not an image, is damaged or too large, or has not 8 or 16 bits.
    """
    if is_scene_image(path):
        return to_bits(read_scene_image(path, transform).pixels, bits or 16)
    header = read_image_header(path)
    if path.stat().st_size > MAX_IMAGE_BYTES:
        raise SourceError(f"the image {path} has more than {MAX_IMAGE_BYTES} bytes", "save it with compression")
    try:
        data = np.fromfile(path, np.uint8)
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)  # keeps 16 bits and transparency
    except (cv2.error, OSError, MemoryError) as error:
        raise SourceError(f"the image {path} does not decode ({error})", "check the file") from error
    if pixels is None:
        raise SourceError(f"the image {path} does not decode", "check the file")
    if pixels.dtype not in (np.uint8, np.uint16):
        raise SourceError(f"the image {path} has {pixels.dtype} channels", "save it with 8 or 16 bits per channel")
    upright = cast(Pixels, np.ascontiguousarray(_apply_orientation(_to_rgb(pixels), header)))
    return to_bits(upright, bits) if bits else upright


def _to_rgb(pixels: NDArray[Any]) -> Pixels:
    """Convert `(H, W)`, `(H, W, 3)` BGR or `(H, W, 4)` BGRA to `(H, W, 3)` RGB over white."""
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)  # type: ignore[return-value]
    if pixels.shape[2] == 3:
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]
    max_level = int(np.iinfo(pixels.dtype).max)
    if (pixels[..., 3] == max_level).all():
        return pixels[..., 2::-1]
    over_white = np.empty_like(pixels[..., :3])
    for first in range(0, len(pixels), _ROWS_AT_ONCE):  # 64-bit sums of a large image at once would take gigabytes
        rows = slice(first, first + _ROWS_AT_ONCE)
        alpha = pixels[rows, :, 3:].astype(np.uint64)
        over_white[rows] = (
            pixels[rows, :, 2::-1] * alpha + max_level * (max_level - alpha) + max_level // 2
        ) // max_level
    return over_white


def _apply_orientation(pixels: Pixels, header: ImageHeader) -> Pixels:
    """Apply the EXIF orientation, except to TIFF: OpenCV does so itself, even with IMREAD_UNCHANGED."""
    if header.format == "TIFF":
        return pixels
    if header.orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if header.orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if header.orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def encode_png(pixels: Pixels, *, bits: Literal[8, 16] = 8) -> bytes:
    """Encode `(H, W, 3)` RGB as a PNG file with 8 or 16 bits per channel."""
    # OpenCV's default level and strategy take half the time of an explicit level, for files of the same size.
    return _encode(to_bits(pixels, bits), ".png", [])


def write_png(path: Path, pixels: Pixels, *, bits: Literal[8, 16] = 8) -> None:
    """Write a PNG file atomically.

    Args:
        pixels: `(H, W, 3)` uint8 or uint16 RGB.
        bits: bits per channel in the file.

    Raises:
        DiskFullError, OutputError: the disk is full, or the folder cannot be written.
    """
    write_bytes_atomically(path, encode_png(pixels, bits=bits))


def not_an_image_name(path: Path) -> OutputError:
    """Return the error for an output that must be an image but has another suffix."""
    return OutputError(f"{path} is not the name of an image", f"use one of {', '.join(sorted(WRITABLE_SUFFIXES))}")


def write_image(path: Path, pixels: Pixels, *, transform: str = "auto") -> None:
    """Write an image in the format of its suffix: PNG and TIFF keep 16 bits, EXR has half floats, all others 8 bits.

    JPEG is written at quality 95 without chroma subsampling, WebP at quality 95.

    Args:
        transform: what turns display values into those of an EXR file; see `scene_light.to_scene`.

    Raises:
        DiskFullError, OutputError: see `write_png`; also if the suffix is not that of an image.
    """
    suffix = path.suffix.lower()
    options: list[int] = []
    if suffix not in WRITABLE_SUFFIXES:
        raise not_an_image_name(path)
    if suffix == ".exr":
        write_atomically(path, lambda part: encode_exr(part, pixels, transform))
        return
    if suffix in (".jpg", ".jpeg", ".jpe"):
        options = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    elif suffix == ".webp":
        options = [cv2.IMWRITE_WEBP_QUALITY, 95]
    keeps_16_bits = suffix in (".png", ".tif", ".tiff")
    write_bytes_atomically(path, _encode(pixels if keeps_16_bits else to_bits(pixels, 8), suffix, options))


def _encode(pixels: Pixels, suffix: str, options: Sequence[int]) -> bytes:
    done, data = cv2.imencode(suffix, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise OutputError(f"an image of {pixels.shape[1]}x{pixels.shape[0]} pixels cannot be encoded as {suffix[1:]}")
    return data.tobytes()
