"""Seeded random filters for an untrained network, calibrated so that every layer is informative.

Gram matrices of random filters are good descriptions of texture (Ustyuzhaninov et al. 2017, "What does it take to
generate natural textures?"), provided that no channel is dead and none dominates the others. So each layer is scaled on
a generated picture with the statistics of photographs: its channels are active over the same share of it, and 1 on
average. Filters of white noise would respond to the finest grain alone, and reproduce it; these are smooth.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vidnst.style.network.backbones import DEVIATION, MEAN, VGG19_BACKBONE, Backbone, ConvLayer

_SIDE_PX = 192
"""Side of the calibration picture: twelve positions at relu5_1."""
_ACTIVE_SHARE = 0.6
"""Share of positions at which a channel is above zero."""
_BASIS = np.array(
    [
        [1 / math.sqrt(3), 1 / math.sqrt(3), 1 / math.sqrt(3)],
        [-1 / math.sqrt(2), 0, 1 / math.sqrt(2)],
        [1 / math.sqrt(6), -2 / math.sqrt(6), 1 / math.sqrt(6)],
    ]
)
"""Level, slope and curvature of three neighbours, each of length 1."""
_FIRST_LAYER = (1, 0.9, 0.6)
"""Strength of level, slope and curvature in the first layer's filters, down and across."""
_OTHER_LAYERS = (1, 0.35, 0.1)
"""The same in all other layers, chosen by eye: strong slopes give grain instead of patches of colour."""


def random_features(
    last_layer: str,
    seed: int = 0,
    *,
    backbone: Backbone = VGG19_BACKBONE,
) -> dict[str, NDArray[np.float32]]:
    """Draw filters down to `last_layer`, named and shaped like torchvision's, float32.

    The same seed gives the same numbers for a layer whatever follows it, and on any machine: the calibration computes
    in float64 and rounds to eleven bits, which differences in the order of summation do not reach.

    Args:
        last_layer: the deepest layer.
        seed: of all random numbers.
        backbone: the number of filters in each layer; all are of full rank.

    Raises:
        ConfigError: the backbone has no such layer.
    """
    generator = np.random.default_rng(seed)
    picture = torch.from_numpy(colour_noise(generator, _SIDE_PX))
    mean, deviation = (torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1) for values in (MEAN, DEVIATION))
    maps = (picture - mean) / deviation
    features: dict[str, NDArray[np.float32]] = {}
    block = 0
    for conv in backbone.up_to(last_layer):
        if conv.block != block:
            maps, block = functional.max_pool2d(maps, 2), conv.block
        drawn = _draw_filters(generator, conv)
        features[conv.weight_key], features[conv.bias_key], maps = _calibrated(drawn, maps)
    return features


def _convolve(maps: Tensor, weight: NDArray[np.floating], bias: NDArray[np.floating]) -> Tensor:
    """Apply a convolution with its ReLU, in float64."""
    filters, biases = (torch.from_numpy(np.array(values, np.float64)) for values in (weight, bias))
    return functional.conv2d(maps, filters, biases, padding=1).relu_()


def colour_noise(generator: np.random.Generator, side_px: int) -> NDArray[np.float64]:
    """`(1, 3, side, side)` in [0, 1]: noise with an amplitude of 1 / frequency, like photographs, mostly grey."""
    frequency = np.hypot(np.fft.fftfreq(side_px)[:, None], np.fft.rfftfreq(side_px)[None])
    frequency[0, 0] = np.inf  # no mean
    spectrum = np.fft.rfft2(generator.standard_normal((3, side_px, side_px))) / frequency
    planes = np.fft.irfft2(spectrum, s=(side_px, side_px))
    planes /= planes.std(axis=(1, 2), keepdims=True)
    grey, red, blue = planes
    colours = grey + 0.5 * np.stack([red, -0.5 * (red + blue), blue])
    picture: NDArray[np.float64] = np.clip(0.5 + 0.22 * colours, 0, 1)[None]
    return picture


def _draw_filters(generator: np.random.Generator, conv: ConvLayer) -> NDArray[np.float64]:
    """Draw filters `(outputs, inputs, 3, 3)`: random mixtures of level, slope and curvature."""
    first = conv.inputs == 3
    strength = np.outer(_FIRST_LAYER, _FIRST_LAYER) if first else np.outer(_OTHER_LAYERS, _OTHER_LAYERS)
    mixture = generator.standard_normal((conv.outputs, conv.inputs, 3, 3)) * strength
    if first:  # mostly the same for all colours: independent colour channels would give confetti
        mixture = generator.standard_normal((conv.outputs, 1, 3, 3)) * strength + 0.7 * mixture
    filters: NDArray[np.float64] = np.einsum("oiab,ay,bx->oiyx", mixture, _BASIS, _BASIS)
    return filters


def _calibrated(filters: NDArray[np.float64], maps: Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32], Tensor]:
    """Calibrate filters so that every channel is 1 on average over `maps`.

    Returns:
        The filters, the biases, and the maps of the calibrated layer.
    """
    responses = functional.conv2d(maps, torch.from_numpy(filters), padding=1)[0].flatten(1)
    threshold = responses.quantile(1 - _ACTIVE_SHARE, dim=1)
    mean = (responses - threshold[:, None]).relu().mean(1)
    scaled = _rounded(filters / mean.numpy()[:, None, None, None])
    bias = _rounded((-threshold / mean).numpy())
    return scaled.astype(np.float32), bias.astype(np.float32), _convolve(maps, scaled, bias)


def _rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values rounded to eleven bits, exact in float64 and float32."""
    mantissa, exponent = np.frexp(values)
    rounded: NDArray[np.float64] = np.ldexp(np.round(mantissa * 2**11) / 2**11, exponent)
    return rounded
