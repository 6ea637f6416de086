"""Flicker of the exposure: how bright each frame is, the smooth course of that over time, and the way back to it."""

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from vidnst.frames import LUMA_WEIGHTS, Pixels, to_float

LONGEST_SIDE = 256
"""Pixels: on which a frame's brightness is measured; a mean needs no more."""

_DARKEST = 1.0 / 4096  # of linear light: below it is noise, and its logarithm would outweigh the picture
_TRIM = 0.1  # share left out at either end: deep shadows, clipped highlights, a lamp that passes
_KNEE = 0.75  # of linear light (0.88 in sRGB): up to it a gain is exact, beyond it bends toward white
_MOST_STOPS = 2.0  # a correction beyond a factor of 4 is not of flicker; it would only raise noise
_UNSEEN_STOPS = 0.004  # a third of a percent: less than half a level of 8 bits, so the frame is left alone
_ROUNDS = 3


def brightness(pixels: Pixels) -> float:
    """How bright a picture is, in stops: log2 of Rec. 709 luminance, averaged over the middle 80 % of its pixels.

    A change of exposure by a factor k moves it by log2(k), as long as less than a tenth is black or clipped.

    Args:
        pixels: `(H, W, 3)` uint8 or uint16 sRGB, RGB order; a reduced size will do.
    """
    luminance = np.maximum(_linear(to_float(pixels)) @ LUMA_WEIGHTS, _DARKEST)
    stops = np.sort(np.log2(luminance), axis=None)
    cut = int(len(stops) * _TRIM)
    return float(stops[cut : len(stops) - cut].mean(dtype=np.float64))


def smooth_brightness(stops: Sequence[float], window: int) -> NDArray[np.float64]:
    """The slow course of brightness: robust local regression, Cleveland 1979 (LOESS with lines and bisquare weights).

    Lines, not means, keep a sunset's slope up to the first and the last frame; a single flash does not bend the course.

    Args:
        stops: brightness of each frame of one shot.
        window: frames that each line is fitted to, 3 or more; fewer where the shot is shorter.

    Returns:
        `(len(stops),)` float64.
    """
    values = np.asarray(stops, np.float64)
    if len(values) < 3:
        return values.copy()
    trust = np.ones(len(values))
    course = values
    for _ in range(_ROUNDS):
        course = _lines(values, trust, min(window, len(values)))
        rest = np.abs(values - course)
        if rest.max() < _UNSEEN_STOPS:
            break
        spread = max(6 * float(np.median(rest)), _UNSEEN_STOPS)
        trust = np.maximum(1e-6, (1 - np.minimum(rest / spread, 1) ** 2) ** 2)
    return course


def _lines(values: NDArray[np.float64], trust: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """For each frame the value there of a line fitted to the `window` frames nearest to it."""
    count = len(values)
    course = np.empty(count)
    for index in range(count):
        first = min(max(0, index - window // 2), count - window)
        near = np.arange(first, first + window, dtype=np.float64) - index
        weights = (1 - (np.abs(near) / (np.abs(near).max() + 1)) ** 3) ** 3 * trust[first : first + window]
        weights = weights / weights.sum()
        part = values[first : first + window]
        middle, level = weights @ near, weights @ part
        slope = (weights * (near - middle)) @ part / ((weights * (near - middle)) @ near)
        course[index] = level - slope * middle
    return course


def exposure_gains(stops: Sequence[float], window: int) -> tuple[float, ...]:
    """The factor of linear light for each frame of a shot that puts it on the smooth course.

    Within 1/4 to 4; exactly 1 where the flicker is too small to be seen.

    Args:
        stops, window: see `smooth_brightness`.
    """
    away = np.clip(smooth_brightness(stops, window) - np.asarray(stops, np.float64), -_MOST_STOPS, _MOST_STOPS)
    return tuple(1.0 if abs(step) < _UNSEEN_STOPS else float(2.0**step) for step in away)


def apply_exposure(pixels: Pixels, gain: float) -> Pixels:
    """A picture as if it had been exposed `gain` times as long; black stays black, white stays white, nothing clips.

    The gain is exact in linear light below a knee near white; from there a curve without a kink leads on to white. The
    curve of 1/gain is the inverse of that of `gain`.

    Args:
        pixels: `(H, W, 3)` uint8 or uint16 sRGB, RGB order.
        gain: factor of linear light, above 0; 1 gives the very same pixels.
    """
    if gain == 1.0:
        return pixels
    top = int(np.iinfo(pixels.dtype).max)
    light = _linear(np.arange(top + 1, dtype=np.float64) / top)
    table = np.rint(_srgb(_curve(light, gain)) * top).astype(pixels.dtype)
    return cast(Pixels, table[pixels])


def _curve(light: NDArray[np.floating], gain: float) -> NDArray[np.floating]:
    """Linear light through a gain that a hyperbola leads on from the knee to (1, 1)."""
    start = _KNEE / gain if gain > 1 else _KNEE
    end = start * gain
    steep = gain * (1 - start) / (1 - end)
    along = np.clip((light - start) / (1 - start), 0, 1)
    return np.where(light <= start, light * gain, end + (1 - end) * steep * along / (1 + (steep - 1) * along))


def _linear(srgb: NDArray[np.floating]) -> NDArray[np.floating]:
    """Values of sRGB in [0, 1] as linear light (IEC 61966-2-1)."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _srgb(light: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
