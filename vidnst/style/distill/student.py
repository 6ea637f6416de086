"""The student: slim with projection heads that predict the teacher's maps, and its losses."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from vidnst.style.network.backbones import SLIM_BACKBONE, VGG19_BACKBONE, ConvLayer
from vidnst.style.network.vgg import DEVIATION, MEAN

_NO_ENERGY = 1e-8
"""Added to divisors, so that a black crop or a dead channel causes no division by zero."""
_NO_DISTANCE = 1e-3
"""Relative squared distance of Gram matrices below which two textures count as equal."""


class Student(nn.Module):
    """Slim's convolutions down to a layer, each with a projection head, a 1x1 convolution to the teacher's channels.

    All weights are zero at first: see `initialise_student`.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, learn_to: str) -> None:
        super().__init__()
        self.conv_layers = SLIM_BACKBONE.up_to(learn_to)
        self.convs, self.heads = nn.ModuleList(), nn.ModuleList()
        for conv, of_teacher in zip(self.conv_layers, VGG19_BACKBONE.up_to(learn_to), strict=True):
            self.convs.append(_zero(nn.Conv2d(conv.inputs, conv.outputs, 3, padding=1, device="meta")))
            self.heads.append(_zero(nn.Conv2d(conv.outputs, of_teacher.outputs, 1, device="meta")))
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(1, 3, 1, 1), persistent=False)
        self.to(memory_format=torch.channels_last)

    def layers(self) -> Iterator[tuple[ConvLayer, nn.Conv2d, nn.Conv2d]]:
        """Each convolution with its module and its head, from the shallowest."""
        for conv, module, head in zip(self.conv_layers, self.convs, self.heads, strict=True):
            assert isinstance(module, nn.Conv2d)
            assert isinstance(head, nn.Conv2d)
            yield conv, module, head

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """The maps of every layer for `(N, 3, H, W)` float32 sRGB in [0, 1]."""
        maps: dict[str, Tensor] = {}
        x = ((x - self.mean) / self.deviation).contiguous(memory_format=torch.channels_last)
        block = 0
        for conv, module, _ in self.layers():
            if conv.block != block:
                x, block = functional.max_pool2d(x, 2), conv.block
            x = functional.relu(module(x))
            maps[conv.name] = x
        return maps

    def predictions(self, maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The heads' predictions of the teacher's maps from the student's own."""
        return {conv.name: head(maps[conv.name]) for conv, _, head in self.layers()}

    def predicted_gram(self, name: str, own: Tensor, mean: Tensor) -> Tensor:
        """Gram matrices `(N, C, C)` of a head's predictions, computed from those of the student's maps.

        Args:
            name: of the layer.
            own: Gram matrices `(N, K, K)` of the student's maps.
            mean: means of the student's maps over positions, `(N, K)`.
        """
        weight, bias = next(
            (head.weight.flatten(1), bias_of(head)) for conv, _, head in self.layers() if conv.name == name
        )
        crossed = (mean @ weight.T)[:, :, None] * bias
        return weight @ own @ weight.T + crossed + crossed.transpose(1, 2) + torch.outer(bias, bias)


def bias_of(module: nn.Conv2d) -> Tensor:
    """The bias of a convolution that has one."""
    assert module.bias is not None
    return module.bias


def _zero(module: nn.Conv2d) -> nn.Conv2d:
    """Give a module on the meta device zeros; torch's initialisation would draw from its global generator."""
    for name, values in list(module.named_parameters()):
        setattr(module, name, nn.Parameter(torch.zeros(values.shape)))
    return module


def relative_error(predicted: Tensor, true: Tensor, variance: Tensor, *, quiet: float) -> Tensor:
    """Squared error of maps `(N, C, h, w)` over their variance: 0 for equal maps, 1 for their mean.

    Args:
        variance: of each channel of the teacher's maps over pictures, `(C,)`.
        quiet: share of the mean variance below which a channel counts less than others; all others count alike.
    """
    weight = 1 / (variance + quiet * variance.mean() + _NO_ENERGY)
    squared = (predicted - true).square().mean(dim=(0, 2, 3))
    return (weight * squared).sum() / (weight * variance).sum()


def grams(maps: Tensor) -> Tensor:
    """Gram matrix `(N, C, C)` of each of `(N, C, h, w)` maps, means over positions."""
    flat = maps.flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def gram_distance(own: Tensor, target: Tensor) -> Tensor:
    """Squared distance of `(N, C, C)` Gram matrices from their targets over the targets' energy, `(N,)`."""
    return (own - target).square().sum((1, 2)) / (target.square().sum((1, 2)) + _NO_ENERGY)


def relational_loss(own: Tensor, true: Tensor, pairs: tuple[Tensor, Tensor]) -> Tensor:
    """The disagreement of two networks about the distances of textures: mean squared difference of their logarithms.

    A relational loss as in Park, Kim, Lu & Cho 2019, "Relational Knowledge Distillation". Deviation: logarithms instead
    of a normalised Huber loss.

    Args:
        own, true: Gram matrices `(N, C, C)` of the same crops; C may differ.
        pairs: indices of crops, and of the crops that they are compared with.
    """
    first, second = pairs
    logs = [(gram_distance(all_[first], all_[second]) + _NO_DISTANCE).log() for all_ in (own, true)]
    return (logs[0] - logs[1]).square().mean()
