"""The transform network: from a frame to a painted frame in one pass.

The shape is that of Johnson, Alahi & Fei-Fei 2016, "Perceptual Losses for Real-Time Style Transfer": two convolutions
that halve the picture, residual blocks, two that double it. Deviations: half of its channels and four blocks instead
of five, since it learns one clip; bilinear enlargement before a convolution instead of transposed convolutions, which
leave checkerboards (Odena, Dumoulin & Olah 2016), or of doubled pixels, which left stripes two pixels wide; and the
result is a change of the content's logit, so that a network of zeros already shows the content, in half its contrast.

Normalisation: while the network learns the most, activations are normalised by each frame's own statistics (instance
normalisation, Ulyanov, Vedaldi & Lempitsky 2017). But those change when something enters the picture, and then all of
it pumps; and they make a tile differ from the whole. So the last part of the training, and all painting, use running
averages over the clip instead, and each pixel depends on its surroundings alone.

Several styles share the filters. Each has its own scales and shifts after every normalisation (Dumoulin, Shlens &
Kudlur 2017), which are mixed at each position by the styles' shares there.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

STRIDE_PX = 4
"""The inner layers' positions are this many pixels apart: sides are padded to a multiple."""
CONTEXT_PX = 64
"""Pixels around a pixel that can change it: the outer convolutions, and four blocks at a quarter of the size."""

_TILE_PX = 1024
"""A multiple of the stride."""
_CHANNELS = (16, 32, 64)
_BLOCKS = 4
_MOMENTUM = 0.05
"""Share of a step's statistics in the running averages."""
_EPSILON = 1e-5
_LOGIT_SHARE = 0.5
_LOGIT_LIMIT = 1 / 255
"""Contents are kept this far from black and white, whose logits are infinite."""


