"""The texture of a sound: statistics that do not depend on when something happens (Ulyanov & Lebedev 2016).

Frequencies are the channels of a picture that is one pixel high, and time is its width. One convolution with random
filters over time, a ReLU, and the products of all pairs of filters, averaged over time, describe the texture. The
products of the frequencies themselves are added: they hold what so many random filters leave open.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vidnst.style.sound.spectrum import LEAST_FRAMES, log_magnitude, power_spectrum


@dataclass(frozen=True, slots=True)
class SoundTexture:
    """The statistics of a sound."""

    filters: Tensor
    """Products of filters, `(filters, filters)`."""
    frequencies: Tensor
    """Products of frequencies, `(frequencies, frequencies)`."""

    def distance(self, goal: "SoundTexture") -> Tensor:
        """Return the squared distance to a goal, relative to the goal's energy."""
        return _relative(self.filters, goal.filters) + _relative(self.frequencies, goal.frequencies)


def random_filters(count: int, window: int, seed: int) -> Tensor:
    """Draw filters, `(count, window / 2 + 1, 11)`: the same for a seed on any device."""
    generator = torch.Generator().manual_seed(seed)
    channels = window // 2 + 1
    filters = torch.randn(count, channels, LEAST_FRAMES, generator=generator)
    return filters.mul_((2 / (channels * LEAST_FRAMES)) ** 0.5)


def responses(magnitudes: Tensor, filters: Tensor) -> Tensor:
    """Return what filters respond to log magnitudes, `(channels, filters, positions)`."""
    return functional.relu(functional.conv1d(magnitudes, filters))


def texture(magnitudes: Tensor, responded: Tensor) -> SoundTexture:
    """Return the texture of log magnitudes and of the filters' responses to them, averaged over channels."""
    return SoundTexture(_products(responded), _products(magnitudes))


def texture_of(samples: Tensor, window: int, filters: Tensor) -> SoundTexture:
    """Return the texture of samples, `(channels, samples)`."""
    magnitudes = log_magnitude(power_spectrum(samples, window))
    return texture(magnitudes, responses(magnitudes, filters))


def _products(values: Tensor) -> Tensor:
    rows = values.transpose(0, 1).flatten(1)
    return rows @ rows.T / rows.shape[1]


def _relative(values: Tensor, goal: Tensor) -> Tensor:
    return (values - goal).square().sum() / goal.square().sum().clamp(min=1e-20)
