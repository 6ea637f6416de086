"""Noise with the spectrum of a sound: what a soundtrack that does not exist starts from."""

from collections.abc import Iterator

import numpy as np
import torch

from vidnst.style.sound.chunks import Samples
from vidnst.style.sound.spectrum import HOPS_PER_WINDOW, power_spectrum, window_length


def shaped_noise(style: Samples, rate: int, samples: int, *, seed: int) -> Iterator[Samples]:
    """Yield noise, piece by piece, that has the spectrum and the level of a style, in as many channels.

    Args:
        style: `(channels, samples)`.
        rate: samples per second.
        samples: length of the noise.
        seed: of the noise; equal seeds give equal noise.
    """
    window = window_length(rate)
    hop = window // HOPS_PER_WINDOW
    power = power_spectrum(torch.from_numpy(style), window).mean(2).numpy().astype(np.float64)
    taper = np.hanning(window + 1)[:-1]
    # Windows overlap fourfold, and each adds its power: together they have that of the style.
    magnitude = np.sqrt(power / (taper**2).sum()) * np.sqrt(window)
    level = np.sqrt((taper**2).reshape(HOPS_PER_WINDOW, hop).sum(0).mean())
    generator = np.random.default_rng(seed)
    ahead = np.zeros((style.shape[0], window))
    skipped = window - hop  # the first windows lack those before them
    left = samples + skipped
    while left > 0:
        phases = np.exp(2j * np.pi * generator.random(magnitude.shape))
        ahead += np.fft.irfft(magnitude * phases, window) * taper / level
        piece, ahead = ahead[:, :hop], np.concatenate([ahead[:, hop:], np.zeros((style.shape[0], hop))], 1)
        first = min(skipped, hop)
        skipped -= first
        yield piece[:, first:left].astype(np.float32)
        left -= hop
