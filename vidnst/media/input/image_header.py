"""Headers of image files: size, orientation, number of frames and time of capture, without decoding pixels."""

import os
import struct
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from PIL import Image

from vidnst.errors import SourceError
from vidnst.media.input.decoder_noise import one_line, quiet_pillow
from vidnst.media.input.heif import is_hdr, iso_image_brand, read_heif_header
from vidnst.media.input.image_files import is_image
from vidnst.media.input.incomplete import cut_short, is_cut_short
from vidnst.media.input.limits import MAX_IMAGE_BYTES, MAX_PIXELS
from vidnst.media.input.still_process import STILL_PROCESSES, check_answer, is_read_in_child
from vidnst.media.input.tiff_pages import list_pages
from vidnst.media.scene_images import is_scene_image, read_scene_header

_ORIENTATION, _EXIF_IFD, _TAKEN, _TAKEN_FRACTION = 0x0112, 0x8769, 0x9003, 0x9291  # EXIF tags
_BITS_PER_SAMPLE = 258  # a tag of TIFF
_MP_ENTRIES = 0xB002  # the list of images of a JPEG file with several
_PNG_DEPTH_AT = 24
_EXIF_TIME = "%Y:%m:%d %H:%M:%S"
_ANIMATED = frozenset({"PNG", "WEBP", "GIF", "AVIF"})
"""Formats whose frames are shown one after the other. Pillow also counts the gain map of a JPEG as a frame."""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """Size, orientation and format of an image file."""

    width: int
    """Pixels across, upright."""
    height: int
    """Pixels down, upright."""
    orientation: int
    """EXIF orientation, 1 to 8, that is still to be applied."""
    format: str
    """JPEG, PNG, TIFF, WEBP, HEIF, AVIF, ..."""
    frames: int = 1
    """Number of frames of an animation, or pages of a TIFF file, which may have other sizes."""
    taken: datetime | None = None
    """Time of capture: EXIF's DateTimeOriginal with SubSecTimeOriginal."""
    others: int = 0
    """Further images in a HEIC or JPEG file, which are not read."""
    has_alpha: bool = False
    """True if it declares transparency; all of its pixels may still be opaque."""
    deep: bool = False
    """True if the header of a PNG or TIFF file tells more than 8 bits per channel."""
    plays: int = 0
    """The number of times that an animation is shown; 0 for ever."""
    hdr: bool = False
    """True if the light is coded as PQ or HLG, which is read as if it were sRGB."""


def is_still(path: Path) -> bool:
    """Return whether a file is a still image: by its name, or a HEIC or AVIF image by its content."""
    try:
        return path.is_file() and (is_image(path) or bool(iso_image_brand(path)))
    except (OSError, ValueError):
        return False


def read_image_header(path: Path) -> ImageHeader:
    """Read an image's header only.

    Raises:
        SourceError: the file does not exist, is not an image, or has more than `MAX_PIXELS` or `MAX_IMAGE_BYTES`.
    """
    if is_scene_image(path):
        scene = read_scene_header(path)
        return ImageHeader(scene.width, scene.height, 1, scene.format, has_alpha=scene.has_alpha)
    if path.exists() and not path.is_file():  # reading a pipe could block forever
        raise SourceError(f"{path} is not a file", "give an image file")
    try:
        check_image_bytes(path)
        header = _from_child(path) if is_read_in_child(path) else read_header_here(path)
    except FileNotFoundError as error:
        raise SourceError(f"there is no image {path}", "check the name") from error
    except SourceError:
        raise
    except Exception as error:  # the readers raise a dozen types for untrusted bytes
        if is_cut_short(path):
            raise cut_short(path) from error
        raise SourceError(f"{path} is not a readable image ({one_line(error)})", "check the file") from error
    if header.width * header.height > MAX_PIXELS:
        raise _too_large(path)
    return header


def read_header_here(path: Path) -> ImageHeader:
    """Read the header of an image other than EXR and DPX in this process.

    Raises:
        Exception: any of a dozen types, if it is damaged or too large.
    """
    brand = iso_image_brand(path)
    try:
        header = _read_heif(path) if brand == "HEIF" else _read_with_pillow(path)
    except Image.DecompressionBombError as error:
        raise _too_large(path) from error
    return replace(header, hdr=bool(brand) and is_hdr(path))


