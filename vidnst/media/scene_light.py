"""Values of compositors' frames (EXR, DPX) to display values that are painted, and back.

The sRGB curve is that of IEC 61966-2-1. Cineon's is Kodak's (1995): printing density in steps of 0.002, a negative of
gamma 0.6, white at code 685 and black at 95 of 1023.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidnst.errors import ConfigError
from vidnst.frames import AlphaPlane, State
from vidnst.media.scene_alpha import alpha_levels, separated

OCIO_PREFIX = "ocio:"
_OCIO_CONFIG = "studio-config-v2.1.0_aces-v1.3_ocio-v2.3"
"""A built-in configuration by its version, so that a newer OpenColorIO gives the same colours."""
_OCIO_DISPLAY = "srgb_tx"
_OPAQUE = 65535
_LEVELS = np.float32(65535)
_ABOVE = 1 + 1e-4
"""Display values up to this count as white: matrices round, and half floats have steps of five times as much there."""
_BELOW = -0.5 / 65535
_LARGEST_HALF = 65504
_ROWS_AT_ONCE = 256
_CINEON_WHITE, _CINEON_BLACK, _CINEON_STEP = 685, 95, 0.002 / 0.6


@dataclass(frozen=True, slots=True)
class ScenePicture:
    """The values of a file, as they are stored."""

    colours: NDArray[Any]
    """`(H, W, 3)` float16 or float32 RGB; 1 is white."""
    alpha: NDArray[Any] | None = None
    """`(H, W)`, 1 is opaque; None if the file has none."""
    premultiplied: bool = False
    """True if the colours are multiplied by alpha."""


@dataclass(frozen=True, slots=True)
class DisplayFrame:
    """A frame as it is painted, and what of it was outside the range of display values."""

    pixels: State
    """`(H, W, 3)` uint16 sRGB in RGB order."""
    above: int
    """Pixels with a channel over white."""
    below: int
    """Pixels with a channel under black."""
    invalid: int
    """Pixels with a channel that is infinite or no number; infinite ones are white, others black."""
    peak: float
    """Largest finite value, without the alpha that it is multiplied by."""
    alpha: AlphaPlane | None = None
    """`(H, W)` uint16, straight: the pixels are not multiplied by it; None if the file has none, or all is opaque."""
    glowing: int = 0
    """Pixels that have light, but are fully transparent; they get no colour."""


def to_display(picture: ScenePicture, transform: str) -> DisplayFrame:
    """Transform the values of a frame into display values of straight alpha, and clip them.

    Args:
        transform: `srgb` (the values are linear light, Rec. 709 primaries), `cineon` (logarithmic), `none` (they are
            display values), or `ocio:NAME` (a colour space of OpenColorIO's built-in ACES configuration).

    Raises:
        ConfigError: OpenColorIO is missing, or does not know the name.
    """
    values = picture.colours
    alpha = None if picture.alpha is None else alpha_levels(picture.alpha)
    if alpha is not None and (alpha == _OPAQUE).all():
        alpha = None
    pixels = np.empty(values.shape, np.uint16)
    above = below = invalid = glowing = 0
    peak = 0.0
    for first in range(0, len(values), _ROWS_AT_ONCE):  # temporary floats of a large frame would take gigabytes
        block = values[first : first + _ROWS_AT_ONCE]
        finite = np.isfinite(block).all(axis=2)
        if not finite.all():
            invalid += int(finite.size - np.count_nonzero(finite))
            block = np.nan_to_num(block, nan=0, posinf=_LARGEST_HALF, neginf=-_LARGEST_HALF)
        if picture.alpha is not None and alpha is not None and picture.premultiplied:
            block, glows = separated(block, picture.alpha[first : first + _ROWS_AT_ONCE])
            glowing += glows
        display = _display_values(block, transform)
        above += int(np.count_nonzero((display > _ABOVE).any(axis=2)))
        below += int(np.count_nonzero((display < _BELOW).any(axis=2)))
        peak = max(peak, float(block.max(initial=0)))
        pixels[first : first + _ROWS_AT_ONCE] = np.rint(np.clip(display, 0, 1) * _LEVELS)
    return DisplayFrame(pixels, above, below, invalid, peak, alpha, glowing)


def to_scene(pixels: State, transform: str) -> NDArray[np.float16]:
    """Transform display values into those of an EXR file without alpha: the inverse of `to_display`.

    Frames of a `cineon` source become linear light, too, since EXR files hold no logarithmic values.

    Args:
        pixels: `(H, W, 3)` uint16.

    Raises:
        ConfigError: see `to_display`.
    """
    if transform.startswith(OCIO_PREFIX):
        values = pixels.astype(np.float32) / _LEVELS
        return _ocio_curve(transform[len(OCIO_PREFIX) :], inverse=True)(values).astype(np.float16)
    return _scene_table(linear=transform != "none")[pixels]


def written_transform(transform: str) -> str:
    """Return the transform that reads EXR files which were written with this one."""
    return "srgb" if transform in ("auto", "cineon") else transform


def check_transform(transform: str) -> None:
    """Raise ConfigError if a transform needs OpenColorIO and it is missing, or does not know the colour space."""
    if transform.startswith(OCIO_PREFIX):
        _ocio_curve(transform[len(OCIO_PREFIX) :], inverse=False)


def encode_srgb(linear: NDArray[np.float32]) -> NDArray[np.float32]:
    """Encode linear light with the sRGB curve, which is mirrored for negative values."""
    size = np.abs(linear)
    curved = 1.055 * np.power(size, np.float32(1 / 2.4)) - np.float32(0.055)
    return np.copysign(np.where(size <= 0.0031308, np.float32(12.92) * size, curved), linear).astype(np.float32)


def decode_srgb(display: NDArray[np.float64]) -> NDArray[np.float64]:
    """Decode display values of 0 to 1 to linear light."""
    return np.where(display <= 0.04045, display / 12.92, ((display + 0.055) / 1.055) ** 2.4)


def decode_cineon(codes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Decode Cineon's logarithmic values, 1 for code 1023, to linear light of which 1 is the reference white."""
    black = 10 ** ((_CINEON_BLACK - _CINEON_WHITE) * _CINEON_STEP)
    exponents = (codes * np.float32(1023) - np.float32(_CINEON_WHITE)) * np.float32(_CINEON_STEP)
    return np.asarray((np.power(np.float32(10), exponents) - black) / (1 - black), np.float32)


def _display_values(values: NDArray[Any], transform: str) -> NDArray[np.float32]:
    if values.dtype == np.float16 and not transform.startswith(OCIO_PREFIX):
        return np.asarray(_half_table(transform)[np.ascontiguousarray(values).view(np.uint16)], np.float32)
    return _curve(transform)(values.astype(np.float32))


@lru_cache(maxsize=3)
def _half_table(transform: str) -> NDArray[np.float32]:
    """Return the display value of each of 65536 half floats."""
    halves = np.nan_to_num(np.arange(65536).astype(np.uint16).view(np.float16).astype(np.float32), posinf=0, neginf=0)
    with np.errstate(over="ignore"):  # 10 to the power of values that no logarithmic file has
        return np.asarray(np.minimum(_curve(transform)(halves), _LARGEST_HALF), np.float32)


def _curve(transform: str) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    if transform.startswith(OCIO_PREFIX):
        return _ocio_curve(transform[len(OCIO_PREFIX) :], inverse=False)
    if transform == "cineon":
        return lambda codes: encode_srgb(decode_cineon(codes))
    return encode_srgb if transform == "srgb" else lambda values: values


@lru_cache(maxsize=2)
def _scene_table(*, linear: bool) -> NDArray[np.float16]:
    """Return the half float of each of 65536 display values."""
    display = np.arange(65536) / 65535
    return (decode_srgb(display) if linear else display).astype(np.float16)


@cache
def _ocio_curve(space: str, *, inverse: bool) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    try:
        import PyOpenColorIO  # an extra
    except ImportError as error:
        raise ConfigError(
            f"input.transform {OCIO_PREFIX}{space} needs OpenColorIO, which is not installed",
            "install it with pip install 'vidnst[ocio]', or choose srgb or none",
        ) from error
    config = PyOpenColorIO.Config.CreateFromFile(f"ocio://{_OCIO_CONFIG}")
    if config.getColorSpace(space) is None:
        names = [name for name in config.getColorSpaceNames() if name.startswith(("ACES", "Linear", "lin_"))]
        raise ConfigError(
            f"input.transform: OpenColorIO's ACES configuration has no colour space {space!r}",
            f"choose one such as {', '.join(names[:6])}",
        )
    ends = (_OCIO_DISPLAY, space) if inverse else (space, _OCIO_DISPLAY)
    processor = config.getProcessor(*ends).getDefaultCPUProcessor()

    def apply(values: NDArray[np.float32]) -> NDArray[np.float32]:
        changed = np.array(values, np.float32, order="C")
        processor.applyRGB(changed)
        return changed

    return apply
