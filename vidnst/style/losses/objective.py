"""The objective: the weighted sum of the losses of a picture against its content, styles and warm start."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby

import torch
from torch import Tensor
from torch.nn import functional

from vidnst.config import LossConfig
from vidnst.style.losses import terms
from vidnst.style.losses.feature_queries import CONTENT, ContentTarget, FeatureExtractor, Statistics, StatisticsRequest
from vidnst.style.losses.laplacian import LaplacianLoss
from vidnst.style.memory.modes import NO_SAVINGS, MemoryMode
from vidnst.style.network.vgg import VGG19
from vidnst.style.targets.style_targets import StyleTarget
from vidnst.style.tensors import resize

TERMS = ("total", "content", "style", "tv", "temporal", "edges")
"""Names of an evaluation's results: the weighted sum, then each term without its weight. Edges without a weight are not
computed, and 0."""

_STATIC_LOCK = 30.0
"""Additional weight of static pixels in the temporal term."""
_RELIT_STEP_SHARE = 0.25
"""Share of the usual step for static pixels under changing light, which must be free to change their brightness."""


@dataclass(frozen=True, slots=True)
class WarmStart:
    """The start of a warm frame, which the temporal term pulls it toward. Tensors are on one device."""

    picture: Tensor
    """`(1, 3, H, W)` in [0, 1]."""
    mask: Tensor
    """`(1, 1, H, W)` in [0, 1], 1 where the picture is valid."""
    light: Tensor | None = None
    """`(1, 1, H, W)`, see `terms.temporal`."""
    still: Tensor | None = None
    """`(1, 1, H, W)` in [0, 1], 1 where the source is static."""
    before: Tensor | None = None
    """`(1, 3, H, W)`: the source frame that the picture comes from, if the picture must be relit; None if it already
    has the light of its own frame."""
    hold: float = 1.0
    """Factor on the weight of the temporal term."""
    rate: float = 0.4
    """Share of full steps for valid pixels."""
    renew_at: float | None = None
    """Staleness from which a place is freed of the picture; None holds it however stale it is."""
    fixed: Tensor | None = None
    """`(1, 1, H, W)` in [0, 1]: the share of a step that pixels do not take at all; None for none."""

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors of the start."""
        maps = (self.picture, self.mask, self.light, self.still, self.before, self.fixed)
        return tuple(map_ for map_ in maps if map_ is not None)

    def released(self, freed: Tensor) -> "WarmStart":
        """The start without its hold where `freed`, `(1, 1, H, W)` in [0, 1], is 1."""
        still = None if self.still is None else self.still * (1 - freed)
        return replace(self, mask=self.mask * (1 - freed), still=still, renew_at=None)

    def step_share(self) -> Tensor:
        """Share of a full step for each pixel, `(1, 1, H, W)`.

        Valid pixels are only touched up, static ones are left alone, and disoccluded ones need full steps.
        """
        share = self.rate * self.mask + (1 - self.mask)
        if self.still is not None:
            share = share * (1 - self.still * (1.0 if self.light is None else 1 - _RELIT_STEP_SHARE))
        return share if self.fixed is None else share * (1 - self.fixed)

    def resize(self, height: int, width: int) -> "WarmStart":
        """The start at another size."""
        if self.picture.shape[-2:] == (height, width):
            return self
        mask, light, still, fixed = (
            None if map_ is None else functional.interpolate(map_, (height, width), mode="area")
            for map_ in (self.mask, self.light, self.still, self.fixed)
        )
        assert mask is not None
        before = None if self.before is None else resize(self.before, height, width)
        picture = resize(self.picture, height, width)
        return replace(self, picture=picture, mask=mask, light=light, still=still, before=before, fixed=fixed)

    def to(self, device: torch.device) -> "WarmStart":
        """The start on another device, detached from any graph."""
        light, still, before, fixed = (
            None if map_ is None else map_.detach().to(device)
            for map_ in (self.light, self.still, self.before, self.fixed)
        )
        picture, mask = self.picture.detach().to(device), self.mask.detach().to(device)
        return replace(self, picture=picture, mask=mask, light=light, still=still, before=before, fixed=fixed)


