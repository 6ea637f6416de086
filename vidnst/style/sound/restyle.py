"""Restyles a sound: optimises its samples until their texture is that of another, from the sound itself.

The start is the source with its phase, so speech and beats stay where they are, and no phase has to be found
afterwards. Two terms hold it: the filters' responses, and the level of every window, which keeps onsets (Verma & Smith
2018). The strength weighs them against the texture, over four powers of ten.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vidnst.devices.determinism import reproducible_mode
from vidnst.errors import NumericalError
from vidnst.style.optimizers import LBFGS
from vidnst.style.sound.chunks import Samples
from vidnst.style.sound.spectrum import envelope, log_magnitude, power_spectrum, window_length
from vidnst.style.sound.texture import SoundTexture, random_filters, responses, texture, texture_of

_RATE = 0.02
"""Largest mean step of a sample; full scale is 1, and the sounds are at the level of speech."""
_ENVELOPE_WEIGHT = 10.0
"""Weight of the levels relative to that of the responses."""
_SILENT = 1e-6
"""Peak below which a sound is taken for silence, -120 dB."""
_TINY = 1e-20


@dataclass(frozen=True, slots=True)
class Restyled:
    """A restyled sound."""

    samples: Samples
    losses: dict[str, float]
    """Final values: total, style, content, envelope."""
    evaluations: int


class SoundStylizer:
    """Gives sounds the texture of one style.

    Args:
        style: the style's samples, at the level of the sounds.
        rate: samples per second of the style and of the sounds.
        filters: number of random filters.
        seed: of the filters.
        device: where it computes.
    """

    def __init__(self, style: Samples, rate: int, *, filters: int, seed: int, device: torch.device) -> None:
        self._device = device
        self._window = window_length(rate)
        self._filters = random_filters(filters, self._window, seed).to(device)
        with reproducible_mode(), torch.no_grad():
            self._goal = texture_of(torch.from_numpy(style).to(device), self._window, self._filters)

    def restyle(self, samples: Samples, *, strength: float, iterations: int, held: bool = True) -> Restyled:
        """Restyle a sound; silence, and any sound at strength 0, comes back as it is.

        Args:
            samples: `(channels, samples)` at the level of the style.
            strength: from 0, the source, to 1, nearly the style alone.
            iterations: evaluations of the loss.
            held: whether the sound's own responses and levels hold it; without them the texture alone counts.

        Raises:
            NumericalError: the loss is not finite.
        """
        if strength == 0 or float(np.abs(samples).max(initial=0)) < _SILENT:
            return Restyled(samples, {}, 0)
        with reproducible_mode():
            return self._optimised(torch.from_numpy(samples).to(self._device), strength, iterations, held=held)

    def _optimised(self, start: Tensor, strength: float, iterations: int, *, held: bool) -> Restyled:
        with torch.no_grad():
            heard = self._hear(start)
        weight = hold_weight(strength) if held else 0.0
        optimizer, sound, losses = LBFGS(), start.clone(), torch.zeros(4)
        for _ in range(iterations):
            sound.requires_grad_(True)
            losses = self._losses(self._hear(sound), heard, weight)
            (gradient,) = torch.autograd.grad(losses[0], sound)
            sound = sound.detach()
            sound = sound + optimizer(sound, gradient * sound.numel(), _RATE)
        values = dict(zip(("total", "style", "content", "envelope"), losses.detach().tolist(), strict=True))
        if not (math.isfinite(values["total"]) and bool(torch.isfinite(sound).all())):
            raise NumericalError("the restyled sound is not finite")
        return Restyled(sound.cpu().numpy(), values, iterations)

    def _hear(self, sound: Tensor) -> "_Heard":
        power = power_spectrum(sound, self._window)
        magnitudes = log_magnitude(power)
        responded = responses(magnitudes, self._filters)
        return _Heard(responded, envelope(power), texture(magnitudes, responded))

    def _losses(self, now: "_Heard", source: "_Heard", weight: float) -> Tensor:
        style = now.texture.distance(self._goal)
        content = _relative(now.responses, source.responses)
        level = _relative(now.levels, source.levels)
        return torch.stack([style + weight * (content + _ENVELOPE_WEIGHT * level), style, content, level])


def hold_weight(strength: float) -> float:
    """Return the weight of the source relative to the style's: 10 at strength 0, 0.1 at a half, 0.001 at 1."""
    return float(10 ** (1 - 4 * strength))


@dataclass(frozen=True, slots=True)
class _Heard:
    """The statistics of a sound that are compared."""

    responses: Tensor
    levels: Tensor
    texture: SoundTexture


def _relative(values: Tensor, goal: Tensor) -> Tensor:
    return (values - goal).square().sum() / goal.square().sum().clamp(min=_TINY)
