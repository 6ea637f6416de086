"""Restoring the detail that a blend has lost: `vidnst.motion.detail_gain` on a device.

Blurs are sums of shifted pictures: convolutions would be cuDNN's, which round to TF32 unless that is switched off for
the whole process.
"""

import math

import torch
from torch import Tensor

from vidnst.motion.detail_gain import BAND_SIGMAS_PX, CONTRAST_FLOOR, MAX_GAIN, window_side_px

_KERNEL_SIGMAS = 4
"""Radius of the Gaussian kernel in standard deviations, as OpenCV has it for float32."""


def band_contrast(picture: Tensor) -> Tensor:
    """Measure the mean square of each band of detail around every pixel: `(1, 2, H, W)` of a `(1, 3, H, W)` picture."""
    return _window_means(_mean_squares(_split_bands(picture)[:-1]))


def restore_detail(picture: Tensor, contrast: Tensor, max_gain: Tensor) -> Tensor:
    """Amplify a picture's detail up to a given contrast; it is never attenuated.

    Args:
        picture: `(1, 3, H, W)` float32 in [0, 1].
        contrast: the target, as `band_contrast` returns it.
        max_gain: `(1, 1, H, W)`, at least 1: see `blend_attenuation`.

    Returns:
        `(1, 3, H, W)` float32 in [0, 1].
    """
    *bands, restored = _split_bands(picture)
    present = _window_means(_mean_squares(bands))
    gains = ((contrast + CONTRAST_FLOOR) / (present + CONTRAST_FLOOR)).sqrt_().clamp_(1, MAX_GAIN)
    gains = torch.minimum(gains, max_gain)
    for number, band in enumerate(bands):
        restored = restored.addcmul_(band, gains[:, number : number + 1])
    return restored.clamp_(0, 1)


def blend_attenuation(squares: Tensor, count: int) -> Tensor:
    """Compute the largest factor by which blending can have weakened detail: see `motion.detail_gain`.

    Args:
        squares: `(1, 1, H, W)`, the sum of the squared shares.
        count: number of shares.
    """
    return squares.clamp(1 / count, 1).rsqrt()


def gaussian_blur(picture: Tensor, sigma_px: float) -> Tensor:
    """Blur `(..., H, W)`, mirrored at the borders without repeating the outermost pixel."""
    radius = round(2 * _KERNEL_SIGMAS * sigma_px + 1) // 2
    kernel = [math.exp(-((offset / sigma_px) ** 2) / 2) for offset in range(-radius, radius + 1)]
    weights = [value / math.fsum(kernel) for value in kernel]
    for dim in (-1, -2):
        size, padded = picture.shape[dim], mirror_pad(picture, radius, dim)
        picture = padded.narrow(dim, 0, size) * weights[0]
        for shift, weight in enumerate(weights[1:], 1):
            picture.add_(padded.narrow(dim, shift, size), alpha=weight)
    return picture


def box_mean(maps: Tensor, side: int) -> Tensor:
    """Average `(..., H, W)` over a square window of an odd side, with borders as in `gaussian_blur`."""
    for dim in (-1, -2):
        maps = _running_sum(mirror_pad(maps, side // 2, dim), side, dim).div_(side)
    return maps


def mirror_pad(maps: Tensor, pad_px: int, dim: int) -> Tensor:
    """Pad both ends of a dimension by the mirror image, repeatedly if it is too short."""
    size = maps.shape[dim]
    period = max(1, 2 * (size - 1))
    index = torch.arange(-pad_px, size + pad_px, device=maps.device).remainder_(period)
    return maps.index_select(dim, torch.minimum(index, period - index))


def _running_sum(maps: Tensor, length: int, dim: int) -> Tensor:
    """Sum every run of `length` neighbours, put together from runs of 1, 2, 4, 8 ... neighbours.

    The work grows with the logarithm of the length, and the order of summation is fixed, unlike that of CUDA's
    cumulative sum.
    """
    size = maps.shape[dim] - length + 1
    total, covered, run = torch.zeros_like(maps.narrow(dim, 0, size)), 0, 1
    while True:
        if length & run:
            total += maps.narrow(dim, covered, size)
            covered += run
        if covered == length:
            return total
        left = maps.shape[dim] - run
        maps, run = maps.narrow(dim, 0, left) + maps.narrow(dim, run, left), 2 * run


def _split_bands(picture: Tensor) -> list[Tensor]:
    """Split a picture into bands of detail, from the finest, and the remaining blur as the last."""
    bands = []
    for sigma_px in BAND_SIGMAS_PX:
        smooth = gaussian_blur(picture, sigma_px)
        bands.append(picture - smooth)
        picture = smooth
    return [*bands, picture]


def _mean_squares(bands: list[Tensor]) -> Tensor:
    """Average the squares over the channels: `(1, bands, H, W)`."""
    return torch.cat([band.square().mean(dim=1, keepdim=True) for band in bands], dim=1)


def _window_means(squares: Tensor) -> Tensor:
    return box_mean(squares, window_side_px(squares.shape[-1]))