class Objective:
    """Maps a picture to its losses, for one content at one size.

    Args:
        content: `(1, 3, H, W)` in [0, 1].
        styles: targets for this size.
        start: the target of the temporal term; None for a cold frame.
        unstyled: `(1, 1, H, W)` bool, where the content stays as it is, whatever the picture is; None for nowhere.
        memory_mode: for the feature extraction.
        seed: for the random shifts of tiles from one evaluation to the next.
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
        memory_mode: MemoryMode = NO_SAVINGS,
        seed: int = 0,
    ) -> None:
        self._content, self._unstyled, self._start = content, unstyled, start
        self._extractor = FeatureExtractor(network, memory_mode)
        self._seed, self._evaluations = seed, 0
        regions = [(guide, list(group)) for guide, group in groupby(styles, key=lambda style: style.guide)]
        self._content_shares = terms.shares(config.content_layers)
        kinds, layers = terms.shares(config.style_kinds), terms.shares(config.style_layers)
        self._edges: LaplacianLoss | None = None
        if config.edges_weight:
            self._edges = LaplacianLoss(content, terms.shares(config.edges_cells), scale=config.scale)
        maps = self._extractor.maps(content, tuple(self._content_shares))
        self._request = StatisticsRequest(
            kinds=tuple(kinds),
            layers=tuple(layers),
            guides=[guide for guide, _ in regions],
            content={layer: ContentTarget(of_layer, config.scale) for layer, of_layer in maps.items()},
        )
        self._all_weights = {name: getattr(config, f"{name}_weight") for name in TERMS[1:]}
        self._style_distances = [
            (
                style.share * kind_share * layer_share,
                (kind, layer, region),
                style.distance_to(kind, layer, config.scale),
            )
            for kind, kind_share in kinds.items()
            for layer, layer_share in layers.items()
            for region, (_, styles_of_region) in enumerate(regions)
            for style in styles_of_region
        ]

    def __call__(self, picture: Tensor) -> dict[str, Tensor]:
        """The losses of a picture `(1, 3, H, W)`, scalars on its device by the names of `TERMS`."""
        if self._unstyled is not None:  # so that no gradient, and no step, reaches these pixels
            picture = torch.where(self._unstyled, self._content, picture)
        statistics = self._extractor(picture, self._request, tile_seed=(self._seed, self._evaluations))
        self._evaluations += 1
        values = {
            "content": self._content_term(statistics),
            "style": self._style_term(statistics),
            "tv": terms.total_variation(picture),
            "temporal": self._temporal_term(picture),
            "edges": self._zero() if self._edges is None else self._edges(picture),
        }
        total = self._sum([(weight, values[name]) for name, weight in self._weights.items()])
        if torch.is_grad_enabled() and not total.requires_grad:  # no term with a weight depends on the picture
            total = total + picture.sum() * 0
        return {"total": total, **values}

    def with_start(self, start: WarmStart | None) -> "Objective":
        """The same objective with another start, without computing the content's maps again."""
        other = copy(self)
        other._start = start
        return other

    @property
    def _weights(self) -> dict[str, float]:
        """The weight of each term; one without is reported, but left out of the sum, so that it has no gradient."""
        hold = 1.0 if self._start is None else self._start.hold
        weights = self._all_weights | {"temporal": self._all_weights["temporal"] * hold}
        return {name: weight for name, weight in weights.items() if weight}

    def _content_term(self, statistics: Statistics) -> Tensor:
        return self._sum([(share, statistics[CONTENT, layer, 0][0]) for layer, share in self._content_shares.items()])

    def _style_term(self, statistics: Statistics) -> Tensor:
        return self._sum([(share, distance(statistics[key])) for share, key, distance in self._style_distances])

    def _sum(self, parts: Sequence[tuple[float, Tensor]]) -> Tensor:
        """The weighted sum of scalars, in as few operations for many as for two."""
        if not parts:
            return self._zero()
        if len(parts) == 1:
            return parts[0][1] * parts[0][0]
        weights = _on_device(tuple(weight for weight, _ in parts), self._content.device)
        return (torch.stack([part for _, part in parts]) * weights).sum()

    def _temporal_term(self, picture: Tensor) -> Tensor:
        if self._start is None:
            return self._zero()
        start = self._start
        lock = None if start.still is None else _STATIC_LOCK * start.still
        return terms.temporal(picture, start.picture, start.mask, light=start.light, lock=lock)

    def _zero(self) -> Tensor:
        return torch.zeros((), device=self._content.device)


@lru_cache(maxsize=256)
def _on_device(weights: tuple[float, ...], device: torch.device) -> Tensor:
    """Weights as a tensor, copied once for all frames, since each copy to a GPU waits for it."""
    with torch.inference_mode(False):  # such a tensor would be of no use to later frames
        return torch.tensor(weights, device=device)
