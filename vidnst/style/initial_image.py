"""What a cold frame begins as."""

from collections.abc import Sequence

import torch
from torch import Tensor

from vidnst.config import OptimizeConfig
from vidnst.frames import Pixels
from vidnst.style.tensors import from_pixels, resized


def first_guess(
    content: Tensor, styles: Sequence[tuple[Pixels, float]], config: OptimizeConfig, *, seed: int
) -> Tensor:
    """The picture that `optimize.init` asks for, in the styles' colours where `optimize.match_init` does.

    Args:
        content: `(1, 3, H, W)` in [0, 1], at the size of the start.
        styles: pictures `(H, W, 3)` with their weights; of several, `init: style` takes the one of most weight.
        seed: of the noise.
    """
    if config.init == "style":
        heaviest = max(styles, key=lambda style: style[1])[0]
        picture = fitted(from_pixels(heaviest), *content.shape[-2:]).to(content)
    else:
        picture = _noisy(content, {"content": 0.0, "noise": 1.0, "blend": config.noise}[config.init], seed)
    if not config.match_init:
        return picture
    return matched(picture, [(from_pixels(pixels).to(content), weight) for pixels, weight in styles])


def _noisy(content: Tensor, share: float, seed: int) -> Tensor:
    if share == 0:
        return content
    # Drawn on the CPU: a GPU's generator gives other numbers.
    noise = torch.rand(content.shape, generator=torch.Generator().manual_seed(seed)).to(content)
    return content.lerp(noise, share)


def fitted(picture: Tensor, height: int, width: int) -> Tensor:
    """The middle of a picture `(1, 3, H, W)`, as large as it goes in the proportions asked for, at that size."""
    rows, columns = picture.shape[-2:]
    factor = min(rows / height, columns / width)
    tall, wide = (max(1, min(room, round(side * factor))) for room, side in ((rows, height), (columns, width)))
    top, left = (rows - tall) // 2, (columns - wide) // 2
    return resized(picture[..., top : top + tall, left : left + wide], height, width)


def matched(picture: Tensor, styles: Sequence[tuple[Tensor, float]]) -> Tensor:
    """A picture in the colours of others: each channel takes the values that theirs has at the same rank.

    Equal values stay equal. Of several styles the values are averaged by weight.

    Args:
        picture: `(1, C, H, W)`.
        styles: `(1, C, h, w)` of any sizes, with their weights.
    """
    whole = sum(weight for _, weight in styles)
    channels = []
    for index, channel in enumerate(picture[0].unbind()):
        rank = _ranks(channel.flatten())
        values = sum(weight / whole * _at(style[0, index].flatten(), rank) for style, weight in styles)
        channels.append(torch.as_tensor(values).reshape(channel.shape))
    return torch.stack(channels)[None].to(picture)


def _ranks(values: Tensor) -> Tensor:
    """Share of values below each, in [0, 1], float64; equal ones share their mean rank."""
    ordered = values.sort().values
    below, not_above = (torch.searchsorted(ordered, values, right=right) for right in (False, True))
    return (below + not_above).double() / (2 * len(values))


def _at(values: Tensor, rank: Tensor) -> Tensor:
    """The values at these ranks, between neighbours in order where a rank lies between them; float64."""
    ordered = values.sort().values.double()
    place = (rank * len(ordered) - 0.5).clamp(0, len(ordered) - 1)
    first = place.floor().long()
    second = (first + 1).clamp(max=len(ordered) - 1)
    return ordered[first].lerp(ordered[second], place - first)
