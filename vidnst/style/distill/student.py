"""The student: slim, which predicts the teacher's maps, and its losses."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from vidnst.style.network.backbones import DEVIATION, MEAN, SLIM_BACKBONE, VGG19_BACKBONE, ConvLayer
from vidnst.style.network.vgg import Pointwise

_NO_ENERGY = 1e-8
"""Added to divisors, so that a black crop or a dead channel causes no division by zero."""
_NO_DISTANCE = 1e-3
"""Relative squared distance of Gram matrices below which two textures count as equal."""


class Student(nn.Module):
    """Slim's convolutions down to a layer. Those with fewer channels than the teacher's have a projection head, a 1x1
    convolution that predicts the teacher's map; the others predict it themselves.

    All weights are zero at first: see `initialise_student`.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, learn_to: str) -> None:
        super().__init__()
        self.conv_layers = SLIM_BACKBONE.up_to(learn_to)
        self.convs, self.heads = nn.ModuleDict(), nn.ModuleDict()
        for conv, of_teacher in zip(self.conv_layers, VGG19_BACKBONE.up_to(learn_to), strict=True):
            self.convs[conv.name] = StudentConv(conv)
            if conv.head:
                self.heads[conv.name] = _zero_pointwise(conv.outputs, of_teacher.outputs)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(1, 3, 1, 1), persistent=False)
        self.to(memory_format=torch.channels_last)

    def layers(self) -> Iterator[tuple[ConvLayer, "StudentConv", Pointwise | None]]:
        """Each convolution with its module and its head, if it has one, from the shallowest."""
        for conv in self.conv_layers:
            module = self.convs[conv.name]
            assert isinstance(module, StudentConv)
            yield conv, module, self.head(conv.name)

    def head(self, name: str) -> Pointwise | None:
        """The head of a layer; None if it has none."""
        if name not in self.heads:
            return None
        head = self.heads[name]
        assert isinstance(head, Pointwise)
        return head

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
        """The predictions of the teacher's maps from the student's own."""
        return {conv.name: self.prediction(conv.name, maps[conv.name]) for conv in self.conv_layers}

    def prediction(self, name: str, maps: Tensor) -> Tensor:
        """The prediction of the teacher's maps of one layer."""
        head = self.head(name)
        predicted: Tensor = maps if head is None else head(maps)
        return predicted

    def predicted_gram(self, name: str, maps: Tensor) -> Tensor:
        """Gram matrices `(N, C, C)` of a layer's predictions, from those of the student's maps `(N, K, h, w)`."""
        own, head = grams(maps), self.head(name)
        if head is None:
            return own
        mean, weight, bias = maps.mean((2, 3)), head.weight.flatten(1), head.bias
        crossed = (mean @ weight.T)[:, :, None] * bias
        return weight @ own @ weight.T + crossed + crossed.transpose(1, 2) + torch.outer(bias, bias)


class StudentConv(nn.Module):
    """A convolution of the student, of full or of low rank, without its ReLU; all weights are zero at first."""

    def __init__(self, conv: ConvLayer) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(conv.rank or conv.outputs, conv.inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(conv.outputs))
        self.expand = _zero_pointwise(conv.rank, conv.outputs, self.bias) if conv.rank else None

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, inputs, H, W)` to `(N, outputs, H, W)`."""
        if self.expand is None:
            return functional.conv2d(x, self.weight, self.bias, padding=1)
        expanded: Tensor = self.expand(functional.conv2d(x, self.weight, padding=1))
        return expanded


def _zero_pointwise(inputs: int, outputs: int, bias: nn.Parameter | None = None) -> Pointwise:
    bias = nn.Parameter(torch.zeros(outputs)) if bias is None else bias
    return Pointwise(nn.Parameter(torch.zeros(outputs, inputs, 1, 1)), bias)


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


def content_distance(own: Tensor, target: Tensor) -> Tensor:
    """Squared distance of `(N, C, h, w)` maps from their targets over the targets' energy, `(N,)`."""
    return (own - target).square().sum((1, 2, 3)) / (target.square().sum((1, 2, 3)) + _NO_ENERGY)


def relational_loss(own: Tensor, true: Tensor) -> Tensor:
    """The disagreement of two networks about distances: the mean squared difference of their logarithms.

    A relational loss as in Park, Kim, Lu & Cho 2019, "Relational Knowledge Distillation". Deviation: logarithms instead
    of a normalised Huber loss.

    Args:
        own, true: relative distances of the same pairs, `(N,)`.
    """
    logs = [(distances + _NO_DISTANCE).log() for distances in (own, true)]
    return (logs[0] - logs[1]).square().mean()
