"""A student's first filters: it inherits the teacher's most telling channels, as well as its own inputs allow.

Of each layer those channels are taken from which the others can best be guessed (greedy column subset selection), and
the student's filters are fitted, layer by layer, to what these channels are before their ReLU, as pruned networks are
repaired (Luo et al. 2017, "ThiNet"). Heads are fitted the same way. All fits are linear least squares.
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
"""Of the mean square of what a fit starts from: keeps columns that say the same from cancelling each other."""
_POSITIONS = 40_000
"""Positions of a layer that a fit looks at."""


@torch.no_grad()
def inherit(student: Student, teacher: VGG19, features: Mapping[str, NDArray[np.float32]], x: Tensor) -> None:
    """Give a student its first filters and heads.

    Args:
        student: changed in place.
        teacher: the network of `features`.
        features: the teacher's filters.
        x: `(N, 3, H, W)` float32 sRGB in [0, 1], pictures to fit on.
    """
    names = [conv.name for conv in student.plan]
    true = teacher(x, names)
    taught = own = (x - teacher.mean) / teacher.deviation
    block = 0
    for (conv, module, head), full in zip(student.layers(), VGG19_BACKBONE.up_to(names[-1]), strict=True):
        if conv.block != block:
            taught, own, block = functional.max_pool2d(taught, 2), functional.max_pool2d(own, 2), conv.block
        chosen = telling(true[conv.name], conv.outputs)
        keys = (full.weight_key, full.bias_key)
        weight, bias = (torch.from_numpy(np.array(features[key], np.float32)) for key in keys)
        wanted = functional.conv2d(taught, weight[chosen], bias[chosen], padding=1)
        found, offset = _fitted(functional.unfold(own, 3, padding=1).transpose(0, 1).flatten(1), _channels(wanted))
        module.weight.copy_(found.view(module.weight.shape))
        bias_of(module).copy_(offset)
        own, taught = functional.relu(module(own)), true[conv.name]
        found, offset = _fitted(_channels(own), _channels(taught))
        head.weight.copy_(found[..., None, None])
        bias_of(head).copy_(offset)


def telling(maps: Tensor, count: int) -> list[int]:
    """The `count` channels of `(N, C, h, w)` maps that together say most of all of them, linearly."""
    left = torch.cov(_channels(maps)).double()
    chosen: list[int] = []
    for _ in range(count):
        variance = left.diagonal().clamp(min=0)
        gain = left.square().sum(0) / (variance + 1e-6 * variance.mean() + 1e-12)
        gain[chosen] = -1
        best = int(gain.argmax())
        chosen.append(best)
        left = left - torch.outer(left[best], left[best]) / (left[best, best] + 1e-12)
    return sorted(chosen)


def _channels(maps: Tensor) -> Tensor:
    """`(N, C, h, w)` to `(C, N h w)`."""
    return maps.transpose(0, 1).flatten(1)


def _fitted(known: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Matrix `(M, K)` and offset `(M,)` that make the best of `(K, P)` values for `(M, P)` ones."""
    stride = max(1, known.shape[1] // _POSITIONS)
    known, wanted = known[:, ::stride].double(), wanted[:, ::stride].double()
    centre, target = known.mean(1, keepdim=True), wanted.mean(1, keepdim=True)
    known = known - centre
    products = known @ known.T
    products += _RIDGE * products.diagonal().mean() * torch.eye(len(products), dtype=torch.float64)
    matrix = torch.linalg.solve(products, known @ (wanted - target).T).T
    return matrix.float(), (target - matrix @ centre)[:, 0].float()
