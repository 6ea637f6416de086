"""Initialisation of a student from its teacher's most informative channels, like the pruning of a network.

In each layer the channels are selected from which the others can best be predicted (greedy column subset selection).
The student's filters are fitted, layer by layer, to these channels before their ReLU, as pruned networks are repaired
(Luo et al. 2017, "ThiNet"), and so are the projection heads. All fits are linear least squares.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vidnst.style.distill.student import Student, bias_of
from vidnst.style.network.backbones import VGG19_BACKBONE
from vidnst.style.network.vgg import VGG19

_RIDGE = 1e-3
"""Regularisation, as a share of the inputs' mean square: keeps redundant columns from cancelling each other."""
_POSITIONS = 40_000
"""Positions of a layer that a fit uses."""


@torch.no_grad()
def initialise_student(
    student: Student, teacher: VGG19, features: Mapping[str, NDArray[np.float32]], x: Tensor
) -> None:
    """Fit a student's initial filters and heads.

    Args:
        student: changed in place.
        teacher: the network of `features`.
        features: the teacher's filters.
        x: `(N, 3, H, W)` float32 sRGB in [0, 1], pictures to fit on.
    """
    names = [conv.name for conv in student.conv_layers]
    true = teacher(x, names)
    teacher_input = own = (x - teacher.mean) / teacher.deviation
    block = 0
    for (conv, module, head), full in zip(student.layers(), VGG19_BACKBONE.up_to(names[-1]), strict=True):
        if conv.block != block:
            teacher_input, own = functional.max_pool2d(teacher_input, 2), functional.max_pool2d(own, 2)
            block = conv.block
        chosen = select_channels(true[conv.name], conv.outputs)
        keys = (full.weight_key, full.bias_key)
        weight, bias = (torch.from_numpy(np.array(features[key], np.float32)) for key in keys)
        wanted = functional.conv2d(teacher_input, weight[chosen], bias[chosen], padding=1)
        matrix, offset = _least_squares(
            functional.unfold(own, 3, padding=1).transpose(0, 1).flatten(1), _channels(wanted)
        )
        module.weight.copy_(matrix.view(module.weight.shape))
        bias_of(module).copy_(offset)
        own, teacher_input = functional.relu(module(own)), true[conv.name]
        matrix, offset = _least_squares(_channels(own), _channels(teacher_input))
        head.weight.copy_(matrix[..., None, None])
        bias_of(head).copy_(offset)


def select_channels(maps: Tensor, count: int) -> list[int]:
    """Select the `count` channels of `(N, C, h, w)` maps that together best predict all of them, linearly."""
    residual = torch.cov(_channels(maps)).double()
    chosen: list[int] = []
    for _ in range(count):
        variance = residual.diagonal().clamp(min=0)
        gain = residual.square().sum(0) / (variance + 1e-6 * variance.mean() + 1e-12)
        gain[chosen] = -1
        best = int(gain.argmax())
        chosen.append(best)
        residual = residual - torch.outer(residual[best], residual[best]) / (residual[best, best] + 1e-12)
    return sorted(chosen)


def _channels(maps: Tensor) -> Tensor:
    """`(N, C, h, w)` to `(C, N h w)`."""
    return maps.transpose(0, 1).flatten(1)


def _least_squares(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Matrix `(M, K)` and offset `(M,)` that best predict targets `(M, P)` from inputs `(K, P)`."""
    stride = max(1, inputs.shape[1] // _POSITIONS)
    inputs, targets = inputs[:, ::stride].double(), targets[:, ::stride].double()
    centre, target = inputs.mean(1, keepdim=True), targets.mean(1, keepdim=True)
    inputs = inputs - centre
    products = inputs @ inputs.T
    products += _RIDGE * products.diagonal().mean() * torch.eye(len(products), dtype=torch.float64)
    matrix = torch.linalg.solve(products, inputs @ (targets - target).T).T
    return matrix.float(), (target - matrix @ centre)[:, 0].float()