def _from_child(path: Path) -> ImageHeader:
    answer, _ = STILL_PROCESSES.ask(path, {"command": "header"})
    check_answer(answer, path)
    taken = answer.pop("taken")
    return ImageHeader(**answer, taken=datetime.fromisoformat(taken) if taken else None)


def check_image_bytes(path: Path) -> None:
    """Raise SourceError if an image file has more than `MAX_IMAGE_BYTES`; OSError if there is none."""
    if path.stat().st_size > MAX_IMAGE_BYTES:
        raise SourceError(f"the image {path} has more than {MAX_IMAGE_BYTES} bytes", "save it with compression")


def _read_heif(path: Path) -> ImageHeader:
    found = read_heif_header(path)
    exif = Image.Exif()
    with suppress(Exception):  # damaged EXIF does not count, nor does EXIF's orientation
        exif.load(found.exif)
    return ImageHeader(found.width, found.height, 1, "HEIF", taken=_taken(exif), others=found.others)


def _read_with_pillow(path: Path) -> ImageHeader:
    with quiet_pillow(), Image.open(path) as image:
        width, height = image.size
        exif = _read_exif(path, image)
        orientation = int(exif.get(_ORIENTATION, 1))
        kind = image.format or ""
        header = ImageHeader(width, height, orientation if 1 <= orientation <= 8 else 1, kind, taken=_taken(exif))
        header = replace(header, has_alpha=image.has_transparency_data, deep=_is_deep(path, image))
        if kind in _ANIMATED:
            header = replace(header, frames=_count_frames(image), plays=_count_plays(image))
        if kind == "MPO":
            header = replace(header, others=_count_others(image))
    if kind == "TIFF":  # whose size Pillow returns upright
        return replace(header, frames=len(list_pages(path)))
    if header.orientation >= 5:
        return replace(header, width=height, height=width)
    return header


def _read_exif(path: Path, image: Image.Image) -> Image.Exif:
    # For a PNG, Pillow's getexif decodes all pixels, since EXIF may follow them; it hardly ever does.
    if _ends_with_pixels(path, image):
        return Image.Image.getexif(image)
    try:
        return image.getexif()
    except Exception:  # damaged pixels, which decoding will tell
        return Image.Exif()


def _is_deep(path: Path, image: Image.Image) -> bool:
    if image.format == "TIFF":
        return bool(max(image.tag_v2.get(_BITS_PER_SAMPLE, (8,))) > 8)  # type: ignore[attr-defined]
    if image.format != "PNG":
        return False
    with path.open("rb") as file:
        return file.read(_PNG_DEPTH_AT + 1)[_PNG_DEPTH_AT] > 8


def _count_frames(image: Image.Image) -> int:
    # The picture for viewers without animations counts as a frame of its own, unless it is the first frame, too.
    return max(1, int(getattr(image, "n_frames", 1)) - bool(image.info.get("default_image")))


def _count_others(image: Image.Image) -> int:
    """Count the further images of a JPEG file, such as the other one of a stereo pair; thumbnails do not count."""
    with suppress(Exception):  # damaged entries; the first image is read without them
        entries = image.mpinfo[_MP_ENTRIES]  # type: ignore[attr-defined]
        return sum("Thumbnail" not in entry["Attribute"]["MPType"] for entry in entries[1:])
    return 0


def _count_plays(image: Image.Image) -> int:
    """Return how often an animation is shown, 0 for ever: a GIF has the number of repetitions, if it has one at all."""
    loop = image.info.get("loop")
    if image.format == "GIF":
        return 1 if loop is None else int(loop) + bool(loop)
    return int(loop or 0)


def _taken(exif: Image.Exif) -> datetime | None:
    """Parse the time of capture; None if it is missing or no time."""
    try:
        details = exif.get_ifd(_EXIF_IFD)
        moment = datetime.strptime(str(details.get(_TAKEN, "")).strip("\0 "), _EXIF_TIME)
        fraction = str(details.get(_TAKEN_FRACTION, "")).strip("\0 ")
        return moment.replace(microsecond=int(fraction[:6].ljust(6, "0")) if fraction.isdecimal() else 0)
    except Exception:  # Pillow raises many types for damaged EXIF, and pictures are fine without
        return None


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
