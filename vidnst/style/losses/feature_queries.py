"""Statistics of a picture's feature maps, computed in more or less memory.

By default the graph of all maps is stored. With recomputation, the network runs block by block and each block's maps
are discarded until the backward pass. With tiles, only one tile's maps exist at a time. Textures of bfloat16 maps are
computed in bands, so that no float32 copy of a whole map is made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from vidnst.config import VGG19_LAYERS
from vidnst.style.memory.modes import NO_SAVINGS, MemoryMode
from vidnst.style.memory.tiling import Tile, Window, bands, cut_tiles, sum_over_windows
from vidnst.style.network.backbones import stride_px
from vidnst.style.network.vgg import VGG19, Block
from vidnst.style.targets.guide_maps import Guide
from vidnst.style.textures.protocol import NO_ENERGY, Scale, Texture
from vidnst.style.textures.registry import STATISTICS

CONTENT = "content"
"""Stands for a statistic's name in the key of a content distance."""
_BAND_VALUES = 1 << 22
"""Values of a bfloat16 map that are converted to float32 at a time: 16 MiB."""
_GPU_BAND_VALUES = 1 << 26
"""The same on a GPU if only the content's distance is wanted, so that relu4_2 of a 4K frame is one band: several are
computed twice, and a whole copy of so deep a map is small next to the others."""

Statistics: TypeAlias = dict[tuple[str, str, int], Texture]
"""By the name of a statistic, or `CONTENT`; the layer; and the index of the guide."""


@dataclass(frozen=True, slots=True)
class _Location:
    """The position of a part of a layer's map in the whole map."""

    window: Window
    height: int
    width: int
    """Size of the whole map."""

    def share(self, guide: Tensor | None) -> float | Tensor:
        """The part's share of the whole map, or of the guide's sum."""
        if guide is None:
            return self.window.positions / (self.height * self.width)
        return self.window.of(guide).sum() / (guide.sum() + NO_ENERGY)


class ContentTarget:
    """A layer's map of the content, and the distance of other maps from it.

    relative: ||F - P||^2 / ||P||^2, 0 for the content itself.
    gatys: equation 1, L = 1/2 sum_ij (F_ij - P_ij)^2.
    mean: 1/(N M) sum_ij (F_ij - P_ij)^2, for N channels over M positions.

    Args:
        maps: P, `(1, N, h, w)` float32 or bfloat16.
        scale: see `losses.terms`.
    """

    def __init__(self, maps: Tensor, scale: Scale) -> None:
        self._maps = maps
        self._factor: float | Tensor = 1.0 if scale == "mean" else maps.numel() / 2
        if scale == "relative":
            self._factor = 1 / (maps.float().square().mean() + NO_ENERGY)

    def distance(self, maps: Tensor, location: _Location | None = None) -> Tensor:
        """The distance of whole float32 maps F, or the contribution of a part of them at its location."""
        if location is None:
            return functional.mse_loss(maps, self._maps.float()) * self._factor
        mean = functional.mse_loss(maps, location.window.of(self._maps).float())
        return mean * (location.share(None) * self._factor)


@dataclass(frozen=True, slots=True)
class StatisticsRequest:
    """The statistics that are wanted of a picture."""

    kinds: tuple[str, ...] = ()
    """Names of texture statistics."""
    layers: tuple[str, ...] = ()
    """Layers whose textures are wanted."""
    guides: Sequence[Guide | None] = (None,)
    """Regions whose textures are wanted; None is the whole picture."""
    content: Mapping[str, ContentTarget] = field(default_factory=dict)
    """Content targets by layer, whose distances are wanted."""

    @property
    def all_layers(self) -> tuple[str, ...]:
        """All layers that are needed."""
        return tuple({**self.content, **dict.fromkeys(self.layers)})

    def layers_used_at_most(self, times: int) -> list[str]:
        """Layers from whose map at most so many statistics are computed."""
        textures = len(self.kinds) * len(self.guides)
        uses = {name: (name in self.content) + textures * (name in self.layers) for name in VGG19_LAYERS}
        return [name for name, count in uses.items() if count <= times]


