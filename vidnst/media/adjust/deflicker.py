"""Deflicker: the brightness of each frame, its smooth trend over time, and the exposure gains that restore it."""

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from vidnst.frames import LUMA_WEIGHTS, Pixels, to_float
from vidnst.media.adjust.local_regression import fit_lines

LONGEST_SIDE = 256
"""Size in pixels at which brightness is measured; a mean needs no more."""

_DARKEST = 1.0 / 4096  # linear light: below is noise, whose logarithm would outweigh the image
_TRIM = 0.1  # share of pixels ignored at either end: deep shadows, clipped highlights, passing lamps
_KNEE = 0.75  # linear light (0.88 in sRGB): gains are exact up to here and bend toward white beyond
_MAX_STOPS = 2.0  # changes beyond a factor of 4 are not flicker; correcting them would only raise noise
_INVISIBLE_STOPS = 0.004  # a third of a percent: less than half a level of 8 bits
_ROUNDS = 3


def brightness(pixels: Pixels) -> float:
    """Measure brightness in stops: log2 of Rec. 709 luminance, averaged over the middle 80 % of the pixels.

    Exposure times k adds log2(k), as long as less than a tenth of the pixels is black or clipped.

    Args:
        pixels: `(H, W, 3)` uint8 or uint16 sRGB, RGB order; a reduced size suffices.
    """
    luminance = np.maximum(_linear(to_float(pixels)) @ LUMA_WEIGHTS, _DARKEST)
    stops = np.sort(np.log2(luminance), axis=None)
    cut = int(len(stops) * _TRIM)
    return float(stops[cut : len(stops) - cut].mean(dtype=np.float64))


def smooth_brightness(stops: Sequence[float], window: int) -> NDArray[np.float64]:
    """Smooth brightness over time by robust local regression, see `fit_lines`.

    Args:
        stops: brightness of each frame of one shot.
        window: number of frames that each line is fitted to, at least 3; fewer if the shot is shorter.

    Returns:
        `(len(stops),)` float64.
    """
    values = np.asarray(stops, np.float64)
    if len(values) < 3:
        return values.copy()
    return fit_lines(values, min(window, len(values)), rounds=_ROUNDS, invisible=_INVISIBLE_STOPS)


def exposure_gains(stops: Sequence[float], window: int) -> tuple[float, ...]:
    """Return the gain in linear light for each frame of a shot that restores its smooth brightness.

    Gains are within 1/4 to 4, and exactly 1 where the flicker is invisible.

    Args:
        stops, window: see `smooth_brightness`.
    """
    correction = np.clip(smooth_brightness(stops, window) - np.asarray(stops, np.float64), -_MAX_STOPS, _MAX_STOPS)
    return tuple(1.0 if abs(step) < _INVISIBLE_STOPS else float(2.0**step) for step in correction)


def apply_exposure(pixels: Pixels, gain: float) -> Pixels:
    """Simulate `gain` times the exposure; black and white stay unchanged, and nothing clips.

    The gain is exact in linear light below a knee near white, from which a smooth curve leads to white. The curve of
    1/gain is the inverse of that of `gain`.

    Args:
        pixels: `(H, W, 3)` uint8 or uint16 sRGB, RGB order.
        gain: factor in linear light, above 0; 1 returns the same pixels.
    """
    if gain == 1.0:
        return pixels
    top = int(np.iinfo(pixels.dtype).max)
    light = _linear(np.arange(top + 1, dtype=np.float64) / top)
    table = np.rint(_srgb(_curve(light, gain)) * top).astype(pixels.dtype)
    return cast(Pixels, table[pixels])


def _curve(light: NDArray[np.floating], gain: float) -> NDArray[np.floating]:
    """Apply a gain to linear light, continued by a hyperbola from the knee to (1, 1)."""
    start = _KNEE / gain if gain > 1 else _KNEE
    end = start * gain
    steep = gain * (1 - start) / (1 - end)
    along = np.clip((light - start) / (1 - start), 0, 1)
    return np.where(light <= start, light * gain, end + (1 - end) * steep * along / (1 + (steep - 1) * along))


def _linear(srgb: NDArray[np.floating]) -> NDArray[np.floating]:
    """Convert sRGB in [0, 1] to linear light (IEC 61966-2-1)."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _srgb(light: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
