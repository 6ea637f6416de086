"""The number that is made small: how far a picture is from its content, its style, smoothness and its predecessor."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

import torch
from torch import Tensor
from torch.nn import functional

from vidnst.config import LossConfig
from vidnst.style.losses import terms
from vidnst.style.losses.feature_queries import CONTENT, ContentMap, FeatureExtractor, Statistics, StatisticsRequest
from vidnst.style.losses.laplacian import Edges
from vidnst.style.memory.modes import MemoryMode
from vidnst.style.network.vgg import VGG19
from vidnst.style.targets.style_targets import StyleTarget
from vidnst.style.tensors import resized
from vidnst.style.textures.registry import STATISTICS

TERMS = ("total", "content", "style", "tv", "temporal", "edges")
"""Names of the numbers that an evaluation gives: the weighted sum, then each term without its weight."""


_LOCK = 30.0
"""How much more what stands still is pulled toward its start than what moves."""

_LIT_RATE = 0.25
"""Share of the usual step for what stands still under changing light: it must be free to grow brighter."""


@dataclass(frozen=True, slots=True)
class WarmStart:
    """What a warm frame begins at and is pulled toward. Tensors are on one device."""

    picture: Tensor
    """`(1, 3, H, W)` in [0, 1]."""
    mask: Tensor
    """`(1, 1, H, W)` in [0, 1], where the picture is to be believed."""
    light: Tensor | None = None
    """`(1, 1, H, W)`, see `terms.temporal`."""
    still: Tensor | None = None
    """`(1, 1, H, W)` in [0, 1], where the picture is to hold still."""
    before: Tensor | None = None
    """`(1, 3, H, W)`: the source where the picture comes from, if the picture is still in that light; None where it is
    in the frame's own."""
    hold: float = 1.0
    """Factor on the weight of the temporal term."""
    rate: float = 0.4
    """Share of full steps where the picture is to be believed."""

    def pace(self) -> Tensor:
        """Share of a full step for each pixel, `(1, 1, H, W)`.

        What is finished elsewhere is only touched up, what stands still is left alone, and what has just come into
        view needs full steps.
        """
        pace = self.rate * self.mask + (1 - self.mask)
        if self.still is not None:
            pace = pace * (1 - self.still * (1.0 if self.light is None else 1 - _LIT_RATE))
        return pace

    def resized(self, height: int, width: int) -> "WarmStart":
        """The same at another size."""
        if self.picture.shape[-2:] == (height, width):
            return self
        mask, light, still = (
            None if map_ is None else functional.interpolate(map_, (height, width), mode="area")
            for map_ in (self.mask, self.light, self.still)
        )
        assert mask is not None
        before = None if self.before is None else resized(self.before, height, width)
        return replace(
            self, picture=resized(self.picture, height, width), mask=mask, light=light, still=still, before=before
        )

    def to(self, device: torch.device) -> "WarmStart":
        """The same on another device, cut off from any graph."""
        light, still, before = (
            None if map_ is None else map_.detach().to(device) for map_ in (self.light, self.still, self.before)
        )
        picture, mask = self.picture.detach().to(device), self.mask.detach().to(device)
        return replace(self, picture=picture, mask=mask, light=light, still=still, before=before)


class Objective:
    """Maps a picture to its losses, for one content at one size.

    Args:
        content: `(1, 3, H, W)` in [0, 1].
        styles: targets made for this size.
        start: what the temporal term pulls toward; None for a cold frame.
        unstyled: `(1, 1, H, W)` bool, where the content stays as it is, whatever the picture holds; None is nowhere.
        memory_mode: how the network looks at pictures.
        seed: of what is left to chance: how tiles are shifted from one evaluation to the next.
    """

    def __init__(
        self,
        network: VGG19,
        content: Tensor,
        styles: Sequence[StyleTarget],
        config: LossConfig,
        *,
        start: WarmStart | None = None,
        unstyled: Tensor | None = None,
        memory_mode: MemoryMode | None = None,
        seed: int = 0,
    ) -> None:
        self._source, self._unstyled = content, unstyled
        self._eye = FeatureExtractor(network, memory_mode)
        self._seed, self._evaluations = seed, 0
        self._factors: dict[tuple[float, ...], Tensor] = {}
        """Weights on the device, by their numbers."""
        regions = [(guide, list(group)) for guide, group in groupby(styles, key=lambda style: style.guide)]
        self._content_shares = terms.shares(config.content_layers)
        kinds, layers = terms.shares(config.style_kinds), terms.shares(config.style_layers)
        self._edges = Edges(content, terms.shares(config.edges_cells), scale=config.scale)
        maps = self._eye.maps(content, tuple(self._content_shares))
        self._question = StatisticsRequest(
            kinds=tuple(kinds),
            layers=tuple(layers),
            guides=[guide for guide, _ in regions],
            content={name: ContentMap(found, config.scale) for name, found in maps.items()},
        )
        self._start = start
        weights = {name: getattr(config, f"{name}_weight") for name in TERMS[1:]}
        weights["temporal"] *= 1.0 if start is None else start.hold
        # A term without weight is reported, and left out of the sum so that no gradient is computed for it.
        self._weights = {name: weight for name, weight in weights.items() if weight}
        self._style_terms = [
            (style.share * kind_share * layer_share, (kind, name, region), toward(style.textures[kind][name]))
            for kind, kind_share in kinds.items()
            for toward in [partial(STATISTICS[kind].toward, scale=config.scale)]
            for name, layer_share in layers.items()
            for region, (_, of_region) in enumerate(regions)
            for style in of_region
        ]

    def __call__(self, picture: Tensor) -> dict[str, Tensor]:
        """The losses of a picture `(1, 3, H, W)`, scalars on its device by the names of `TERMS`."""
        if self._unstyled is not None:  # so that no gradient, and no step, comes to what stays
            picture = torch.where(self._unstyled, self._source, picture)
        answers = self._eye(picture, self._question, chance=(self._seed, self._evaluations))
        self._evaluations += 1
        values = {
            "content": self._content_term(answers),
            "style": self._style_term(answers),
            "tv": terms.total_variation(picture),
            "temporal": self._temporal_term(picture),
            "edges": self._edges(picture),
        }
        total = self._sum([(weight, values[name]) for name, weight in self._weights.items()])
        if torch.is_grad_enabled() and not total.requires_grad:  # of nothing that has a weight here
            total = total + picture.sum() * 0
        return {"total": total, **values}

    def _content_term(self, answers: Statistics) -> Tensor:
        return self._sum([(share, answers[CONTENT, name, 0][0]) for name, share in self._content_shares.items()])

    def _style_term(self, answers: Statistics) -> Tensor:
        return self._sum([(share, distance(answers[asked])) for share, asked, distance in self._style_terms])

    def _sum(self, parts: Sequence[tuple[float, Tensor]]) -> Tensor:
        """Of scalars with their weights: as few operations for many as for two."""
        if not parts:
            return torch.zeros((), device=self._source.device)
        if len(parts) == 1:
            return parts[0][1] * parts[0][0]
        key = tuple(weight for weight, _ in parts)
        if key not in self._factors:
            self._factors[key] = torch.tensor(key, device=self._source.device)
        return (torch.stack([part for _, part in parts]) * self._factors[key]).sum()

    def _temporal_term(self, picture: Tensor) -> Tensor:
        if self._start is None:
            return torch.zeros((), device=picture.device)
        start = self._start
        lock = None if start.still is None else _LOCK * start.still
        return terms.temporal(picture, start.picture, start.mask, light=start.light, lock=lock)
