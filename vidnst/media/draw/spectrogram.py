"""Spectrograms: a sound as a picture, time to the right, pitch upward, loud places bright."""

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.frames import Pixels

_WINDOW = 2048
_COLUMNS, _ROWS = 800, 200
_LOWEST_HZ = 50.0
_RANGE_DB = 80.0
_TINY = 1e-12


def draw_spectrogram(sound: NDArray[np.float32], rate: int) -> Pixels:
    """Draw a sound, `(H, W, 3)` uint8; pitches are spaced as keys of a piano are, and colours span 80 dB.

    Args:
        sound: samples of one channel; those that are not finite count as 0.
        rate: samples per second.
    """
    finite = np.nan_to_num(sound.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    padded = np.pad(finite, (_WINDOW // 2, _WINDOW))
    columns = min(_COLUMNS, max(1, len(sound) // (_WINDOW // 4)))
    starts = np.linspace(0, max(0, len(sound) - 1), columns).astype(int)
    taper = np.hanning(_WINDOW)
    spectrum = np.abs(np.stack([np.fft.rfft(padded[start : start + _WINDOW] * taper) for start in starts], 1))
    pitches = np.geomspace(_LOWEST_HZ, rate / 2, _ROWS)[::-1]
    rows = np.clip(np.round(pitches * _WINDOW / rate).astype(int), 0, _WINDOW // 2)
    level = 20 * np.log10(spectrum[rows] / taper.sum() * 2 + _TINY)
    grey = np.clip((level + _RANGE_DB + 10) / _RANGE_DB * 255, 0, 255).astype(np.uint8)
    coloured = cv2.cvtColor(cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    return np.ascontiguousarray(coloured, np.uint8)
