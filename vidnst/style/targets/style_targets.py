"""Style targets: the textures of the style pictures, at the size that suits the content."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import torch

from vidnst.config import StylesConfig
from vidnst.frames import Pixels
from vidnst.lru_cache import LruCache
from vidnst.style.losses.feature_queries import FeatureExtractor, StatisticsRequest
from vidnst.style.memory.modes import NO_SAVINGS, MemoryMode
from vidnst.style.network.vgg import VGG19
from vidnst.style.targets.guide_maps import Guide
from vidnst.style.targets.style_variants import variants
from vidnst.style.tensors import from_pixels
from vidnst.style.textures.protocol import Distance, Scale, Texture, mix
from vidnst.style.textures.registry import STATISTICS

_CACHED_SIZES = 8
"""Content sizes whose targets are cached: a clip has one, times the scales of a cold start."""


@dataclass(frozen=True, slots=True)
class StyleTarget:
    """The target of one style picture."""

    share: float
    """Its share of the style loss; the shares of all style pictures sum to 1."""
    textures: dict[str, dict[str, Texture]]
    """By the names of the statistic and of the layer: `textures["gram"]["relu1_1"]`."""
    guide: Guide | None = None
    """The region that the target applies to; None is the whole picture."""
    _distances: dict[tuple[str, str, Scale], Distance] = field(default_factory=dict, repr=False, compare=False)
    """Made so far, shared with copies of other shares and guides."""

    def distance_to(self, kind: str, layer: str, scale: Scale) -> Distance:
        """The distance from the target's texture of a layer; what depends on the target alone is computed once."""
        key = (kind, layer, scale)
        if key not in self._distances:
            with torch.no_grad():
                self._distances[key] = STATISTICS[kind].distance_to(self.textures[kind][layer], scale=scale)
        return self._distances[key]


class StyleTargets:
    """Makes the targets of style pictures, once for each size of content.

    Args:
        styles: pictures `(H, W, 3)` uint8 or uint16 with their weights, above 0.
        network: extracts the features.
        layers: layers whose textures are wanted.
        kinds: names of the statistics that are wanted.
        config: sizes and rotations of the pictures.
        memory_mode: for the feature extraction.
    """

    def __init__(
        self,
        styles: Sequence[tuple[Pixels, float]],
        *,
        network: VGG19,
        layers: Collection[str],
        kinds: Collection[str] = ("gram",),
        config: StylesConfig | None = None,
        memory_mode: MemoryMode = NO_SAVINGS,
    ) -> None:
        if not styles:
            raise ValueError("at least one style picture is needed")
        total = sum(weight for _, weight in styles)
        self._styles = [(pixels, weight / total) for pixels, weight in styles]
        self._network = network
        self._extractor = FeatureExtractor(network, memory_mode)
        self._request = StatisticsRequest(kinds=tuple(kinds), layers=tuple(layers))
        self._config = StylesConfig() if config is None else config
        self._cache: LruCache[tuple[int, int], list[StyleTarget]] = LruCache(_CACHED_SIZES)

    def at(self, height: int, width: int) -> list[StyleTarget]:
        """Targets for content of `height` x `width` pixels.

        Each style picture is scaled, without cropping, to the area of the content (as in Ruder 2016): its strokes are
        then as large in the result as in a print of the painting of that area. If `styles` in the configuration asks
        for several sizes or rotations, their textures are averaged.
        """
        return self._cache.get(
            (height, width), lambda: [self._make(pixels, share, height * width) for pixels, share in self._styles]
        )

    def of_picture(self, pixels: Pixels, height: int, width: int) -> StyleTarget:
        """The target of another picture, for content of that size, with all of the style loss."""
        return self._make(pixels, 1.0, height * width)

    @torch.no_grad()
    def _make(self, pixels: Pixels, share: float, area: int) -> StyleTarget:
        textures: dict[tuple[str, str], list[Texture]] = {}
        for picture in variants(
            from_pixels(pixels), area, self._config, smallest_side_px=self._network.smallest_side_px
        ):
            statistics = self._extractor(picture.to(self._network.mean.device), self._request)
            for (kind, layer, _), texture in statistics.items():
                textures.setdefault((kind, layer), []).append(texture)
        averages: dict[str, dict[str, Texture]] = {kind: {} for kind in self._request.kinds}
        for (kind, layer), parts in textures.items():
            averages[kind][layer] = mix([(1 / len(parts), part) for part in parts])
        return StyleTarget(share, averages)
