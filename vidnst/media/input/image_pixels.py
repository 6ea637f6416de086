"""Pixels of image files: decoded by the reader that keeps their bit depth, as RGB over a background, upright."""

from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vidnst.errors import SourceError
from vidnst.frames import WHITE, AlphaPlane, Pixels, Rgb
from vidnst.media.input.alpha import over_background
from vidnst.media.input.decoder_noise import one_line, quiet_pillow
from vidnst.media.input.heif import decode_heif, widen
from vidnst.media.input.image_header import ImageHeader
from vidnst.media.input.incomplete import cut_short, is_cut_short
from vidnst.media.input.still_process import STILL_PROCESSES, check_answer, is_read_in_child
from vidnst.media.orientation import make_upright

_AVIF_HEAD_BYTES = 1 << 16


def decode_image(path: Path, header: ImageHeader, *, background: Rgb = WHITE) -> Pixels:
    """Decode an image, the first frame if it has several.

    Args:
        header: what `read_image_header` says of the file; the decoded size must be the same.
        background: the colour under transparent pixels.

    Returns:
        `(H, W, 3)` uint8 or uint16 RGB, upright.

    Raises:
        SourceError: the file is damaged, or has neither 8 nor 16 bits per channel.
    """
    return finish_pixels(_decode(path, header), header, path, background=background)


def decode_alpha(path: Path, header: ImageHeader) -> AlphaPlane | None:
    """Decode the alpha of an image, `(H, W)`, upright; None if it has none. Raises like `decode_image`."""
    return finish_alpha(_decode(path, header), header, path)


def finish_pixels(pixels: NDArray[Any], header: ImageHeader, path: Path, *, background: Rgb = WHITE) -> Pixels:
    """Turn decoded pixels, `(H, W)`, RGB or RGBA, into `(H, W, 3)` RGB over a background, upright.

    Raises:
        SourceError: they have neither 8 nor 16 bits per channel, or another size than the header says.
    """
    return cast(Pixels, _checked(pixels, _to_rgb(pixels, background), header, path))


def finish_alpha(pixels: NDArray[Any], header: ImageHeader, path: Path) -> AlphaPlane | None:
    """Take the alpha, `(H, W)`, upright, from decoded pixels; None if they have none. Raises like `finish_pixels`."""
    if pixels.ndim == 2 or pixels.shape[2] != 4:
        return None
    return cast(AlphaPlane, _checked(pixels, pixels[..., 3], header, path))


def _checked(decoded: NDArray[Any], pixels: NDArray[Any], header: ImageHeader, path: Path) -> NDArray[Any]:
    if decoded.dtype not in (np.uint8, np.uint16):
        raise SourceError(f"the image {path} has {decoded.dtype} channels", "save it with 8 or 16 bits per channel")
    upright = np.ascontiguousarray(apply_orientation(pixels, header))
    height, width = upright.shape[:2]
    if (width, height) != (header.width, header.height):
        raise SourceError(
            f"the image {path} has {header.width}x{header.height} pixels by its header but {width}x{height} decoded",
            "check the file",
        )
    return upright


def _decode(path: Path, header: ImageHeader) -> NDArray[Any]:
    """Decode to `(H, W)`, RGB or RGBA in the file's bit depth.

    Raises:
        SourceError: the file does not decode.
    """
    try:
        pixels = _from_child(path, header.format) if is_read_in_child(path) else decode_stored(path, header.format)
    except SourceError:
        raise
    except Exception as error:  # the decoders raise a dozen types for untrusted bytes
        if is_cut_short(path):
            raise cut_short(path) from error
        raise SourceError(f"the image {path} does not decode ({one_line(error)})", "check the file") from error
    if pixels is None:
        raise SourceError(f"the image {path} does not decode", "check the file")
    return pixels


def _from_child(path: Path, kind: str) -> NDArray[Any]:
    answer, pixels = STILL_PROCESSES.ask(path, {"command": "pixels", "format": kind})
    check_answer(answer, path)
    return pixels


def decode_stored(path: Path, kind: str) -> NDArray[Any] | None:
    """Decode an image in this process to `(H, W)`, RGB or RGBA in the file's bit depth; None if OpenCV cannot.

    Args:
        kind: the format that its header says.

    Raises:
        Exception: any of a dozen types, if it is damaged.
    """
    if kind == "HEIF":
        return decode_heif(path)
    if kind == "GIF" or (kind == "AVIF" and _avif_depth(path) == 8):
        with quiet_pillow(), Image.open(path) as image:
            return pillow_pixels(image)
    if kind == "TIFF":
        check_tiff(path)
    data = np.fromfile(path, np.uint8)
    pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)  # keeps 16 bits and transparency
    if pixels is None:
        return None
    if kind == "AVIF" and pixels.dtype == np.uint16:
        pixels = widen(cast(NDArray[np.uint16], pixels), _avif_depth(path))
    return from_opencv(pixels)


def check_tiff(path: Path, page: int = 0) -> None:
    """Decode a page of a TIFF file with Pillow, which notices damage that OpenCV shows in black.

    Raises:
        Exception: the page does not decode.
    """
    with quiet_pillow(), Image.open(path) as image:
        image.seek(page)
        image.load()


def from_opencv(pixels: NDArray[Any]) -> NDArray[Any]:
    """Reorder OpenCV's BGR or BGRA to RGB or RGBA; grey stays."""
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        return pixels.reshape(pixels.shape[:2])
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)


def pillow_pixels(image: Image.Image) -> NDArray[np.uint8]:
    """Decode the current frame of a Pillow image to `(H, W, 3)` RGB or `(H, W, 4)` RGBA."""
    opaque = image.mode in ("RGB", "L") and "transparency" not in image.info
    return np.asarray(image.convert("RGB" if opaque else "RGBA"))


def _avif_depth(path: Path) -> int:
    """Return the bits per channel in the first AV1 configuration of an AVIF file: 8, 10 or 12."""
    with path.open("rb") as file:
        head = file.read(_AVIF_HEAD_BYTES)
    at = head.find(b"av1C")
    if at < 0 or len(head) < at + 7:
        return 8
    is_high, is_twelve = head[at + 6] >> 6 & 1, head[at + 6] >> 5 & 1  # AV1-ISOBMFF 2.3.3
    return (12 if is_twelve else 10) if is_high else 8


def _to_rgb(pixels: NDArray[Any], background: Rgb) -> NDArray[Any]:
    """Convert `(H, W)`, `(H, W, 3)` RGB or `(H, W, 4)` RGBA to `(H, W, 3)` RGB over a background."""
    if pixels.ndim == 2:
        return np.repeat(pixels[..., None], 3, axis=2)
    if pixels.shape[2] == 3 or pixels.dtype not in (np.uint8, np.uint16):
        return pixels[..., :3]
    return over_background(cast(Pixels, pixels[..., :3]), cast(AlphaPlane, pixels[..., 3]), background)


def apply_orientation(pixels: NDArray[Any], header: ImageHeader) -> NDArray[Any]:
    """Apply the EXIF orientation, except to TIFF: OpenCV does so itself, even with IMREAD_UNCHANGED."""
    return pixels if header.format == "TIFF" else make_upright(pixels, header.orientation)