class FeatureExtractor:
    """Computes statistics of pictures with a network.

    Args:
        network: its precision is that of the maps.
        memory_mode: `recompute` and `tile_px` are used.
    """

    def __init__(self, network: VGG19, memory_mode: MemoryMode = NO_SAVINGS) -> None:
        self._network = network
        self._mode = memory_mode

    def __call__(
        self, picture: Tensor, request: StatisticsRequest, *, tile_seed: tuple[int, int] | None = None
    ) -> Statistics:
        """Compute the statistics of a picture `(1, 3, H, W)`; differentiable.

        Args:
            tile_seed: shifts the tiles at random; None does not shift them.
        """
        tiles = self._tiles(picture, tile_seed)
        if len(tiles) < 2:
            return self._statistics(picture, request, None)
        size = (picture.shape[-2], picture.shape[-1])
        return sum_over_windows(
            picture,
            [tile.seen for tile in tiles],
            lambda part, index: self._statistics(part, request, (tiles[index], size)),
        )

    @torch.no_grad()
    def maps(self, picture: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """The maps `(1, N, h, w)` of some layers, in the precision of the network."""
        tiles = self._tiles(picture, None)
        if len(tiles) < 2:
            return dict(self._network(picture, layers))
        result: dict[str, Tensor] = {}
        for tile in tiles:
            for name, maps in self._network(tile.seen.of(picture), layers).items():
                stride = stride_px(name)
                if name not in result:
                    size = (picture.shape[-2] // stride, picture.shape[-1] // stride)
                    empty = maps.new_empty(1, maps.shape[1], *size)
                    result[name] = empty.contiguous(memory_format=torch.channels_last)
                core = tile.core.over(stride)
                core.of(result[name]).copy_(core.within(tile.seen.over(stride)).of(maps))
        return result

    def _tiles(self, picture: Tensor, seed: tuple[int, int] | None) -> list[Tile]:
        side = self._mode.tile_px
        return [] if side is None else cut_tiles(*picture.shape[-2:], tile_px=side, seed=seed)

    def _statistics(
        self, x: Tensor, request: StatisticsRequest, source: tuple[Tile, tuple[int, int]] | None
    ) -> Statistics:
        """Compute statistics block by block, so that recomputation includes them.

        Blocks are as short as possible while the gradients of a map are summed in the same order as without
        recomputation: two summands commute, and the next layer is one of them, or several if it pads its map itself.

        Args:
            source: the tile that `x` is, and the size of the whole picture; None if `x` is the whole picture.
        """
        statistics: Statistics = {}
        recompute = self._mode.recompute and torch.is_grad_enabled()
        split_after = request.layers_used_at_most(int(self._network.pads_with_zeros)) if recompute else ()
        for block in self._network.blocks(x, request.all_layers, split_after=split_after):

            def run(x: Tensor, block: Block = block) -> tuple[Tensor, Statistics]:
                x, maps = block(x)
                return x, _statistics_of_maps(maps, request, source)

            if recompute:
                x, of_block = checkpoint(run, x, use_reentrant=False, preserve_rng_state=False)
            else:
                x, of_block = run(x)
            statistics.update(of_block)
        return statistics


def _statistics_of_maps(
    layers: Mapping[str, Tensor], request: StatisticsRequest, source: tuple[Tile, tuple[int, int]] | None
) -> Statistics:
    """Statistics of whole maps, or a tile's contribution to them."""
    statistics: Statistics = {}
    for name, maps in layers.items():
        location = None
        if source is not None:
            (tile, (height, width)), stride = source, stride_px(name)
            location = _Location(tile.core.over(stride), height // stride, width // stride)
            maps = location.window.within(tile.seen.over(stride)).of(maps)
        if maps.dtype == torch.bfloat16:
            direct = tuple(kind for kind in request.kinds if STATISTICS[kind].takes_bfloat16)
            statistics.update(_compute(maps, name, replace(request, content={}), direct, location))
            rest = replace(request, kinds=tuple(kind for kind in request.kinds if kind not in direct))
            if rest.kinds or name in rest.content:
                statistics.update(_compute_in_bands(maps, name, rest, location))
        else:
            statistics.update(_compute(maps, name, request, request.kinds, location))
    return statistics


def _compute_in_bands(maps: Tensor, name: str, request: StatisticsRequest, location: _Location | None) -> Statistics:
    """Statistics of bfloat16 maps, computed in float32 band by band; those that are not additive, from a whole copy."""
    height, width = maps.shape[-2:]
    if location is None:
        location = _Location(Window(0, height, 0, width), height, width)
    kinds = request.kinds if name in request.layers else ()
    additive = tuple(kind for kind in kinds if STATISTICS[kind].additive)
    values = _GPU_BAND_VALUES if maps.device.type == "cuda" and not kinds else _BAND_VALUES
    rows = max(1, values // (maps.shape[1] * width))
    cut = bands(location.window, rows)

    def of_band(part: Tensor, index: int) -> Statistics:
        return _compute(part.float(), name, request, additive, _Location(cut[index], location.height, location.width))

    windows = [band.within(location.window) for band in cut]
    statistics = sum_over_windows(maps, windows, of_band) if len(cut) > 1 else of_band(maps, 0)
    if rest := tuple(kind for kind in kinds if kind not in additive):
        textures = StatisticsRequest(kinds=rest, layers=request.layers, guides=request.guides)
        statistics.update(_compute(maps.float(), name, textures, rest, None))
    return statistics


def _compute(
    maps: Tensor, name: str, request: StatisticsRequest, kinds: Sequence[str], location: _Location | None
) -> Statistics:
    """Statistics of whole float32 maps `(1, N, h, w)`, or of a part of them, multiplied by its share."""
    statistics: Statistics = {}
    if name in request.content:
        statistics[CONTENT, name, 0] = (request.content[name].distance(maps, location),)
    for kind in kinds if name in request.layers else ():
        for index, guide in enumerate(request.guides):
            if location is None:
                weights = None if guide is None else guide.at(maps.shape[-2], maps.shape[-1])
                statistics[kind, name, index] = STATISTICS[kind].compute(maps, weights)
                continue
            weights = None if guide is None else guide.at(location.height, location.width)
            share = location.share(weights)
            texture = STATISTICS[kind].compute(maps, None if weights is None else location.window.of(weights))
            statistics[kind, name, index] = tuple(share * part for part in texture)
    return statistics
