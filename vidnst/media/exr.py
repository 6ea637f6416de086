"""OpenEXR files: headers, scene values, and writing of linear half floats."""

import math
import shutil
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidnst.errors import OutputError, SourceError
from vidnst.files.utf8_path import is_utf8
from vidnst.frames import AlphaPlane, Pixels, to_16_bits
from vidnst.media.input.picture_process import PICTURE_PROCESS
from vidnst.media.scene_alpha import premultiplied
from vidnst.media.scene_light import ScenePicture, to_scene

REC709_CHROMATICITIES = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
"""x and y of red, green, blue and white (ITU-R BT.709)."""


@dataclass(frozen=True, slots=True)
class ExrHeader:
    """The facts of an EXR file's first picture."""

    width: int
    """Pixels across of the display window."""
    height: int
    """Pixels down, likewise."""
    crops: bool
    """True if the file has pixels outside of the display window."""
    fills: bool
    """True if the display window has areas without pixels, which are black."""
    alpha: bool
    layer: str
    """Layer of the picture; empty if its channels have none."""
    unused: int
    """Number of channels that belong to no picture, or to another one."""
    chromaticities: tuple[float, ...] | None
    """x and y of red, green, blue and white; None if the file does not tell."""
    pixel_aspect: float
    """Width of a pixel divided by its height."""
    is_grey: bool = False
    """True if the picture has one channel, but for alpha."""
    is_float: bool = False
    """True if a channel has 32 bits, half floats have 16."""
    attributes: tuple[str, ...] = ()
    """Names of what the header holds that does not describe the pixels: owner, timeCode, ..."""


def read_exr_header(path: Path) -> ExrHeader:
    """Read the header of an EXR file.

    Raises:
        SourceError: the file is missing or damaged, or has no picture that can be read, or one that is too large.
    """
    facts, _ = PICTURE_PROCESS.decode("exr", path, pixels=False)
    data, display = facts["data_window"], facts["display_window"]
    aspect = float(facts["pixel_aspect"])
    return ExrHeader(
        width=facts["width"],
        height=facts["height"],
        crops=_exceeds(data, display),
        fills=_exceeds(display, data),
        alpha=bool(facts["alpha"]),
        layer=facts["layer"],
        unused=facts["unused"],
        chromaticities=tuple(facts["chromaticities"]) if facts["chromaticities"] else None,
        pixel_aspect=aspect if math.isfinite(aspect) and aspect > 0 else 1.0,
        is_grey=facts["colours"] == 1,
        is_float=bool(facts["float"]),
        attributes=tuple(map(str, facts["attributes"])),
    )


def _exceeds(one: list[int], other: list[int]) -> bool:
    return one[0] < other[0] or one[1] < other[1] or one[2] > other[2] or one[3] > other[3]


def read_exr(path: Path) -> ScenePicture:
    """Read the picture of an EXR file in its whole display window.

    Areas outside of the data window are black, and transparent if the file has alpha.

    Raises:
        SourceError: see `read_exr_header`; also if the pixels do not decode.
    """
    facts, planes = PICTURE_PROCESS.decode("exr", path, pixels=True, alpha=True)
    colours = planes[:-1] if facts["alpha"] else planes
    if planes.dtype.kind != "f" or len(colours) not in (1, 3):
        raise SourceError(f"the image {path} does not decode", "check the file")
    values = np.ascontiguousarray(np.broadcast_to(colours, (3, *planes.shape[1:])).transpose(1, 2, 0))
    return ScenePicture(values, planes[-1] if facts["alpha"] else None, premultiplied=True)


def exr_values(pixels: Pixels, transform: str, alpha: AlphaPlane | None = None) -> NDArray[np.float16]:
    """Return what an EXR file holds of display values: `(H, W, 3)`, or with alpha `(H, W, 4)`, multiplied by it.

    Args:
        pixels: `(H, W, 3)` uint8 or uint16 sRGB of straight alpha.
        transform: see `scene_light.to_scene`.
        alpha: `(H, W)` uint8 or uint16.

    Raises:
        ConfigError: OpenColorIO is missing.
    """
    values = to_scene(to_16_bits(pixels), transform)
    return values if alpha is None else premultiplied(values, alpha)


def encode_exr(path: Path, pixels: Pixels, transform: str, alpha: AlphaPlane | None = None) -> None:
    """Write display values as an EXR file of half floats, compressed with ZIP.

    Args:
        path: a temporary name, since the file is not written atomically.
        pixels, transform, alpha: see `exr_values`.

    Raises:
        OutputError: the file cannot be written.
        ConfigError: OpenColorIO is missing.
    """
    library = _library()
    header: dict[str, Any] = {"compression": library.ZIP_COMPRESSION, "type": library.scanlineimage}
    if transform in ("auto", "srgb", "cineon"):
        header["chromaticities"] = REC709_CHROMATICITIES
    values = exr_values(pixels, transform, alpha)
    file = library.File(header, {"RGB" if alpha is None else "RGBA": np.ascontiguousarray(values)})
    try:
        if is_utf8(str(path)):
            file.write(str(path))
            return
        with tempfile.TemporaryDirectory(prefix="vidnst-") as folder:  # OpenEXR takes no other names
            file.write(f"{folder}/frame.exr")
            shutil.copyfile(f"{folder}/frame.exr", path)
    except RuntimeError as error:  # the library's only one, whatever is wrong
        raise OutputError(f"{path} cannot be written as EXR ({error})", "check the folder and its disk") from error


@lru_cache(maxsize=1)
def _library() -> Any:
    import OpenEXR  # only writing needs it in this process

    return OpenEXR
