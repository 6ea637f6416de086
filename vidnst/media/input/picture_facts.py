"""What an image file holds apart from its pixels."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from vidnst.media.input.decoder_noise import quiet_pillow
from vidnst.media.input.heif import iso_image_brand, read_heif_header
from vidnst.media.input.image_header import read_image_header
from vidnst.media.input.still_process import STILL_PROCESSES, is_read_in_child
from vidnst.media.scene_images import is_scene_image

_ORIENTATION = 0x0112  # EXIF tag


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """What an image file holds apart from its pixels."""

    orientation: int
    """EXIF orientation, 1 to 8."""
    metadata: tuple[str, ...]
    """Kinds of metadata: EXIF (but for the orientation), XMP, ICC profile, text."""


def read_picture_facts(path: Path) -> PictureFacts:
    """Read what an image holds from its headers.

    Raises:
        SourceError: the file does not exist, is not an image, or is too large.
    """
    header = read_image_header(path)
    try:
        return PictureFacts(header.orientation, tuple(_names(path)))
    except Exception:  # the readers raise a dozen types for untrusted bytes; the header has been read
        return PictureFacts(header.orientation, ())


def _names(path: Path) -> list[str]:
    if is_scene_image(path):
        return []
    if not is_read_in_child(path):
        return read_metadata_here(path)
    answer, _ = STILL_PROCESSES.ask(path, {"command": "metadata"})
    return [str(name) for name in answer["names"]]


def read_metadata_here(path: Path) -> list[str]:
    """Return the kinds of metadata of an image, read in this process.

    Raises:
        Exception: any of a dozen types, if it is damaged.
    """
    if iso_image_brand(path) == "HEIF":
        return ["EXIF"] if read_heif_header(path).exif else []
    with quiet_pillow(), Image.open(path) as image:
        return list(_metadata(image))


def _metadata(image: Image.Image) -> tuple[str, ...]:
    exif = set(Image.Image.getexif(image)) - {_ORIENTATION}
    own_tags = image.format == "TIFF"  # there, the tags that describe the pixels are EXIF's
    found = {
        "EXIF": bool(exif) and (not own_tags or 0x8769 in exif or 0x010F in exif),
        "XMP": any(key in image.info for key in ("xmp", "XML:com.adobe.xmp")),
        "ICC profile": bool(image.info.get("icc_profile")),
        "text": any(key in image.info for key in ("comment", "Comment", "Title", "Author", "Description", "Copyright")),
    }
    return tuple(name for name, is_there in found.items() if is_there)
