"""A VGG19 that has learnt nothing: seeded random filters, calibrated so that every layer says something.

Gram matrices of random filters are good descriptions of texture (Ustyuzhaninov et al. 2017, "What does it take to
generate natural textures?"), provided that no channel is dead and none drowns the others. So each layer is scaled on a
generated picture with the statistics of photographs: its channels are centred there, active about half of the time, and
1 on average.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vidnst.style.layers import Conv, convs_up_to
from vidnst.style.vgg import DEVIATION, MEAN

_SIDE_PX = 256


def random_features(last_layer: str, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Filters for VGG19 down to `last_layer`, named and shaped like torchvision's, float32.

    The same seed gives the same numbers down to a layer whatever comes after it, and on any machine: the calibration
    computes in float64 and keeps eleven bits, which differences in the order of summation do not reach.
    """
    generator = np.random.default_rng(seed)
    picture = torch.from_numpy(colour_noise(generator, _SIDE_PX))
    mean, deviation = (torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1) for values in (MEAN, DEVIATION))
    maps = (picture - mean) / deviation
    features: dict[str, NDArray[np.float32]] = {}
    block = 0
    for conv in convs_up_to(last_layer):
        if conv.block != block:
            maps, block = functional.max_pool2d(maps, 2), conv.block
        filters = generator.standard_normal((conv.outputs, conv.inputs, 3, 3), dtype=np.float32)
        features[conv.weight], features[conv.bias], maps = _calibrated(conv, filters, maps)
    return features


def colour_noise(generator: np.random.Generator, side_px: int) -> NDArray[np.float64]:
    """`(1, 3, side, side)` in [0, 1]: noise with an amplitude of 1 / frequency, as photographs have, mostly grey."""
    frequency = np.hypot(np.fft.fftfreq(side_px)[:, None], np.fft.rfftfreq(side_px)[None])
    frequency[0, 0] = np.inf  # no mean
    spectrum = np.fft.rfft2(generator.standard_normal((3, side_px, side_px))) / frequency
    planes = np.fft.irfft2(spectrum, s=(side_px, side_px))
    planes /= planes.std(axis=(1, 2), keepdims=True)
    grey, red, blue = planes
    colours = grey + 0.5 * np.stack([red, -0.5 * (red + blue), blue])
    picture: NDArray[np.float64] = np.clip(0.5 + 0.22 * colours, 0, 1)[None]
    return picture


def _calibrated(
    conv: Conv, filters: NDArray[np.float32], maps: Tensor
) -> tuple[NDArray[np.float32], NDArray[np.float32], Tensor]:
    """Filters and biases with which every channel is 1 on average over `maps`, and what they make of `maps`."""
    filters = filters / np.float32(np.sqrt(9 * conv.inputs))
    found = functional.conv2d(maps, torch.from_numpy(filters).double(), padding=1)[0].flatten(1)
    centre = found.mean(1)
    height = (found - centre[:, None]).relu().mean(1)
    scale = (1 / height).numpy().astype(np.float16).astype(np.float32)
    bias = (-centre / height).numpy().astype(np.float16).astype(np.float32)
    filters = filters * scale[:, None, None, None]
    active = functional.conv2d(
        maps, torch.from_numpy(filters).double(), torch.from_numpy(bias).double(), padding=1
    ).relu_()
    return filters, bias, active
