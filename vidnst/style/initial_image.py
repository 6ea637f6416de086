"""The initial image of a cold start: content, noise, or a style picture, with matched colours on request."""

from collections.abc import Sequence

import torch
from torch import Tensor

from vidnst.config import OptimizeConfig
from vidnst.frames import Pixels
from vidnst.style.tensors import from_pixels, resize


def initial_image(
    content: Tensor, styles: Sequence[tuple[Pixels, float]], config: OptimizeConfig, *, seed: int
) -> Tensor:
    """The picture that `optimize.init` asks for, with the styles' colours if `optimize.match_init` does.

    Args:
        content: `(1, 3, H, W)` in [0, 1], at the size of the result.
        styles: pictures `(H, W, 3)` with their weights; `init: style` takes the one with the largest weight.
        seed: of the noise.
    """
    if config.init == "style":
        heaviest = max(styles, key=lambda style: style[1])[0]
        picture = crop_to_fit(from_pixels(heaviest), *content.shape[-2:]).to(content)
    else:
        picture = _with_noise(content, {"content": 0.0, "noise": 1.0, "blend": config.noise}[config.init], seed)
    if not config.match_init:
        return picture
    return match_histograms(picture, [(from_pixels(pixels).to(content), weight) for pixels, weight in styles])


def _with_noise(content: Tensor, share: float, seed: int) -> Tensor:
    if share == 0:
        return content
    # Drawn on the CPU, because a GPU's generator gives other numbers.
    noise = torch.rand(content.shape, generator=torch.Generator().manual_seed(seed)).to(content)
    return content.lerp(noise, share)


def crop_to_fit(picture: Tensor, height: int, width: int) -> Tensor:
    """The largest central crop of a picture `(1, 3, H, W)` with the aspect ratio of a size, resized to that size."""
    rows, columns = picture.shape[-2:]
    factor = min(rows / height, columns / width)
    tall, wide = (max(1, min(limit, round(side * factor))) for limit, side in ((rows, height), (columns, width)))
    top, left = (rows - tall) // 2, (columns - wide) // 2
    return resize(picture[..., top : top + tall, left : left + wide], height, width)


def match_histograms(picture: Tensor, styles: Sequence[tuple[Tensor, float]]) -> Tensor:
    """Match the histogram of each channel to those of styles: values take the styles' values of the same rank.

    Equal values stay equal. The values of several styles are averaged by weight.

    Args:
        picture: `(1, C, H, W)`.
        styles: `(1, C, h, w)` of any sizes, with their weights.
    """
    total = sum(weight for _, weight in styles)
    channels = []
    for index, channel in enumerate(picture[0].unbind()):
        ranks = _ranks(channel.flatten())
        values = sum(weight / total * _values_at(style[0, index].flatten(), ranks) for style, weight in styles)
        channels.append(torch.as_tensor(values).reshape(channel.shape))
    return torch.stack(channels)[None].to(picture)


def _ranks(values: Tensor) -> Tensor:
    """Share of values below each, in [0, 1], float64; equal ones share their mean rank."""
    ordered = values.sort().values
    below, not_above = (torch.searchsorted(ordered, values, right=right) for right in (False, True))
    return (below + not_above).double() / (2 * len(values))


def _values_at(values: Tensor, ranks: Tensor) -> Tensor:
    """The values at these ranks, float64; interpolated between neighbouring ranks."""
    ordered = values.sort().values.double()
    position = (ranks * len(ordered) - 0.5).clamp(0, len(ordered) - 1)
    first = position.floor().long()
    second = (first + 1).clamp(max=len(ordered) - 1)
    return ordered[first].lerp(ordered[second], position - first)
