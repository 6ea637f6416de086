"""What the losses want to know of a picture, and how the network finds it out in more or less memory.

At once, the graph of all maps is held. With recomputation, the network goes block by block and forgets each block's
maps until the gradient comes by. In tiles, only one tile's maps exist at a time. In bfloat16, textures are taken from
bands of a map, so that no float32 copy of a whole one is made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from vidnst.config import VGG19_LAYERS
from vidnst.style.losses import terms
from vidnst.style.losses.terms import Scale
from vidnst.style.memory.chunked_sum import Window, bands, summed
from vidnst.style.memory.modes import MemoryMode
from vidnst.style.memory.tiles import Tile, tiles
from vidnst.style.network.backbones import stride_px
from vidnst.style.network.vgg import VGG19, Block
from vidnst.style.targets.guide_maps import Guide
from vidnst.style.textures.protocol import Texture
from vidnst.style.textures.registry import STATISTICS

CONTENT = "content"
"""Takes the place of a statistic's name in answers that are content losses."""
_BAND_VALUES = 1 << 22
"""Of a bfloat16 map, as many are float32 at a time: 16 MiB."""

Statistics: TypeAlias = dict[tuple[str, str, int], Texture]
"""By the name of a statistic, or `CONTENT`; of a layer; and the number of a guide."""


class ContentMap:
    """A layer's map of the content, and how distances from it are counted.

    Args:
        maps: `(1, N, h, w)` float32 or bfloat16.
        scale: see `losses`.
    """

    def __init__(self, maps: Tensor, scale: Scale) -> None:
        self._maps = maps
        self._factor = terms.of_mean(maps.float(), scale)

    def distance(self, found: Tensor, place: "_Place | None") -> Tensor:
        """Of all float32 maps, or what those at a place add to it."""
        if place is None:
            return functional.mse_loss(found, self._maps.float()) * self._factor
        mean = functional.mse_loss(found, place.window.of(self._maps).float())
        return mean * (place.share(None) * self._factor)


@dataclass(frozen=True, slots=True)
class StatisticsRequest:
    """What is wanted of a picture."""

    kinds: tuple[str, ...] = ()
    """Names of statistics."""
    layers: tuple[str, ...] = ()
    """Whose textures are wanted."""
    guides: Sequence[Guide | None] = (None,)
    """Regions whose textures are wanted; None is the whole picture."""
    content: Mapping[str, ContentMap] = field(default_factory=dict)
    """By layer, from what distances are wanted."""

    @property
    def maps(self) -> tuple[str, ...]:
        """All layers that are needed."""
        return tuple({**self.content, **dict.fromkeys(self.layers)})

    def asked_at_most(self, times: int) -> list[str]:
        """Layers of whose map so many things are wanted, or fewer."""
        textures = len(self.kinds) * len(self.guides)
        wanted = {name: (name in self.content) + textures * (name in self.layers) for name in VGG19_LAYERS}
        return [name for name, count in wanted.items() if count <= times]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in a layer's whole map some positions are."""

    window: Window
    height: int
    width: int

    def share(self, guide: Tensor | None) -> float | Tensor:
        """Of all that counts, how much is here."""
        if guide is None:
            return self.window.positions / (self.height * self.width)
        return self.window.of(guide).sum() / (guide.sum() + terms.NO_ENERGY)


