"""Generated stills and animations in formats of phones and browsers; pixels as in `support.media`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import Image

from support import media

_EXIF_IFD, _TAKEN, _TAKEN_FRACTION, _ORIENTATION = 0x8769, 0x9003, 0x9291, 0x0112


def stored(upright: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn and mirror upright pixels so that an EXIF orientation makes them upright again."""
    undo = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, 1),
        7: np.rot90(upright.swapaxes(0, 1), 2),
        8: np.rot90(upright, -1),
    }
    return np.ascontiguousarray(undo[orientation])


def exif(*, orientation: int = 1, taken: str = "", fraction: str = "") -> bytes:
    """Return EXIF data with an orientation, and a time of capture such as `2024:05:01 12:00:00`."""
    tags = Image.Exif()
    tags[_ORIENTATION] = orientation
    details = tags.get_ifd(_EXIF_IFD)
    if taken:
        details[_TAKEN] = taken
    if fraction:
        details[_TAKEN_FRACTION] = fraction
    return tags.tobytes()


def write_heic(
    path: Path, pixels: NDArray[Any], *, orientation: int = 1, tile_px: int = 0, metadata: bytes | None = None
) -> Path:
    """Write an upright picture as HEIC.

    Args:
        pixels: `(H, W, 3)` uint8, or uint16 for 10 bits; or `(H, W, 4)`.
        orientation: how it is stored, with a rotation and mirroring that make it upright.
        tile_px: side of the tiles of a grid, as phones write it; 0 is none.
        metadata: EXIF data instead of that with the orientation.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    turned = stored(pixels, orientation)
    mode = {3: "RGB", 4: "RGBA"}[turned.shape[2]] + (";16" if turned.dtype == np.uint16 else "")
    image = pillow_heif.from_bytes(mode, (turned.shape[1], turned.shape[0]), turned.tobytes())
    before = pillow_heif.options.GRID_TILE_SIZE
    pillow_heif.options.GRID_TILE_SIZE = tile_px
    try:
        image.save(path, quality=-1, chroma=444, exif=metadata or exif(orientation=orientation))
    finally:
        pillow_heif.options.GRID_TILE_SIZE = before
    return path


def write_heic_of_several(path: Path, frames: Sequence[NDArray[Any]], *, primary: int = 0) -> Path:
    """Write several pictures as one HEIC file."""
    several = pillow_heif.HeifFile()
    for pixels in frames:
        several.add_frombytes("RGB", (pixels.shape[1], pixels.shape[0]), pixels.tobytes())
    several.save(path, quality=-1, chroma=444, primary_index=primary)
    return path


def write_animation(path: Path, frames: Sequence[NDArray[Any]], kind: str, **options: Any) -> Path:
    """Write an animation with Pillow; `duration` is in milliseconds, one or one for each frame."""
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *others = (Image.fromarray(pixels) for pixels in frames)
    first.save(path, kind, save_all=True, append_images=others, **options)
    return path


def write_photo(path: Path, index: int, *, taken: str = "", fraction: str = "") -> Path:
    """Write a numbered picture as JPEG with a time of capture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = exif(taken=taken, fraction=fraction)
    Image.fromarray(media.numbered_picture(index)).save(path, "JPEG", quality=95, exif=data)
    return path
