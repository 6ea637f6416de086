"""Single pictures: which ones a source means, reading them upright as RGB, writing them whole."""

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
from vidnst.frames import Pixels, to_bits
from vidnst.media.input.limits import MAX_FRAMES, MAX_PICTURE_BYTES, MAX_PIXELS, check_frame_count

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".tif", ".tiff", ".webp", ".bmp"})
"""What a picture's name ends with, in lower case."""

_ORIENTATION = 0x0112  # EXIF tag
_ROWS = 256
_PRINTF = re.compile(r"%(?P<zero>0?)(?P<width>\d{0,2})d")


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What a picture's header says."""

    width: int
    """Pixels across, upright."""
    height: int
    """Pixels down, upright."""
    orientation: int
    """EXIF orientation, 1 to 8."""
    format: str
    """JPEG, PNG, TIFF, WEBP, ..."""


def natural_sort_key(path: Path) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """Sort key that puts img2 before img10: runs of digits count as numbers, letters without regard to case."""
    parts = re.split(r"([0-9]+)", str(path).casefold())
    return tuple((1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts), str(path)


def is_image(path: Path) -> bool:
    """Whether the name says that this is a picture; hidden files (also macOS's `._` twins) are none."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def list_images(source: str | Path) -> tuple[Path, ...] | None:
    """The pictures that a folder, glob, printf pattern (`img_%04d.png`) or file name stands for, in natural order.

    Other files beside the pictures are passed over. None where the source is one file that is no picture.

    Raises:
        SourceError: nothing is there, or a numbered picture is missing inside a printf pattern.
    """
    try:
        path = Path(source).expanduser()
        if path.is_dir():
            return _some(
                sorted(_few(filter(is_image, path.iterdir()), path), key=natural_sort_key), f"in the folder {path}"
            )
        if path.exists():
            return (path,) if is_image(path) else None
        if _PRINTF.search(path.name):
            return _numbered(path)
        if any(char in str(path) for char in "*?["):
            return _glob(path)
    except (OSError, ValueError, RuntimeError, NotImplementedError) as error:  # too long, no such user, odd patterns
        raise SourceError(f"{_short(source)} cannot be looked for: {error}"[:500], "check the name") from error
    raise SourceError(f"there is no {path}", "check the name")


def _short(source: str | Path) -> str:
    text = str(source)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _few(paths: Iterable[Path], where: Path) -> list[Path]:
    """As many pictures as may be, or SourceError."""
    found = list(islice(paths, MAX_FRAMES + 1))
    check_frame_count(str(where), len(found))
    return found


def _some(paths: Sequence[Path], where: str) -> tuple[Path, ...]:
    if not paths:
        raise SourceError(f"there are no pictures {where}", f"pictures end with {', '.join(sorted(IMAGE_SUFFIXES))}")
    return tuple(paths)


def _glob(pattern: Path) -> tuple[Path, ...]:
    root = Path(pattern.anchor or ".")
    relative = str(pattern.relative_to(pattern.anchor) if pattern.anchor else pattern)
    found = _few((path for path in root.glob(relative) if path.is_file() and is_image(path)), pattern)
    return _some(sorted(found, key=natural_sort_key), f"that match {pattern}")


def _numbered(pattern: Path) -> tuple[Path, ...]:
    match = _PRINTF.search(pattern.name)
    assert match is not None
    width = int(match["width"] or 1)
    before, after = pattern.name[: match.start()].replace("%%", "%"), pattern.name[match.end() :].replace("%%", "%")
    digits = rf"\d{{{width},}}" if match["zero"] else r"\d+"
    name = re.compile(f"{re.escape(before)}({digits}){re.escape(after)}")
    there = pattern.parent.iterdir() if pattern.parent.is_dir() else iter(())
    matching = _few((path for path in there if name.fullmatch(path.name) and path.is_file()), pattern)
    found = {int(hit[1]): path for path in matching if (hit := name.fullmatch(path.name))}
    numbers = sorted(found)
    for earlier, later in pairwise(numbers):
        if later != earlier + 1:
            raise SourceError(
                f"number {earlier + 1} of {pattern} is missing ({numbers[0]} to {numbers[-1]} are there)",
                "restore it, or name the folder or a glob to take the pictures that there are",
            )
    return _some([found[number] for number in numbers], f"that match {pattern}")


def read_image_header(path: Path) -> ImageHeader:
    """Read a picture's header only.

    Raises:
        SourceError: not there, not a picture, or larger than `MAX_PIXELS`.
    """
    if path.exists() and not path.is_file():  # a pipe would be waited for, for ever
        raise SourceError(f"{path} is no file", "give the picture itself")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large pictures at half the size it refuses
            with Image.open(path) as image:
                width, height = image.size
                # Of a PNG Pillow decodes all pixels for it, since it may come after them; it hardly ever does.
                exif = Image.Image.getexif(image) if _ends_with_pixels(path, image) else image.getexif()
                orientation = int(exif.get(_ORIENTATION, 1))
                kind = image.format or ""
    except FileNotFoundError as error:
        raise SourceError(f"there is no picture {path}", "check the name") from error
    except Image.DecompressionBombError as error:
        raise _too_large(path) from error
    except Exception as error:  # Pillow's readers fail in a dozen ways on a stranger's bytes
        raise SourceError(f"{path} is not a picture that can be read ({error})", "check the file") from error
    if width * height > MAX_PIXELS:
        raise _too_large(path)
    orientation = orientation if 1 <= orientation <= 8 else 1
    if orientation >= 5 and kind != "TIFF":  # Pillow gives the upright size of TIFF files only
        width, height = height, width
    return ImageHeader(width, height, orientation, kind)


def _ends_with_pixels(path: Path, image: Image.Image) -> bool:
    """Whether a picture is a whole PNG file in which nothing comes after the pixels, by the headers of its chunks."""
    if image.format != "PNG":
        return False
    seen = False
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind == b"IEND":
                return seen
            if seen and kind != b"IDAT":
                return False
            seen = seen or kind == b"IDAT"
            file.seek(length + 4, os.SEEK_CUR)
    return False


def _too_large(path: Path) -> SourceError:
    return SourceError(f"the picture {path} has more than {MAX_PIXELS} pixels", "make it smaller")


def read_image(path: Path, *, bits: Literal[8, 16] | None = None) -> Pixels:
    """Read a picture as `(H, W, 3)` sRGB in RGB order, upright by its EXIF orientation.

    Grey becomes three equal channels. What is transparent is laid over white. Colour profiles are not applied.

    Args:
        bits: 8 for uint8, 16 for uint16; none keeps what the file has.

    Raises:
        SourceError: not there, not a picture, damaged, too large, or not of 8 or 16 bits per channel.
    """
    header = read_image_header(path)
    if path.stat().st_size > MAX_PICTURE_BYTES:
        raise SourceError(f"the picture {path} has more than {MAX_PICTURE_BYTES} bytes", "save it anew, compressed")
    try:
        data = np.fromfile(path, np.uint8)
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)  # keeps 16 bits and transparency
    except (cv2.error, OSError, MemoryError) as error:
        raise SourceError(f"the picture {path} does not decode ({error})", "check the file") from error
    if pixels is None:
        raise SourceError(f"the picture {path} does not decode", "check the file")
    if pixels.dtype not in (np.uint8, np.uint16):
        raise SourceError(f"the picture {path} has {pixels.dtype} channels", "save it with 8 or 16 bits per channel")
    upright = cast(Pixels, np.ascontiguousarray(_turn(_rgb(pixels), header)))
    return to_bits(upright, bits) if bits else upright


def _rgb(pixels: NDArray[Any]) -> Pixels:
    """`(H, W)`, `(H, W, 3)` BGR or `(H, W, 4)` BGRA as `(H, W, 3)` RGB over white."""
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)  # type: ignore[return-value]
    if pixels.shape[2] == 3:
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]
    top = int(np.iinfo(pixels.dtype).max)
    if (pixels[..., 3] == top).all():
        return pixels[..., 2::-1]
    over_white = np.empty_like(pixels[..., :3])
    for first in range(0, len(pixels), _ROWS):  # 64-bit sums of a whole large picture would take gigabytes
        rows = slice(first, first + _ROWS)
        alpha = pixels[rows, :, 3:].astype(np.uint64)
        over_white[rows] = (pixels[rows, :, 2::-1] * alpha + top * (top - alpha) + top // 2) // top
    return over_white


def _turn(pixels: Pixels, header: ImageHeader) -> Pixels:
    """Apply the EXIF orientation. OpenCV has done so for TIFF, even where it is told to leave pictures unchanged."""
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
    """`(H, W, 3)` RGB as the bytes of a PNG file with 8 or 16 bits per channel."""
    # OpenCV's own level and strategy take half the time of an explicit level, for as many bytes on painted frames.
    return _encode(to_bits(pixels, bits), ".png", [])


def write_png(path: Path, pixels: Pixels, *, bits: Literal[8, 16] = 8) -> None:
    """Write a PNG so that `path` either does not change or holds the whole picture.

    Args:
        pixels: `(H, W, 3)` uint8 or uint16 RGB.
        bits: bits per channel in the file.

    Raises:
        DiskFullError, OutputError: the disk is full, or the folder cannot be written.
    """
    write_bytes_atomically(path, encode_png(pixels, bits=bits))


def write_image(path: Path, pixels: Pixels) -> None:
    """Write one picture in the format that its suffix names: PNG and TIFF keep 16 bits, JPEG and WebP have 8.

    JPEG is written at quality 95 without chroma subsampling, WebP at quality 95.

    Raises:
        DiskFullError, OutputError: as `write_png`; or the suffix names no picture format.
    """
    suffix = path.suffix.lower()
    options: list[int] = []
    if suffix not in IMAGE_SUFFIXES:
        raise OutputError(f"{path} does not end like a picture", f"use one of {', '.join(sorted(IMAGE_SUFFIXES))}")
    if suffix in (".jpg", ".jpeg", ".jpe"):
        options = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    elif suffix == ".webp":
        options = [cv2.IMWRITE_WEBP_QUALITY, 95]
    deep = suffix in (".png", ".tif", ".tiff")
    write_bytes_atomically(path, _encode(pixels if deep else to_bits(pixels, 8), suffix, options))


def _encode(pixels: Pixels, suffix: str, options: Sequence[int]) -> bytes:
    done, data = cv2.imencode(suffix, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise OutputError(f"a picture of {pixels.shape[1]}x{pixels.shape[0]} cannot be written as {suffix[1:]}")
    return data.tobytes()
