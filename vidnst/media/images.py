"""Image files: finding those of a source, reading them upright as RGB, and writing them atomically."""

import os
import re
import struct
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Literal, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vidnst.atomic_write import write_bytes_atomically
from vidnst.errors import OutputError, SourceError
from vidnst.frames import WHITE, AlphaPlane, Pixels, Rgb, to_bits
from vidnst.media.input.alpha import alpha_bits, over_background
from vidnst.media.input.limits import MAX_FRAMES, MAX_IMAGE_BYTES, MAX_PIXELS, check_frame_count

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".tif", ".tiff", ".webp", ".bmp"})
"""Suffixes of image files, in lower case."""

_ORIENTATION = 0x0112  # EXIF tag
_PRINTF = re.compile(r"%(?P<zero>0?)(?P<width>\d{0,2})d")


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
    has_alpha: bool = False
    """True if it declares transparency; all of its pixels may still be opaque."""


def natural_sort_key(path: Path) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """Return a sort key that puts img2 before img10: digits compare as numbers, letters case-insensitively."""
    parts = re.split(r"([0-9]+)", str(path).casefold())
    return tuple((1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts), str(path)


def is_image(path: Path) -> bool:
    """Return whether a name is that of an image; hidden files (also macOS's `._` twins) are not."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def list_images(source: str | Path) -> tuple[Path, ...] | None:
    """List the images of a folder, glob, printf pattern (`img_%04d.png`) or file name, in natural order.

    Other files are ignored. Returns None if the source is one file that is not an image.

    Raises:
        SourceError: there is no image, or a number is missing in a printf pattern.
    """
    try:
        path = Path(source).expanduser()
        if path.is_dir():
            images = _bounded(filter(is_image, path.iterdir()), path)
            return _not_empty(sorted(images, key=natural_sort_key), f"in the folder {path}")
        if path.exists():
            return (path,) if is_image(path) else None
        if _PRINTF.search(path.name):
            return _numbered(path)
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


def _numbered(pattern: Path) -> tuple[Path, ...]:
    match = _PRINTF.search(pattern.name)
    assert match is not None
    width = int(match["width"] or 1)
    before, after = pattern.name[: match.start()].replace("%%", "%"), pattern.name[match.end() :].replace("%%", "%")
    digits = rf"\d{{{width},}}" if match["zero"] else r"\d+"
    name = re.compile(f"{re.escape(before)}({digits}){re.escape(after)}")
    candidates = pattern.parent.iterdir() if pattern.parent.is_dir() else iter(())
    matching = _bounded((path for path in candidates if name.fullmatch(path.name) and path.is_file()), pattern)
    found = {int(hit[1]): path for path in matching if (hit := name.fullmatch(path.name))}
    numbers = sorted(found)
    for earlier, later in pairwise(numbers):
        if later != earlier + 1:
            raise SourceError(
                f"number {earlier + 1} of {pattern} is missing ({numbers[0]} to {numbers[-1]} exist)",
                "restore it, or give the folder or a glob to use the images that exist",
            )
    return _not_empty([found[number] for number in numbers], f"that match {pattern}")


def read_image_header(path: Path) -> ImageHeader:
    """Read an image's header only.

    Raises:
        SourceError: the file does not exist, is not an image, or has more than `MAX_PIXELS`.
    """
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
                has_alpha = image.has_transparency_data
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
    return ImageHeader(width, height, orientation, kind, has_alpha)


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


def read_image(path: Path, *, bits: Literal[8, 16] | None = None, background: Rgb = WHITE) -> Pixels:
    """Read an image as `(H, W, 3)` sRGB in RGB order, upright by its EXIF orientation.

    Grey becomes three equal channels, transparency is laid over the background, and colour profiles are not applied.

    Args:
        bits: 8 for uint8, 16 for uint16; None keeps the file's bit depth.
        background: the colour under transparent pixels.

    Raises:
        SourceError: the file does not exist, is not an image, is damaged or too large, or has not 8 or 16 bits.
    """
    pixels, header = _decode(path)
    upright = cast(Pixels, np.ascontiguousarray(_apply_orientation(_to_rgb(pixels, background), header)))
    return to_bits(upright, bits) if bits else upright


def read_image_alpha(path: Path) -> AlphaPlane | None:
    """Read the alpha of an image, `(H, W)` uint8 or uint16, upright; None if it has none. Raises like `read_image`."""
    pixels, header = _decode(path)
    if pixels.ndim == 2 or pixels.shape[2] != 4:
        return None
    return cast(AlphaPlane, np.ascontiguousarray(_apply_orientation(pixels[..., 3], header)))


def _decode(path: Path) -> tuple[NDArray[Any], ImageHeader]:
    """Decode an image as it is stored: `(H, W)`, `(H, W, 3)` BGR or `(H, W, 4)` BGRA; raises like `read_image`."""
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
    return pixels, header


def _to_rgb(pixels: NDArray[Any], background: Rgb) -> Pixels:
    """Convert `(H, W)`, `(H, W, 3)` BGR or `(H, W, 4)` BGRA to `(H, W, 3)` RGB over a background."""
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)  # type: ignore[return-value]
    if pixels.shape[2] == 3:
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]
    return over_background(pixels[..., 2::-1], pixels[..., 3], background)


def _apply_orientation(pixels: NDArray[Any], header: ImageHeader) -> NDArray[Any]:
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


def encode_png(pixels: Pixels, *, bits: Literal[8, 16] = 8, alpha: AlphaPlane | None = None) -> bytes:
    """Encode `(H, W, 3)` RGB, and `(H, W)` alpha if given, as a PNG file with 8 or 16 bits per channel."""
    # OpenCV's default level and strategy take half the time of an explicit level, for files of the same size.
    return _encode(to_bits(pixels, bits), ".png", [], alpha)


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
    return OutputError(f"{path} is not the name of an image", f"use one of {', '.join(sorted(IMAGE_SUFFIXES))}")


def write_image(path: Path, pixels: Pixels, alpha: AlphaPlane | None = None) -> None:
    """Write an image in the format of its suffix: PNG and TIFF keep 16 bits, all others have 8.

    JPEG is written at quality 95 without chroma subsampling, WebP at quality 95. PNG, TIFF and WebP take alpha.

    Raises:
        DiskFullError, OutputError: see `write_png`; also if the suffix is not that of an image.
    """
    suffix = path.suffix.lower()
    options: list[int] = []
    if suffix not in IMAGE_SUFFIXES:
        raise not_an_image_name(path)
    if suffix in (".jpg", ".jpeg", ".jpe"):
        options = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    elif suffix == ".webp":
        options = [cv2.IMWRITE_WEBP_QUALITY, 95]
    keeps_16_bits = suffix in (".png", ".tif", ".tiff")
    write_bytes_atomically(path, _encode(pixels if keeps_16_bits else to_bits(pixels, 8), suffix, options, alpha))


def _encode(pixels: Pixels, suffix: str, options: Sequence[int], alpha: AlphaPlane | None = None) -> bytes:
    stored = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    if alpha is not None:
        stored = np.dstack([stored, alpha_bits(alpha, pixels.itemsize * 8)])
    done, data = cv2.imencode(suffix, stored, options)
    if not done:
        raise OutputError(f"an image of {pixels.shape[1]}x{pixels.shape[0]} pixels cannot be encoded as {suffix[1:]}")
    return data.tobytes()
