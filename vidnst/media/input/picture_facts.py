"""What an image file holds apart from its pixels."""

import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from vidnst.media.images import read_image_header

_ORIENTATION = 0x0112  # EXIF tag


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """What an image file holds apart from its pixels."""

    format: str
    """JPEG, PNG, TIFF, WEBP, ..."""
    orientation: int
    """EXIF orientation, 1 to 8."""
    has_alpha: bool
    """True if it declares transparency."""
    pictures: int
    """Pictures in the file, such as pages of a TIFF."""
    metadata: tuple[str, ...]
    """Kinds of metadata: EXIF (but for the orientation), XMP, ICC profile, text."""


def read_picture_facts(path: Path) -> PictureFacts:
    """Read what an image holds from its headers.

    Raises:
        SourceError: the file does not exist, is not an image, or is too large.
    """
    header = read_image_header(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path) as image:
                return PictureFacts(
                    header.format,
                    header.orientation,
                    bool(image.has_transparency_data),
                    int(getattr(image, "n_frames", 1)),
                    _metadata(image),
                )
        except Exception:  # Pillow's readers raise a dozen types for untrusted bytes; the header has been read
            return PictureFacts(header.format, header.orientation, False, 1, ())


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
