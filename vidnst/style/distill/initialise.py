"""Initialisation of a student from its teacher: its most informative channels, and convolutions of low rank.

Where a layer of the student has fewer channels, those are selected from which all others can best be predicted (greedy
column subset selection). The student's filters are fitted, layer by layer, to these channels before their ReLU, from
the student's own maps below, as pruned networks are repaired (Luo et al. 2017, "ThiNet"). A convolution of low rank is
the fit's projection on the principal directions of its responses (Zhang, Zou, He & Sun 2016, "Accelerating Very Deep
Convolutional Networks for Classification and Detection"; deviation: the ReLU is left out of the fit). All fits are
linear least squares.
"""

import torch
from torch import Tensor
from torch.nn import functional

from vidnst.style.distill.student import Student, StudentConv
from vidnst.style.network.vgg import VGG19

_RIDGE = 1e-3
"""Regularisation, as a share of the inputs' mean square: keeps redundant columns from cancelling each other."""
_POSITIONS = 40_000
"""Positions of a layer that a fit uses."""


@torch.no_grad()
def initialise_student(student: Student, teacher: VGG19, x: Tensor) -> None:
    """Fit a student's initial filters and heads.

    Args:
        student: changed in place.
        teacher: at least as deep.
        x: `(N, 3, H, W)` float32 sRGB in [0, 1], pictures to fit on.
    """
    names = [conv.name for conv in student.conv_layers]
    true = teacher(x, names)
    teacher_input = own = (x - teacher.mean) / teacher.deviation
    block = 0
    for (conv, module, head), (_, full) in zip(student.layers(), teacher.layers(), strict=False):
        if conv.block != block:
            teacher_input, own = functional.max_pool2d(teacher_input, 2), functional.max_pool2d(own, 2)
            block = conv.block
        wanted = functional.conv2d(teacher_input, full.weight, full.bias, padding=1)
        if conv.outputs < wanted.shape[1]:
            channels = torch.tensor(select_channels(true[conv.name], conv.outputs), device=wanted.device)
            wanted = wanted.index_select(1, channels)
        if own.shape[1] < full.weight.shape[1] or own.shape[1] == 3:
            fit_convolution(module, functional.unfold(own, 3, padding=1), wanted)
        else:  # combining the teacher's own filters is enough, and all inputs would be too many for a fit
            fit_convolution(
                module, functional.conv2d(own, full.weight, padding=1).flatten(2), wanted, filters=full.weight
            )
        own, teacher_input = functional.relu(module(own)), true[conv.name]
        if head is not None:
            matrix, offset = _least_squares(_channels(own), _channels(teacher_input))
            head.weight.copy_(matrix[..., None, None])
            head.bias.copy_(offset)


def fit_convolution(module: StudentConv, inputs: Tensor, wanted: Tensor, *, filters: Tensor | None = None) -> None:
    """Fit a convolution to the responses `(N, M, h, w)` that are wanted.

    Args:
        inputs: `(N, K, h w)`: the patches that it sees, or the responses of `filters` to them.
        filters: `(K, C, 3, 3)`.
    """
    flat, targets = inputs.transpose(0, 1).flatten(1), _channels(wanted)
    matrix, offset = _least_squares(flat, targets)
    if module.expand is not None:
        stride = max(1, flat.shape[1] // _POSITIONS)
        axes = _principal_axes(matrix @ flat[:, ::stride], module.weight.shape[0])
        module.expand.weight.copy_(axes[..., None, None])
        offset = offset + (matrix - axes @ (axes.T @ matrix)) @ flat[:, ::stride].mean(1)
        matrix = axes.T @ matrix
    if filters is not None:
        matrix = matrix @ filters.flatten(1)
    module.weight.copy_(matrix.reshape(module.weight.shape))
    module.bias.copy_(offset)


def _principal_axes(responses: Tensor, count: int) -> Tensor:
    """The `(M, count)` orthonormal directions in which responses `(M, P)` vary most."""
    _, axes = torch.linalg.eigh(torch.cov(responses.double()))
    chosen: Tensor = axes[:, -count:].float()
    return chosen


def select_channels(maps: Tensor, count: int) -> list[int]:
    """Select the `count` channels of `(N, C, h, w)` maps that together best predict all of them, linearly."""
    residual = torch.cov(_channels(maps)).double()
    chosen: list[int] = []
    is_chosen = torch.zeros(len(residual), dtype=torch.bool, device=residual.device)
    for _ in range(count):
        variance = residual.diagonal().clamp(min=0)
        gain = residual.square().sum(0) / (variance + 1e-6 * variance.mean() + 1e-12)
        best = int(gain.masked_fill(is_chosen, -1).argmax())
        chosen.append(best)
        is_chosen[best] = True
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
    products += _RIDGE * products.diagonal().mean() * torch.eye(len(products)).to(products)
    matrix = torch.linalg.solve(products, inputs @ (targets - target).T).T
    return matrix.float(), (target - matrix @ centre)[:, 0].float()
