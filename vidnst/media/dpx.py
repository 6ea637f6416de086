"""DPX files (SMPTE 268M): headers, and values."""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidnst.errors import SourceError
from vidnst.media.input.limits import check_frame_pixels
from vidnst.media.input.picture_process import PICTURE_PROCESS
from vidnst.media.scene_light import ScenePicture

_MAGIC = {b"SDPX": ">", b"XPDS": "<"}
_HEADER_BYTES = 808
_SIZE_AT, _FIRST_ELEMENT_AT = 772, 800
_TEXTS = {"project": (260, 200), "copyright": (460, 200)}
"""Position and length of texts in the header."""
_DATA_AT, _TIMECODE_AT, _NO_TIMECODE = 4, 1920, b"\xff\xff\xff\xff"
_GREY = frozenset({6})
"""Descriptors of luma alone."""
_WITH_ALPHA = frozenset({51, 52})
"""Descriptors of RGBA and ABGR."""
_LOGARITHMIC, _LINEAR = frozenset({1, 3}), 2
"""Transfer characteristics: printing density, logarithmic; linear."""


@dataclass(frozen=True, slots=True)
class DpxHeader:
    """The facts of a DPX file's first image element."""

    width: int
    height: int
    alpha: bool
    transform: str
    """`cineon` for logarithmic values, `srgb` for linear ones, `none` for video's or unknown ones."""
    is_grey: bool = False
    """True if the picture has one channel."""
    attributes: tuple[str, ...] = ()
    """Names of what the header holds that does not describe the pixels."""


def read_dpx_header(path: Path) -> DpxHeader:
    """Read the header of a DPX file.

    Raises:
        SourceError: the file is missing, is not a DPX file, or its picture is too large.
    """
    if path.exists() and not path.is_file():  # reading a pipe could block forever
        raise SourceError(f"{path} is not a file", "give an image file")
    try:
        with path.open("rb") as file:
            head = file.read(_TIMECODE_AT + 4)
    except OSError as error:
        raise SourceError(f"there is no image {path}", "check the name") from error
    order = _MAGIC.get(head[:4])
    if order is None or len(head) < _HEADER_BYTES:
        raise SourceError(f"{path} is not a readable image (no DPX header)", "check the file")
    width, height = struct.unpack_from(f"{order}II", head, _SIZE_AT)
    descriptor, transfer = struct.unpack_from("BB", head, _FIRST_ELEMENT_AT)
    if not (width and height):
        raise SourceError(f"{path} is not a readable image ({width}x{height} pixels)", "check the file")
    check_frame_pixels(f"the image {path}", width, height)
    transform = "cineon" if transfer in _LOGARITHMIC else "srgb" if transfer == _LINEAR else "none"
    return DpxHeader(width, height, descriptor in _WITH_ALPHA, transform, descriptor in _GREY, _attributes(head, order))


def _attributes(head: bytes, order: str) -> tuple[str, ...]:
    found = [name for name, (at, length) in _TEXTS.items() if head[at : at + length].strip(b"\0\xff ")]
    (data_at,) = struct.unpack_from(f"{order}I", head, _DATA_AT)
    code = head[_TIMECODE_AT:] if data_at >= _TIMECODE_AT + 4 else b""
    return (*found, "time code") if len(code) == 4 and code.strip(b"\0") and code != _NO_TIMECODE else tuple(found)


def read_dpx(path: Path) -> ScenePicture:
    """Read the picture of a DPX file, in which 1 is the largest code. Alpha is straight, of which SMPTE 268M is silent.

    Raises:
        SourceError: see `read_dpx_header`; also if the pixels do not decode.
    """
    read_dpx_header(path)
    facts, planes = PICTURE_PROCESS.decode("dpx", path, pixels=True, alpha=True)
    colours = planes[:-1] if facts["alpha"] else planes
    if planes.dtype.kind != "u" or len(colours) not in (1, 3) or facts.get("bits") not in (8, 10, 12, 16):
        raise SourceError(f"the image {path} does not decode", "check the file")
    largest = np.float32((1 << facts["bits"]) - 1)
    values = np.broadcast_to(colours, (3, *planes.shape[1:])).transpose(1, 2, 0).astype(np.float32)
    alpha = planes[-1].astype(np.float32) / largest if facts["alpha"] else None
    return ScenePicture(np.ascontiguousarray(values / largest), alpha)
