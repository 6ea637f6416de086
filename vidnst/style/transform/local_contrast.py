"""Local contrast: what is faint in a frame, made as strong as the rest.

A network paints strokes along what it sees. In a sky it sees next to nothing, and left it plain.
"""

from torch import Tensor
from torch.nn import functional

_STRIDE_PX = 4
_RADIUS = 3
"""Of the two box filters that blur, in strides."""
_FAINTEST = 0.02
"""Contrasts much below this stay faint: they are noise, and flicker."""
_LARGEST = 1.5


def local_contrast(x: Tensor) -> Tensor:
    """The difference from the surroundings in units of their contrast: `(N, 3, H, W)`, within 1.5.

    Args:
        x: `(N, 3, H, W)` in [0, 1]; sides are multiples of 4.
    """
    difference = x - _blurred(x)
    contrast = _blurred(difference.square().mean(1, keepdim=True)).sqrt()
    return (difference / (2 * (contrast + _FAINTEST))).clamp(-_LARGEST, _LARGEST)


def _blurred(x: Tensor) -> Tensor:
    """`x` averaged over some 50 px, at a quarter of the size."""
    size, radius = x.shape[-2:], _RADIUS
    x = functional.avg_pool2d(x, _STRIDE_PX)
    for _ in range(2):
        x = functional.avg_pool2d(functional.pad(x, (radius,) * 4, mode="replicate"), 2 * radius + 1, stride=1)
    return functional.interpolate(x, size, mode="bilinear", align_corners=False)