class ClipNorm(nn.Module):
    """Normalises channels by their mean and variance, then scales and shifts them as their styles say.

    In training mode the statistics are the picture's own, and their running averages are kept; else the averages.
    """

    mean: Tensor
    variance: Tensor
    count: Tensor

    def __init__(self, channels: int, styles: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(styles, channels))
        self.shift = nn.Parameter(torch.zeros(styles, channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: Tensor, shares: Tensor) -> Tensor:
        """Normalise `(N, C, H, W)`; `shares` is `(N, S, H', W')`, of each style at every position of the frame."""
        mean, variance = self.mean, self.variance
        if self.training:
            variance, mean = torch.var_mean(x, dim=(0, 2, 3), correction=0)
            if torch.is_grad_enabled():
                self._follow(mean.detach(), variance.detach())
        scale, shift = (self._mixed(of_styles, shares, x) for of_styles in (self.scale, self.shift))
        normal = (x - mean.view(1, -1, 1, 1)) * (variance + _EPSILON).rsqrt().view(1, -1, 1, 1)
        return torch.addcmul(shift, normal, scale)

    @staticmethod
    def _mixed(of_styles: Tensor, shares: Tensor, x: Tensor) -> Tensor:
        """The mixture of the styles' values: `(N, C, h, w)`, or `(N, C, 1, 1)` if shares are equal everywhere."""
        if shares.shape[-2:] != (1, 1) and shares.shape[-2:] != x.shape[-2:]:
            shares = functional.interpolate(shares, x.shape[-2:], mode="area")
        return torch.einsum("nshw,sc->nchw", shares, of_styles)

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        self.count += 1
        share = max(_MOMENTUM, 1 / float(self.count))  # a plain mean at first
        self.mean.lerp_(mean, share)
        self.variance.lerp_(variance, share)


class _Convolution(nn.Module):
    """A convolution with a mirrored border, and a normalisation."""

    def __init__(self, inputs: int, outputs: int, side: int, styles: int, *, stride: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(
            inputs, outputs, side, stride=stride, padding=side // 2, padding_mode="reflect", bias=False
        )
        self.norm = ClipNorm(outputs, styles)

    def forward(self, x: Tensor, shares: Tensor) -> Tensor:
        result: Tensor = self.norm(self.convolution(x), shares)
        return result


class _Block(nn.Module):
    """A residual block (He et al. 2016) without a ReLU after the sum, as in Gross & Wilber 2016."""

    def __init__(self, channels: int, styles: int) -> None:
        super().__init__()
        self.first = _Convolution(channels, channels, 3, styles)
        self.second = _Convolution(channels, channels, 3, styles)

    def forward(self, x: Tensor, shares: Tensor) -> Tensor:
        result: Tensor = x + self.second(functional.relu(self.first(x, shares)), shares)
        return result


class TransformNetwork(nn.Module):
    """Paints a frame.

    Args:
        styles: number of styles.
        seed: of the initial parameters.
    """

    def __init__(self, *, styles: int = 1, seed: int = 0) -> None:
        super().__init__()
        outer, middle, inner = _CHANNELS
        self.down = nn.ModuleList(
            [
                _Convolution(3, outer, 9, styles),
                _Convolution(outer, middle, 3, styles, stride=2),
                _Convolution(middle, inner, 3, styles, stride=2),
            ]
        )
        self.blocks = nn.ModuleList([_Block(inner, styles) for _ in range(_BLOCKS)])
        self.up = nn.ModuleList([_Convolution(inner, middle, 3, styles), _Convolution(middle, outer, 3, styles)])
        self.last = nn.Conv2d(outer, 3, 9, padding=4, padding_mode="reflect")
        _draw_parameters(self, seed)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor, shares: Tensor | None = None) -> Tensor:
        """Paint `(N, 3, H, W)` float32 sRGB in [0, 1]; the result is like it.

        Args:
            shares: `(N, S, H, W)` in [0, 1], the share of each style at every pixel, or `(N, S, 1, 1)` if they are
                equal everywhere; None if there is one style.
        """
        height, width = x.shape[-2:]
        shares = x.new_ones(1, 1, 1, 1) if shares is None else _padded(shares)
        maps = 2 * _padded(x) - 1
        for convolution in self.down:
            maps = functional.relu(convolution(maps, shares))
        for block in self.blocks:
            maps = block(maps, shares)
        for convolution in self.up:
            maps = functional.relu(convolution(enlarge(maps), shares))
        change = self.last(maps)[..., :height, :width]
        return torch.sigmoid(change + _LOGIT_SHARE * x.clamp(_LOGIT_LIMIT, 1 - _LOGIT_LIMIT).logit())

    def paint(self, x: Tensor, shares: Tensor | None = None, *, tile_px: int = _TILE_PX) -> Tensor:
        """Paint as `forward` does, in tiles of at most `tile_px` a side, which need less memory and leave no seams."""
        height, width = x.shape[-2:]
        if max(height, width) <= tile_px:
            painted: Tensor = self(x, shares)
            return painted
        result = torch.empty_like(x)
        for top in range(0, height, tile_px):
            for left in range(0, width, tile_px):
                rows, columns = _with_context(top, tile_px, height), _with_context(left, tile_px, width)
                tile_shares = shares if shares is None or shares.shape[-2:] == (1, 1) else shares[..., rows, columns]
                tile = self(x[..., rows, columns], tile_shares)
                tile = tile[..., top - rows.start :, left - columns.start :][..., :tile_px, :tile_px]
                result[..., top : top + tile_px, left : left + tile_px] = tile
        return result

    def to_vector(self) -> NDArray[np.float32]:
        """All parameters and statistics, one after the other, float32."""
        return np.concatenate([value.detach().cpu().numpy().ravel() for value in self.state_dict().values()])

    def load_vector(self, vector: NDArray[np.float32]) -> None:
        """Take the parameters and statistics that `to_vector` returned; ValueError if they are too many or too few."""
        values = list(self.state_dict().values())
        ends = np.cumsum([value.numel() for value in values])
        if len(vector) != ends[-1]:
            raise ValueError(f"this network has {ends[-1]} values, not {len(vector)}")
        for value, part in zip(values, np.split(vector, ends[:-1]), strict=True):
            value.copy_(torch.from_numpy(np.array(part)).view(value.shape))


def _with_context(start: int, tile_px: int, size: int) -> slice:
    """The rows or columns of a tile with all that its pixels depend on; it begins at a multiple of the stride."""
    return slice(max(0, start - CONTEXT_PX), min(size, start + tile_px + CONTEXT_PX))


def enlarge(maps: Tensor) -> Tensor:
    """Double both sides, bilinearly: doubled pixels blurred by 1 2 1, whose gradient is deterministic on a GPU, too."""
    maps = functional.interpolate(maps, scale_factor=2.0)
    for axis in (2, 3):
        size = maps.shape[axis]
        first, last = maps.narrow(axis, 0, 1), maps.narrow(axis, size - 1, 1)
        around = torch.cat([first, maps, last], axis)
        maps = (around.narrow(axis, 0, size) + around.narrow(axis, 2, size)).add_(maps, alpha=2).div_(4)
    return maps


def _padded(x: Tensor) -> Tensor:
    """Repeat the last row and column until both sides are multiples of the stride."""
    height, width = x.shape[-2:]
    if height == width == 1:
        return x
    rows, columns = -height % STRIDE_PX, -width % STRIDE_PX
    return functional.pad(x, (0, columns, 0, rows), mode="replicate") if rows or columns else x


def _draw_parameters(network: TransformNetwork, seed: int) -> None:
    """Draw the filters by He et al. 2015 from a generator of its own; the last layer is zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for convolution in _convolutions(network):
            inputs = convolution.weight[0].numel()
            convolution.weight.copy_(torch.randn(convolution.weight.shape, generator=generator) * (2 / inputs) ** 0.5)
        network.last.weight.zero_()
        assert network.last.bias is not None
        network.last.bias.zero_()


def _convolutions(network: nn.Module) -> Iterator[nn.Conv2d]:
    return (module for module in network.modules() if isinstance(module, nn.Conv2d))
