"""Sounds that tests make: clicks, speech-like syllables, rain; `(channels, samples)` float32, seeded."""

import numpy as np
from numpy.typing import NDArray

RATE = 8000


def clicks(seconds: float = 3.0, *, channels: int = 1, every: float = 0.4) -> NDArray[np.float32]:
    """Short bursts over a faint hiss, the first after half of `every` seconds."""
    generator = np.random.default_rng(3)
    sound = 0.0005 * generator.standard_normal((channels, round(seconds * RATE)))
    for start in click_places(seconds, every):
        burst = generator.standard_normal(80) * np.exp(-np.arange(80) / 15)
        sound[:, start : start + 80] += 0.5 * burst[: sound.shape[1] - start]
    return sound.astype(np.float32)


def click_places(seconds: float = 3.0, every: float = 0.4) -> list[int]:
    """Return the samples at which the clicks begin."""
    return [round(time * RATE) for time in np.arange(every / 2, seconds, every)]


def syllables(seconds: float = 3.0, *, channels: int = 1) -> NDArray[np.float32]:
    """A buzz with moving formants that swells four times a second, as speech does."""
    time = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(140 + 20 * np.sin(2 * np.pi * 0.7 * time)) / RATE
    buzz = sum(np.sin(number * phase) / number for number in range(1, 20))
    level = (0.5 - 0.5 * np.cos(2 * np.pi * 4 * time)) ** 2 * (0.4 + 0.6 * np.sin(2 * np.pi * 0.3 * time) ** 2)
    sides = np.linspace(1, 0.6, channels)[:, None]
    return (0.15 * sides * buzz * level).astype(np.float32)


def rain(seconds: float = 3.0, *, channels: int = 1, seed: int = 5) -> NDArray[np.float32]:
    """A soft noise with drops at random."""
    generator = np.random.default_rng(seed)
    count = round(seconds * RATE)
    sound = 0.02 * generator.standard_normal((channels, count))
    drop = np.exp(-np.arange(160) / 40)
    for place in generator.integers(0, max(1, count - 160), round(60 * seconds)):
        pitch = generator.uniform(1000, 3500)
        ring = drop * np.sin(2 * np.pi * pitch * np.arange(160) / RATE)
        sound[:, place : place + 160] += generator.uniform(0.02, 0.2) * ring[: count - place]
    return sound.astype(np.float32)


def band_curves(sound: NDArray[np.float32], milliseconds: int, bands: int) -> NDArray[np.float64]:
    """Return the level over time of each of some bands of equal width, `(bands, pieces)`."""
    length = RATE * milliseconds // 1000
    whole = sound[:, : sound.shape[1] // length * length].reshape(sound.shape[0], -1, length)
    power = (np.abs(np.fft.rfft(whole * np.hanning(length), axis=2)) ** 2).mean(0)[:, 1:]
    return np.stack([np.sqrt(part.mean(1)) for part in np.array_split(power, bands, axis=1)])


def level_curve(sound: NDArray[np.float32], milliseconds: int = 20) -> NDArray[np.float64]:
    """Return the level over time, in pieces of some milliseconds."""
    length = RATE * milliseconds // 1000
    whole = sound[:, : sound.shape[1] // length * length].astype(np.float64)
    return np.sqrt((whole.reshape(sound.shape[0], -1, length) ** 2).mean((0, 2)))
