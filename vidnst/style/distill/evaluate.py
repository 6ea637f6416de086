"""Evaluation of a student on held-out pictures: the correlation of predicted and true maps."""

from collections.abc import Sequence

import torch
from torch import Tensor

from vidnst.frames import Pixels
from vidnst.style.distill.student import Student
from vidnst.style.network.vgg import VGG19
from vidnst.style.tensors import from_pixels, resize, size_of_area

_AREA_PX = 320 * 240
"""Area of the pictures that are compared: the size of a draft."""
_SMALLEST_SIDE_PX = 32


class _Moments:
    """Sums over positions for the correlation of each channel, float64."""

    def __init__(self, channels: int, device: torch.device) -> None:
        self._sums = torch.zeros(6, channels, dtype=torch.float64, device=device)

    def add(self, predicted: Tensor, true: Tensor) -> None:
        """Add the positions of two maps `(1, C, h, w)`."""
        one, other = predicted[0].flatten(1).double(), true[0].flatten(1).double()
        parts = (torch.ones_like(one), one, other, one.square(), other.square(), one * other)
        self._sums += torch.stack([part.sum(1) for part in parts])

    def median_correlation(self) -> float:
        """The median over the channels that are not dead in the teacher; 0 if all are."""
        count, one, other, ones, others, products = self._sums
        covariance = products / count - one * other / count**2
        spread = (ones / count - (one / count) ** 2).clamp(min=0) * (others / count - (other / count) ** 2).clamp(min=0)
        alive = others / count - (other / count) ** 2 > 1e-9
        if not alive.any():
            return 0.0
        return float((covariance / (spread + 1e-24).sqrt())[alive].quantile(0.5))


@torch.no_grad()
def head_correlations(student: Student, teacher: VGG19, pictures: Sequence[Pixels]) -> dict[str, float]:
    """The correlation between predicted and true maps: its median over the channels of each layer.

    Args:
        student: with its heads.
        teacher: at least as deep.
        pictures: `(H, W, 3)` uint8 or uint16 sRGB, held out from the training.

    Returns:
        By layer: 1 for equal maps, 0 for unrelated ones. Empty if there are no pictures.
    """
    if not pictures:
        return {}
    names = [conv.name for conv in student.conv_layers]
    moments: dict[str, _Moments] = {}
    for pixels in pictures:
        size = size_of_area(pixels.shape[0], pixels.shape[1], _AREA_PX, _SMALLEST_SIDE_PX)
        picture = resize(from_pixels(pixels, teacher.mean.device), *size)
        true = teacher(picture, names)
        for name, predicted in student.predictions(student(picture)).items():
            moments.setdefault(name, _Moments(predicted.shape[1], predicted.device)).add(predicted, true[name])
    return {name: of_layer.median_correlation() for name, of_layer in moments.items()}
