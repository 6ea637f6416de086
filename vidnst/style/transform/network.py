"""The transform network: from a frame to a painted frame in one pass.

The shape is that of Johnson, Alahi & Fei-Fei 2016, "Perceptual Losses for Real-Time Style Transfer": convolutions that
shrink the picture to a quarter, residual blocks, and others that enlarge it. Deviations:

- It has half the channels and four blocks instead of five, since it learns one clip, and few layers at full size.
- Frames are first given the colours of the style, by an affine map; the result is a change of those colours' logits. A
  network of zeros shows the frame in the style's colours, and training is about strokes alone.
- It also sees the frame's local contrast, so that a sky has something to hang strokes on.
- Maps are enlarged bilinearly before a convolution. Transposed convolutions leave checkerboards (Odena, Dumoulin & Olah
  2016), and doubled pixels left stripes two pixels wide.
- What the enlargement blurs comes from layers of the same size on the way down (Ronneberger, Fischer & Brox 2015,
  "U-Net"). Without them the style loss was 1.8 times as large after 120 steps, and strokes were blurred.
- Maps are blurred before they are taken at every second position (Zhang 2019, "Making Convolutional Networks
  Shift-Invariant Again"): strokes change less as the picture moves.

Normalisation: while the network learns the most, activations are normalised by each frame's own statistics (instance
normalisation, Ulyanov, Vedaldi & Lempitsky 2017). But those change when something enters the picture, and then all of
it pumps; and they make a tile differ from the whole. So the last part of the training, and all painting, use running
averages over the clip instead, and each pixel depends on its surroundings alone.

Several styles share the filters. Each has its own colours, and its own scales and shifts after every normalisation
(Dumoulin, Shlens & Kudlur 2017), which are mixed at each position by the styles' shares there.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from vidnst.style.transform.colour_map import ColourMoments, colour_map
from vidnst.style.transform.local_contrast import local_contrast

STRIDE_PX = 4
"""The inner layers' positions are this many pixels apart: sides are padded to a multiple."""
CONTEXT_PX = 64
"""Pixels of a layer's input around a pixel that can change it; most by four blocks at a quarter of the size."""

PAINTED_TILE_PX = 1024
"""Side of the tiles in which a frame is painted, a multiple of the stride."""
_CHANNELS = (12, 32, 64)
"""Of the layers at full, half and a quarter of the size."""
_INPUTS = 6
"""The frame in the style's colours, and its local contrast."""
_BLOCKS = 4
_MOMENTUM = 0.05
"""Share of a step's statistics in the running averages."""
_EPSILON = 1e-5
_LOGIT_LIMIT = 1 / 64
"""Colours are kept this far from black and white, whose logits are infinite, before the network changes them."""


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
        self.is_measuring = False
        """True while averages are plain means, and are kept without a gradient."""

    def begin_measuring(self) -> None:
        """Forget the averages."""
        self.count.zero_()
        self.is_measuring = True

    def forward(self, x: Tensor, shares: Tensor) -> Tensor:
        """Normalise `(N, C, H, W)`; `shares` is `(N, S, H', W')`, of each style at every position of the frame."""
        if shares.shape[0] > 1 or shares.shape[-2:] != (1, 1):
            scale, shift = (self._mixed(of_styles, shares, x) for of_styles in (self.scale, self.shift))
            return torch.addcmul(shift, self._normalise(x, None, None), scale)
        return self._normalise(x, *(shares[0, :, 0, 0] @ of_styles for of_styles in (self.scale, self.shift)))

    def _normalise(self, x: Tensor, scale: Tensor | None, shift: Tensor | None) -> Tensor:
        """Normalise by the picture's statistics or by the averages, which move by `share` of the former."""
        own = self.training and x[:, 0].numel() > 1  # a single value has no variance
        share = 0.0
        if own and (torch.is_grad_enabled() or self.is_measuring):
            self.count += 1
            share = 1 / float(self.count)  # a plain mean at first
            share = share if self.is_measuring else max(_MOMENTUM, share)
        return functional.batch_norm(x, self.mean, self.variance, scale, shift, own, share, _EPSILON)

    @staticmethod
    def _mixed(of_styles: Tensor, shares: Tensor, x: Tensor) -> Tensor:
        """The mixture of the styles' values: `(N, C, h, w)`, or `(N, C, 1, 1)` if shares are equal everywhere."""
        if shares.shape[-2:] != (1, 1) and shares.shape[-2:] != x.shape[-2:]:
            shares = functional.interpolate(shares, x.shape[-2:], mode="area")
        return torch.einsum("nshw,sc->nchw", shares, of_styles)


