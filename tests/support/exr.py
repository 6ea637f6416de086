"""EXR files for tests, written by OpenEXR itself, and the sRGB formulas in double precision."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
from numpy.typing import NDArray

from support import media

Floats = NDArray[np.floating[Any]]


def to_linear(display: Any) -> NDArray[np.float64]:
    """IEC 61966-2-1: display values of 0 to 1 to linear light."""
    display = np.asarray(display, np.float64)
    return np.where(display <= 0.04045, display / 12.92, ((display + 0.055) / 1.055) ** 2.4)


def to_display(linear: Any) -> NDArray[np.float64]:
    """The inverse of `to_linear`."""
    linear = np.asarray(linear, np.float64)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055)


def from_pixels(pixels: NDArray[Any]) -> NDArray[np.float16]:
    """Linear half floats of an 8- or 16-bit picture."""
    return to_linear(pixels / np.iinfo(pixels.dtype).max).astype(np.float16)


def write_exr(
    path: Path,
    values: Floats | Mapping[str, Floats],
    *,
    compression: str = "ZIP_COMPRESSION",
    tile_px: int | None = None,
    data_at: tuple[int, int] = (0, 0),
    display: tuple[int, int, int, int] | None = None,
    **attributes: Any,
) -> Path:
    """Write an EXR file with one part.

    Args:
        values: `(H, W, 3)` RGB, or each channel by its name.
        data_at: x and y of the data window.
        display: left, top, right and bottom (inclusive) of the display window; None is the data window.
        attributes: further attributes of the header.
    """
    given = {"RGB": values} if isinstance(values, np.ndarray) else values
    channels = {name: np.ascontiguousarray(plane) for name, plane in given.items()}
    height, width = next(iter(channels.values())).shape[:2]
    header: dict[str, Any] = {"compression": getattr(OpenEXR, compression), "type": OpenEXR.scanlineimage, **attributes}
    if tile_px is not None:
        header["type"], header["tiles"] = OpenEXR.tiledimage, OpenEXR.TileDescription()
        header["tiles"].xSize = header["tiles"].ySize = tile_px
    left, top = data_at
    header["dataWindow"] = ((left, top), (left + width - 1, top + height - 1))
    if display is not None:
        header["displayWindow"] = (display[:2], display[2:])
    path.parent.mkdir(parents=True, exist_ok=True)
    OpenEXR.File(header, channels).write(str(path))
    return path


def write_parts(path: Path, parts: Mapping[str, Mapping[str, Floats]]) -> Path:
    """Write an EXR file with several parts, each by its name with its channels."""
    made = [
        OpenEXR.Part({"name": name}, {key: np.ascontiguousarray(values) for key, values in channels.items()})
        for name, channels in parts.items()
    ]
    OpenEXR.File(made).write(str(path))
    return path


def read_values(path: Path) -> NDArray[Any]:
    """Read `(H, W, 3)` RGB with OpenEXR's own reader."""
    return np.asarray(OpenEXR.File(str(path)).channels()["RGB"].pixels)


def write_shot(folder: Path, numbers: Sequence[int], pattern: str = "shot_{:04d}.exr") -> list[Path]:
    """Write numbered pictures, of which each shows its number, as EXR files."""
    return [
        write_exr(folder / pattern.format(number), from_pixels(media.numbered_picture(number % 1000)))
        for number in numbers
    ]
