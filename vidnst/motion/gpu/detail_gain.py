"""Giving back the fine detail that a blend has lost: `vidnst.motion.detail_gain`, with its numbers, on a device.

Blurs are sums of shifted pictures. As convolutions they would be cuDNN's, which rounds to TF32 unless it is told not to
for the whole process.
"""

import math

import torch
from torch import Tensor

from vidnst.motion.detail_gain import BANDS, LARGEST_GAIN, NO_CONTRAST, window_side_px

_REACH = 4
"""Deviations that a Gaussian kernel reaches to each side: OpenCV's for float32."""


def contrast(picture: Tensor) -> Tensor:
    """Mean square of each band of detail around every pixel: `(1, 2, H, W)` float32 of a `(1, 3, H, W)` picture."""
    return _around(_squares(_split(picture)[:-1]))


def raise_detail(picture: Tensor, wanted: Tensor, most: Tensor) -> Tensor:
    """The picture with its detail at the contrast that is wanted; where it has more, it keeps it.

    Args:
        picture: `(1, 3, H, W)` float32 in [0, 1].
        wanted: as `contrast` gives it.
        most: `(1, 1, H, W)` at least 1: see `most_lost`.

    Returns:
        `(1, 3, H, W)` float32 in [0, 1].
    """
    *bands, raised = _split(picture)
    there = _around(_squares(bands))
    gains = ((wanted + NO_CONTRAST) / (there + NO_CONTRAST)).sqrt_().clamp_(1, LARGEST_GAIN)
    gains = torch.minimum(gains, most)
    for number, band in enumerate(bands):
        raised = raised.addcmul_(band, gains[:, number : number + 1])
    return raised.clamp_(0, 1)


def most_lost(kept: Tensor, count: int) -> Tensor:
    """How many times weaker detail can have become at each place by blending: see `motion.detail.most_lost`.

    Args:
        kept: `(1, 1, H, W)`, the sum of the squares of all shares.
        count: of shares.
    """
    return kept.clamp(1 / count, 1).rsqrt()


def blurred(picture: Tensor, deviation_px: float) -> Tensor:
    """A Gaussian blur of `(..., H, W)`, mirrored at the borders without repeating the outermost pixel."""
    radius = round(2 * _REACH * deviation_px + 1) // 2
    kernel = [math.exp(-((at / deviation_px) ** 2) / 2) for at in range(-radius, radius + 1)]
    shares = [value / math.fsum(kernel) for value in kernel]
    for dim in (-1, -2):
        size, padded = picture.shape[dim], mirrored(picture, radius, dim)
        picture = padded.narrow(dim, 0, size) * shares[0]
        for shift, share in enumerate(shares[1:], 1):
            picture.add_(padded.narrow(dim, shift, size), alpha=share)
    return picture


def box_mean(maps: Tensor, side: int) -> Tensor:
    """Means of `(..., H, W)` over a square window of an odd side around every pixel, borders as in `blurred`."""
    for dim in (-1, -2):
        maps = _running_sum(mirrored(maps, side // 2, dim), side, dim).div_(side)
    return maps


def mirrored(maps: Tensor, by_px: int, dim: int) -> Tensor:
    """Enlarged at both ends of a dimension by its mirror image, more than once if that is not enough."""
    size = maps.shape[dim]
    period = max(1, 2 * (size - 1))
    at = torch.arange(-by_px, size + by_px, device=maps.device).remainder_(period)
    return maps.index_select(dim, torch.minimum(at, period - at))


def _running_sum(maps: Tensor, length: int, dim: int) -> Tensor:
    """Sums of so many neighbours each: of runs of 1, 2, 4, 8 ... neighbours, those that make up the length.

    The work grows with the length's logarithm, in an order that is always the same; CUDA's cumulative sum has none.
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


def _split(picture: Tensor) -> list[Tensor]:
    """Bands of detail, from the finest, and last what is left without them; each shaped like the picture."""
    bands = []
    for deviation_px in BANDS:
        smooth = blurred(picture, deviation_px)
        bands.append(picture - smooth)
        picture = smooth
    return [*bands, picture]


def _squares(bands: list[Tensor]) -> Tensor:
    """Mean squares over the channels, band by band: `(1, bands, H, W)`."""
    return torch.cat([band.square().mean(dim=1, keepdim=True) for band in bands], dim=1)


def _around(squares: Tensor) -> Tensor:
    return box_mean(squares, window_side_px(squares.shape[-1]))