class _MirroredConvolution(nn.Conv2d):
    """A convolution of a picture that is mirrored at its border, to the same size over the stride."""

    def __init__(self, inputs: int, outputs: int, side: int, *, stride: int = 1, bias: bool = False) -> None:
        super().__init__(inputs, outputs, side, stride=stride, bias=bias)
        self._border = side // 2

    def forward(self, x: Tensor) -> Tensor:
        """Convolve `(N, inputs, H, W)`."""
        result: Tensor = super().forward(mirrored(x, self._border))
        return result


class _Convolution(nn.Module):
    """A convolution with a mirrored border, and a normalisation."""

    def __init__(self, inputs: int, outputs: int, side: int, styles: int, *, stride: int = 1) -> None:
        super().__init__()
        self.convolution = _MirroredConvolution(inputs, outputs, side, stride=stride)
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

    colours: Tensor
    """`(S, 3, 4)`: for each style the map of colours to its own, a matrix and an offset."""

    def __init__(self, *, styles: int = 1, seed: int = 0) -> None:
        super().__init__()
        full, outer, inner = _CHANNELS
        self.down = nn.ModuleList(
            [_Convolution(_INPUTS, outer, 7, styles, stride=2), _Convolution(outer, inner, 3, styles, stride=2)]
        )
        self.blocks = nn.ModuleList([_Block(inner, styles) for _ in range(_BLOCKS)])
        self.up = nn.ModuleList([_Convolution(inner, outer, 3, styles), _Convolution(2 * outer, outer // 2, 3, styles)])
        self.full = _Convolution(outer // 2 + _INPUTS, full, 3, styles)
        self.last = _MirroredConvolution(full, 3, 5, bias=True)
        self.register_buffer("colours", torch.eye(3, 4).repeat(styles, 1, 1))
        _draw_parameters(self, seed)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor, shares: Tensor | None = None) -> Tensor:
        """Paint `(N, 3, H, W)` float32 sRGB in [0, 1]; the result is like it.

        Args:
            shares: `(N, S, H, W)` in [0, 1], the share of each style at every pixel, or `(N, S, 1, 1)` if they are
                equal everywhere; None if there is one style.
        """
        return self.paint(x, shares, tile_px=None)

    def paint(self, x: Tensor, shares: Tensor | None = None, *, tile_px: int | None = PAINTED_TILE_PX) -> Tensor:
        """Paint as `forward` does, in tiles of at most `tile_px` a side, which need less memory and leave no seams.

        Args:
            x, shares: as in `forward`.
            tile_px: a multiple of the stride; None paints the whole frame at once.
        """
        shares = x.new_ones(1, 1, 1, 1) if shares is None else _padded(shares)
        coloured = self._coloured(_padded(x), shares)
        maps = torch.cat([2 * coloured - 1, local_contrast(coloured)], 1).contiguous(memory_format=torch.channels_last)
        change = self._change(maps, shares) if tile_px is None else self._change_in_tiles(maps, shares, tile_px)
        result = torch.sigmoid(change + coloured.clamp(_LOGIT_LIMIT, 1 - _LOGIT_LIMIT).logit())
        return result[..., : x.shape[-2], : x.shape[-1]]

    def _coloured(self, x: Tensor, shares: Tensor) -> Tensor:
        """Give a frame the colours of its styles."""
        of_styles = torch.einsum("sij,njhw->nsihw", self.colours[..., :3], x) + self.colours[None, ..., 3:, None]
        return (shares[:, :, None] * of_styles).sum(1).clamp(0, 1)

    def _change(self, inputs: Tensor, shares: Tensor) -> Tensor:
        """The change of the logits."""
        halves = functional.relu(self.down[0](inputs, shares))
        maps = functional.relu(self.down[1](blurred(halves), shares))
        for block in self.blocks:
            maps = block(maps, shares)
        maps = functional.relu(self.up[0](enlarge(maps), shares))
        maps = functional.relu(self.up[1](torch.cat([maps, halves], 1), shares))
        maps = functional.relu(self.full(torch.cat([enlarge(maps), inputs], 1), shares))
        change: Tensor = self.last(maps)
        return change

    def _change_in_tiles(self, inputs: Tensor, shares: Tensor, tile_px: int) -> Tensor:
        height, width = inputs.shape[-2:]
        change = torch.empty_like(inputs[:, :3])
        for top in range(0, height, tile_px):
            for left in range(0, width, tile_px):
                rows, columns = _with_context(top, tile_px, height), _with_context(left, tile_px, width)
                tile_shares = shares if shares.shape[-2:] == (1, 1) else shares[..., rows, columns]
                tile = self._change(inputs[..., rows, columns], tile_shares)
                tile = tile[..., top - rows.start :, left - columns.start :][..., :tile_px, :tile_px]
                change[..., top : top + tile_px, left : left + tile_px] = tile
        return change

    @torch.no_grad()
    def measure(self, frames: Sequence[tuple[Tensor, Tensor | None]]) -> None:
        """Take the statistics of all normalisations from frames and their shares, as `forward` takes both."""
        norms = [module for module in self.modules() if isinstance(module, ClipNorm)]
        for norm in norms:
            norm.begin_measuring()
        self.train()
        for content, shares in frames:
            self(content, shares)
        for norm in norms:
            norm.is_measuring = False

    def match_colours(self, own: ColourMoments, goals: Sequence[ColourMoments]) -> None:
        """Map colours of the moments `own`, the frames', to those of each style."""
        self.colours.copy_(torch.stack([colour_map(own, goal) for goal in goals]))

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


def multiply_adds_per_pixel() -> float:
    """Return the multiply-adds of all convolutions for each pixel of a frame; all else is little next to them."""
    full, outer, inner = _CHANNELS
    at_half = 49 * _INPUTS * outer + 9 * (inner + outer) * outer
    at_quarter = 9 * outer * inner + _BLOCKS * 2 * 9 * inner * inner
    return at_half / 4 + at_quarter / 16 + 9 * (outer // 2 + _INPUTS) * full + 25 * full * 3


def _with_context(start: int, tile_px: int, size: int) -> slice:
    """The rows or columns of a tile with all that its pixels depend on; it begins at a multiple of the stride."""
    return slice(max(0, start - CONTEXT_PX), min(size, start + tile_px + CONTEXT_PX))


def mirrored(maps: Tensor, border: int) -> Tensor:
    """Mirror `(N, C, H, W)` at its border, without repeating the outermost positions.

    On a GPU the gradient of torch's own padding has no fixed order of summation, so it is made of slices there.
    """
    if maps.device.type == "cpu":
        return functional.pad(maps, (border,) * 4, mode="reflect")
    return mirrored_by_slices(maps, border)


def mirrored_by_slices(maps: Tensor, border: int) -> Tensor:
    """See `mirrored`; the same values."""
    for axis in (2, 3):
        size = maps.shape[axis]
        before = maps.narrow(axis, 1, border).flip(axis)
        after = maps.narrow(axis, size - 1 - border, border).flip(axis)
        maps = torch.cat([before, maps, after], axis)
    return maps


def enlarge(maps: Tensor) -> Tensor:
    """Double both sides, bilinearly: doubled pixels blurred, whose gradient is deterministic on a GPU, too."""
    return blurred(functional.interpolate(maps, scale_factor=2.0))


def blurred(maps: Tensor) -> Tensor:
    """Blur by 1 2 1 in both directions, the border repeated."""
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
