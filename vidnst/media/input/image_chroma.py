"""The chroma subsampling of image files, from their headers."""

import struct
from pathlib import Path

import pillow_heif
from PIL import Image

from vidnst.frames import ChromaSteps
from vidnst.media.input.decoder_noise import quiet_pillow
from vidnst.media.input.image_header import ImageHeader
from vidnst.media.scene_images import read_scene_header

_GREY_MODES = frozenset({"1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "F"})
_PHOTOMETRIC, _YCBCR, _YCBCR_SUBSAMPLING = 262, 6, 530  # tags and a value of TIFF
_HEIF: dict[object, ChromaSteps | None] = {"420": (2, 2), "422": (2, 1), "444": (1, 1), "monochrome": None, 400: None}
_AVIF_HEAD_BYTES = 1 << 16
_MOST_CHUNKS = 100


def read_image_chroma(path: Path, header: ImageHeader) -> ChromaSteps | None:
    """Return the luma samples for each sample of chroma, across and down, upright; None for a grey image.

    Args:
        header: what `read_image_header` says of the file.
    """
    try:
        stored = _stored(path, header)
    except Exception:  # the readers raise a dozen types for untrusted bytes; decoding will tell
        return 1, 1
    if stored is None or header.orientation < 5:
        return stored
    return stored[1], stored[0]


def _stored(path: Path, header: ImageHeader) -> ChromaSteps | None:
    if header.format in ("EXR", "DPX"):
        return None if read_scene_header(path).is_grey else (1, 1)
    if header.format == "HEIF":
        images = pillow_heif.open_heif(path, convert_hdr_to_8bit=False)
        found = images[images.primary_index].info.get("chroma")
        return _HEIF.get(found, _HEIF.get(str(found), (1, 1)))
    if header.format == "AVIF":
        return _avif(path)
    if header.format == "WEBP":
        return (2, 2) if _is_lossy_webp(path) else (1, 1)
    with quiet_pillow(), Image.open(path) as image:
        if image.mode in _GREY_MODES:
            return None
        if header.format in ("JPEG", "MPO"):
            return _jpeg(image)
        if header.format == "TIFF" and image.tag_v2.get(_PHOTOMETRIC) == _YCBCR:  # type: ignore[attr-defined]
            across, down = image.tag_v2.get(_YCBCR_SUBSAMPLING, (2, 2))  # type: ignore[attr-defined]
            return int(across), int(down)
    return 1, 1


def _jpeg(image: Image.Image) -> ChromaSteps:
    """Compare the sampling factors of luma and of the first plane of chroma."""
    (_, across, down, _), (_, chroma_across, chroma_down, _), *_ = image.layer  # type: ignore[attr-defined]
    return max(1, across // chroma_across), max(1, down // chroma_down)


def _avif(path: Path) -> ChromaSteps | None:
    """Read the first AV1 configuration (AV1-ISOBMFF 2.3.3)."""
    with path.open("rb") as file:
        head = file.read(_AVIF_HEAD_BYTES)
    at = head.find(b"av1C")
    if at < 0 or len(head) < at + 7:
        return 1, 1
    flags = head[at + 6]
    return None if flags >> 4 & 1 else (1 + (flags >> 3 & 1), 1 + (flags >> 2 & 1))


def _is_lossy_webp(path: Path) -> bool:
    """Return whether the first frame is coded with loss, which WebP does in 4:2:0 alone."""
    with path.open("rb") as file:
        file.seek(12)
        for _ in range(_MOST_CHUNKS):
            head = file.read(8)
            if len(head) < 8:
                return False
            kind, length = struct.unpack("<4sI", head)
            if kind in (b"VP8 ", b"VP8L"):
                return bool(kind == b"VP8 ")
            if kind == b"ANMF":  # whose frame follows after 16 bytes
                file.seek(16, 1)
            else:
                file.seek(length + (length & 1), 1)
    return False
