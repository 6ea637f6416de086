"""What a student becomes: a file of slim's filters, half precision, with a card that says where they come from."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch import Tensor

from vidnst.style.layers import SLIM
from vidnst.style.random_filters import random_features
from vidnst.style.student import Student, bias_of

LICENCE = (
    "The teacher's filters are VGG19 by K. Simonyan and A. Zisserman, Visual Geometry Group, University of Oxford, "
    "CC BY 4.0; these are derived from them and come under the same licence"
)


@torch.no_grad()
def slim_features(student: Student, x: Tensor, *, seed: int) -> dict[str, NDArray[np.float32]]:
    """All of slim's filters: the student's down to where it learned, random ones calibrated on top of them below.

    The learned layers are scaled to a mean activation of 1, like the random ones, which changes nothing else, since
    the next layer is scaled back (ReLU is homogeneous).

    Args:
        student: a taught one.
        x: `(N, 3, H, W)` float32 sRGB in [0, 1], pictures on which activations are averaged.
        seed: of the random filters.

    Returns:
        Named like torchvision's, float32 with values that half precision holds exactly.
    """
    means = {name: float(maps.mean()) for name, maps in student(x).items()}
    learned: dict[str, NDArray[np.float32]] = {}
    before = 1.0
    for conv, module, _ in student.layers():
        after = 1 / max(means[conv.name], 1e-6)
        learned[conv.weight] = _half(module.weight * (after / before))
        learned[conv.bias] = _half(bias_of(module) * after)
        before = after
    return random_features(SLIM.convs[-1].name, seed, topology=SLIM, learned=learned)


def _half(values: Tensor) -> NDArray[np.float32]:
    return values.detach().half().float().contiguous().numpy().copy()


def save_slim(path: Path, features: Mapping[str, NDArray[np.float32]], card: Mapping[str, str]) -> None:
    """Write slim's filters in half precision as safetensors; `card` says what they are."""
    halves = {name: values.astype(np.float16) for name, values in features.items()}
    save_file(halves, path, metadata={"backbone": "slim", **card, "licence": LICENCE})
