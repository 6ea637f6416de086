"""The short-time spectrum of a sound, as the restyling hears it."""

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

_USUAL_WINDOW, _USUAL_RATE = 2048, 46_000
_LEAST_WINDOW, _MOST_WINDOW = 256, 8192
HOPS_PER_WINDOW = 4
LEAST_FRAMES = 11
"""Windows that a spectrum has at least: as many as the filters span."""
_TINY = 1e-10


def window_length(rate: int) -> int:
    """Return the samples of a window: 2048 at 44.1 and 48 kHz, at others the power of 2 that lasts about as long."""
    wanted = _USUAL_WINDOW * 2 ** round(math.log2(rate / _USUAL_RATE))
    return int(min(_MOST_WINDOW, max(_LEAST_WINDOW, wanted)))


@cache
def _hann(length: int) -> Tensor:
    return torch.hann_window(length)


def power_spectrum(samples: Tensor, window: int) -> Tensor:
    """Return the power of each frequency over time, `(channels, window / 2 + 1, frames)`, with hops of a quarter.

    Half a window of silence surrounds the sound, and more follows if it has fewer windows than a filter spans.

    Args:
        samples: `(channels, samples)`.
        window: samples of a window.
    """
    hop = window // HOPS_PER_WINDOW
    missing = window + hop * (LEAST_FRAMES - 1) - samples.shape[1] - window
    padded = functional.pad(samples, (window // 2, window // 2 + max(0, missing)))
    # Not torch.stft: the order in which its gradient is summed up on a GPU is not fixed.
    spectrum = torch.fft.rfft(padded.unfold(1, window, hop) * _hann(window).to(samples)).transpose(1, 2)
    power: Tensor = spectrum.real.square() + spectrum.imag.square()
    return power


def log_magnitude(power: Tensor) -> Tensor:
    """Return log(1 + magnitude), which is about as loud as it sounds."""
    return torch.log1p((power + _TINY).sqrt())


def envelope(power: Tensor) -> Tensor:
    """Return the level of each window, `(channels, frames)`."""
    return (power.mean(1) + _TINY).sqrt()