class FeatureExtractor:
    """Looks at pictures through a network.

    Args:
        network: its precision is the one of the maps.
        memory_mode: `recompute` and `tile_px` are read.
    """

    def __init__(self, network: VGG19, memory_mode: MemoryMode | None = None) -> None:
        self._network = network
        self._thrift = MemoryMode() if memory_mode is None else memory_mode

    def __call__(
        self, picture: Tensor, question: StatisticsRequest, *, chance: tuple[int, int] | None = None
    ) -> Statistics:
        """Answers about a picture `(1, 3, H, W)`; differentiable.

        Args:
            chance: a seed and a number, which together shift the tiles; None does not.
        """
        cut = self._tiles(picture, chance)
        if len(cut) < 2:
            return self._answers(picture, question, None)
        size = (picture.shape[-2], picture.shape[-1])
        return summed(
            picture,
            [tile.seen for tile in cut],
            lambda part, number: self._answers(part, question, (cut[number], size)),
        )

    @torch.no_grad()
    def maps(self, picture: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """The maps `(1, N, h, w)` of some layers, in the precision of the network."""
        cut = self._tiles(picture, None)
        if len(cut) < 2:
            return dict(self._network(picture, layers))
        whole: dict[str, Tensor] = {}
        for tile in cut:
            for name, maps in self._network(tile.seen.of(picture), layers).items():
                stride = stride_px(name)
                if name not in whole:
                    size = (picture.shape[-2] // stride, picture.shape[-1] // stride)
                    empty = maps.new_empty(1, maps.shape[1], *size)
                    whole[name] = empty.contiguous(memory_format=torch.channels_last)
                core = tile.core.over(stride)
                core.of(whole[name]).copy_(core.within(tile.seen.over(stride)).of(maps))
        return whole

    def _tiles(self, picture: Tensor, chance: tuple[int, int] | None) -> list[Tile]:
        side = self._thrift.tile_px
        return [] if side is None else tiles(*picture.shape[-2:], tile_px=side, chance=chance)

    def _answers(
        self, x: Tensor, question: StatisticsRequest, where: tuple[Tile, tuple[int, int]] | None
    ) -> Statistics:
        """Block by block, so that what is asked of a block is part of what may be forgotten and computed again.

        Blocks are as short as they can be while the gradients of a map are added up in the same order as without: two
        are the same in any order, and the next layer is one of them, or, where it pads its map itself, several.
        """
        answers: Statistics = {}
        recompute = self._thrift.recompute and torch.is_grad_enabled()
        apart = question.asked_at_most(int(self._network.pads_with_zeros)) if recompute else ()
        for block in self._network.blocks(x, question.maps, split_after=apart):

            def run(x: Tensor, block: Block = block) -> tuple[Tensor, Statistics]:
                x, maps = block(x)
                return x, _asked(maps, question, where)

            if recompute:
                x, found = checkpoint(run, x, use_reentrant=False, preserve_rng_state=False)
            else:
                x, found = run(x)
            answers.update(found)
        return answers


def _asked(
    maps: Mapping[str, Tensor], question: StatisticsRequest, where: tuple[Tile, tuple[int, int]] | None
) -> Statistics:
    """What is asked of these maps: of whole ones, or a tile's contribution to it."""
    answers: Statistics = {}
    for name, found in maps.items():
        place = None
        if where is not None:
            (tile, (height, width)), stride = where, stride_px(name)
            place = _Place(tile.core.over(stride), height // stride, width // stride)
            found = place.window.within(tile.seen.over(stride)).of(found)
        if found.dtype == torch.bfloat16:
            whole = tuple(kind for kind in question.kinds if STATISTICS[kind].takes_half)
            answers.update(_of(found, name, replace(question, content={}), whole, place))
            rest = replace(question, kinds=tuple(kind for kind in question.kinds if kind not in whole))
            if rest.kinds or name in rest.content:
                answers.update(_in_bands(found, name, rest, place))
        else:
            answers.update(_of(found, name, question, question.kinds, place))
    return answers


def _in_bands(maps: Tensor, name: str, question: StatisticsRequest, place: _Place | None) -> Statistics:
    """The same of bfloat16 maps, added up in float32; only what cannot be added up is taken from a whole copy."""
    height, width = maps.shape[-2:]
    if place is None:
        place = _Place(Window(0, height, 0, width), height, width)
    additive = tuple(kind for kind in question.kinds if STATISTICS[kind].additive)
    rows = max(1, _BAND_VALUES // (maps.shape[1] * width))
    cut = bands(place.window, rows)

    def look(part: Tensor, number: int) -> Statistics:
        return _of(part.float(), name, question, additive, _Place(cut[number], place.height, place.width))

    windows = [band.within(place.window) for band in cut]
    answers = summed(maps, windows, look) if len(cut) > 1 else look(maps, 0)
    rest = tuple(kind for kind in question.kinds if kind not in additive)
    if rest and name in question.layers:
        textures = StatisticsRequest(kinds=rest, layers=question.layers, guides=question.guides)
        answers.update(_of(maps.float(), name, textures, rest, None))
    return answers


def _of(maps: Tensor, name: str, question: StatisticsRequest, kinds: Sequence[str], place: _Place | None) -> Statistics:
    """Of float32 maps `(1, N, h, w)`: all there are, or those at a place, weighed by its share."""
    answers: Statistics = {}
    if name in question.content:
        answers[CONTENT, name, 0] = (question.content[name].distance(maps, place),)
    for kind in kinds if name in question.layers else ():
        for index, guide in enumerate(question.guides):
            if place is None:
                answers[kind, name, index] = STATISTICS[kind].of(maps, None if guide is None else guide.over(maps))
                continue
            whole = None if guide is None else guide.at(place.height, place.width)
            share = place.share(whole)
            found = STATISTICS[kind].of(maps, None if whole is None else place.window.of(whole))
            answers[kind, name, index] = tuple(share * part for part in found)
    return answers
