"""What image files hold apart from its pixels."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from vidnst.errors import SourceError
from vidnst.frames import spread_over
from vidnst.media.input.decoder_noise import quiet_pillow
from vidnst.media.input.heif import iso_image_brand, read_heif_header
from vidnst.media.input.image_header import read_image_header
from vidnst.media.input.still_process import STILL_PROCESSES, is_read_in_child
from vidnst.media.scene_images import is_scene_image

_ORIENTATION, _IPTC = 0x0112, 33723  # EXIF tags
_SRGB_GAMMA = 1 / 2.2
_USUAL_DPI = 72
"""Resolution that programs write where nobody has chosen one."""
_MOST_READ = 50


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """What image files hold apart from its pixels."""

    orientation: int
    """EXIF orientation, 1 to 8."""
    metadata: tuple[str, ...]
    """Kinds of metadata: EXIF (but for the orientation), XMP, ICC profile, text, the gain map that makes a JPEG file
    HDR, IPTC, resolution (without EXIF)."""
    hdr: bool = False
    """True if a file's light is coded as PQ or HLG."""
    others: int = 0
    """Most images in a file that are not used."""
    gamma: str = ""
    """A PNG file's own transfer, where it is not about that of sRGB; empty otherwise."""


def read_picture_facts(paths: Sequence[Path], *, is_animation: bool = False) -> PictureFacts:
    """Read what images hold from the headers of the first one, and of some of the others.

    Args:
        is_animation: True if all frames of a file are used.

    Raises:
        SourceError: the first file does not exist, is not an image, or is too large.
    """
    first = _read_one(paths[0], is_animation=is_animation)
    others = []
    for number in spread_over(0, len(paths), _MOST_READ):
        with suppress(SourceError):  # a damaged file, which is named elsewhere
            others.append(_read_one(paths[number], is_animation=is_animation))
    every = [first, *others]
    return PictureFacts(
        first.orientation,
        tuple(dict.fromkeys(name for facts in every for name in facts.metadata)),
        hdr=any(facts.hdr for facts in every),
        others=max(facts.others for facts in every),
        gamma=next((facts.gamma for facts in every if facts.gamma), ""),
    )


def _read_one(path: Path, *, is_animation: bool) -> PictureFacts:
    header = read_image_header(path)
    unused = header.others + (0 if is_animation else header.frames - 1)
    facts = PictureFacts(header.orientation, (), header.hdr, unused)
    try:
        names, gamma = _told(path)
        return replace(facts, metadata=names, gamma=gamma)
    except Exception:  # the readers raise a dozen types for untrusted bytes; the header has been read
        return facts


def _gamma(image: Image.Image) -> str:
    """Return the gamma of a PNG file that tells no profile, if it is not that of sRGB within a hundredth."""
    told = image.info.get("gamma")
    if image.format != "PNG" or not told or "srgb" in image.info or image.info.get("icc_profile"):
        return ""
    return "" if abs(float(told) - _SRGB_GAMMA) < 0.01 else f"{1 / float(told):.3g}"


def _told(path: Path) -> tuple[tuple[str, ...], str]:
    """Return the kinds of metadata of an image, and its gamma."""
    if is_scene_image(path):
        return (), ""
    if not is_read_in_child(path):
        return read_metadata_here(path)
    answer, _ = STILL_PROCESSES.ask(path, {"command": "metadata"})
    return tuple(map(str, answer["names"])), str(answer["gamma"])


def read_metadata_here(path: Path) -> tuple[tuple[str, ...], str]:
    """Return the kinds of metadata of an image, and its gamma (`PictureFacts.gamma`), read in this process.

    Raises:
        Exception: any of a dozen types, if it is damaged.
    """
    if iso_image_brand(path) == "HEIF":
        return ("EXIF",) if read_heif_header(path).exif else (), ""
    with quiet_pillow(), Image.open(path) as image:
        return _metadata(image), _gamma(image)


def _metadata(image: Image.Image) -> tuple[str, ...]:
    exif = set(Image.Image.getexif(image)) - {_ORIENTATION}
    own_tags = image.format == "TIFF"  # there, the tags that describe the pixels are EXIF's
    found = {
        "EXIF": bool(exif) and (not own_tags or 0x8769 in exif or 0x010F in exif),
        "XMP": any(key in image.info for key in ("xmp", "XML:com.adobe.xmp")),
        "ICC profile": bool(image.info.get("icc_profile")),
        "text": bool(image.info.get("comment") or getattr(image, "text", None)),
        "HDR gain map": b"hdrgm:Version" in image.info.get("xmp", b""),
        "IPTC": "photoshop" in image.info or (own_tags and _IPTC in exif),
    }
    dpi = image.info.get("dpi", ())
    found["resolution"] = not found["EXIF"] and any(abs(float(value) - _USUAL_DPI) > 0.5 for value in dpi)
    return tuple(name for name, is_there in found.items() if is_there)
