"""Image files: reading them upright as RGB, and writing them atomically."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from vidnst.errors import OutputError
from vidnst.files.atomic_write import write_atomically, write_bytes_atomically
from vidnst.frames import WHITE, AlphaPlane, Pixels, Rgb, to_bits
from vidnst.media.exr import encode_exr
from vidnst.media.input.alpha import alpha_bits, over_background
from vidnst.media.input.image_files import WRITABLE_SUFFIXES
from vidnst.media.input.image_header import read_image_header
from vidnst.media.input.image_pixels import decode_alpha, decode_image
from vidnst.media.scene_images import is_scene_image, read_scene_image


def read_image(
    path: Path, *, bits: Literal[8, 16] | None = None, background: Rgb = WHITE, transform: str = "auto"
) -> Pixels:
    """Read an image as `(H, W, 3)` sRGB in RGB order, upright by its EXIF orientation.

    Of several frames it is the first one. Grey becomes three equal channels, transparency is laid over the background,
    and colour profiles are not applied.

    Args:
        bits: 8 for uint8, 16 for uint16; None keeps the file's bit depth.
        background: the colour under transparent pixels.
        transform: what turns the values of an EXR or DPX file, which has 16 bits then, into display values; see
            `scene_images.read_scene_image`.

    Raises:
        SourceError: the file does not exist, is not an image, is damaged or too large, or has not 8 or 16 bits.
    """
    if is_scene_image(path):
        frame = read_scene_image(path, transform)
        covered = frame.pixels if frame.alpha is None else over_background(frame.pixels, frame.alpha, background)
        return to_bits(covered, bits or 16)
    pixels = decode_image(path, read_image_header(path), background=background)
    return to_bits(pixels, bits) if bits else pixels


def read_image_alpha(path: Path) -> AlphaPlane | None:
    """Read the alpha of an image, `(H, W)` uint8 or uint16, upright; None if it has none. Raises like `read_image`."""
    if is_scene_image(path):
        return read_scene_image(path).alpha
    return decode_alpha(path, read_image_header(path))


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
    return OutputError(f"{path} is not the name of an image", f"use one of {', '.join(sorted(WRITABLE_SUFFIXES))}")


def write_image(path: Path, pixels: Pixels, alpha: AlphaPlane | None = None, *, transform: str = "auto") -> None:
    """Write an image in the format of its suffix: PNG and TIFF keep 16 bits, EXR has half floats, all others 8 bits.

    JPEG is written at quality 95 without chroma subsampling, WebP at quality 95. PNG, TIFF, WebP and EXR take alpha.

    Args:
        transform: what turns display values into those of an EXR file; see `scene_light.to_scene`.

    Raises:
        DiskFullError, OutputError: see `write_png`; also if the suffix is not that of an image.
    """
    suffix = path.suffix.lower()
    suffix = ".png" if suffix == ".apng" else suffix
    options: list[int] = []
    if suffix not in WRITABLE_SUFFIXES:
        raise not_an_image_name(path)
    if suffix == ".exr":
        write_atomically(path, lambda part: encode_exr(part, pixels, transform, alpha))
        return
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
