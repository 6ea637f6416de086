"""How much of the teacher's maps a student's heads get right, on pictures that it has not seen."""

from collections.abc import Sequence

import torch
from torch import Tensor

from vidnst.frames import Pixels
from vidnst.style.distill.student import Student
from vidnst.style.network.vgg import VGG19
from vidnst.style.targets.style_variants import matched_size
from vidnst.style.tensors import from_pixels, resized

_AREA_PX = 320 * 240
"""Of the pictures that are compared: the size of a draft."""
_SMALLEST_SIDE_PX = 32


class _Moments:
    """Sums over positions from which each channel's correlation comes, float64."""

    def __init__(self, channels: int) -> None:
        self._sums = torch.zeros(6, channels, dtype=torch.float64)

    def add(self, predicted: Tensor, true: Tensor) -> None:
        """Count the positions of two maps `(1, C, h, w)`."""
        one, other = predicted[0].flatten(1).double(), true[0].flatten(1).double()
        parts = (torch.ones_like(one), one, other, one.square(), other.square(), one * other)
        self._sums += torch.stack([part.sum(1) for part in parts])

    def median_correlation(self) -> float:
        """Over the channels in which the teacher says anything; 0 where there are none."""
        count, one, other, ones, others, products = self._sums
        covariance = products / count - one * other / count**2
        spread = (ones / count - (one / count) ** 2).clamp(min=0) * (others / count - (other / count) ** 2).clamp(min=0)
        alive = others / count - (other / count) ** 2 > 1e-9
        if not alive.any():
            return 0.0
        return float((covariance / (spread + 1e-24).sqrt())[alive].quantile(0.5))


@torch.no_grad()
def likeness(student: Student, teacher: VGG19, pictures: Sequence[Pixels]) -> dict[str, float]:
    """Median over the channels of each layer of the correlation between predicted and true maps.

    Args:
        student: with its heads.
        teacher: reaches at least as deep.
        pictures: `(H, W, 3)` uint8 or uint16 sRGB, none of those that were learned from.

    Returns:
        1 for the same maps, 0 for unrelated ones, by layer; empty where there are no pictures.
    """
    if not pictures:
        return {}
    names = [conv.name for conv in student.plan]
    moments: dict[str, _Moments] = {}
    for pixels in pictures:
        size = matched_size(pixels.shape[0], pixels.shape[1], _AREA_PX, _SMALLEST_SIDE_PX)
        picture = resized(from_pixels(pixels), *size)
        true = teacher(picture, names)
        for name, predicted in student.predictions(student(picture)).items():
            moments.setdefault(name, _Moments(predicted.shape[1])).add(predicted, true[name])
    return {name: found.median_correlation() for name, found in moments.items()}
