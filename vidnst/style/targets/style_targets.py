"""What a picture is pulled toward: the textures of style pictures, at the size that suits the content."""

from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch

from vidnst.config import StylesConfig
from vidnst.frames import Pixels
from vidnst.style.losses.feature_queries import FeatureExtractor, StatisticsRequest
from vidnst.style.memory.modes import MemoryMode
from vidnst.style.network.vgg import VGG19
from vidnst.style.targets.guide_maps import Guide
from vidnst.style.targets.style_variants import variants
from vidnst.style.tensors import from_pixels
from vidnst.style.textures.registry import Texture, mixed

_SIZES_KEPT = 8
"""Content sizes whose targets are kept: a clip has one, times the scales that a cold frame goes through."""


@dataclass(frozen=True, slots=True)
class StyleTarget:
    """What one style picture asks for."""

    share: float
    """Its part of the whole style loss; the parts of all style pictures sum to 1."""
    textures: dict[str, dict[str, Texture]]
    """Of each layer, by the name of the statistic: `textures["gram"]["relu1_1"]`."""
    guide: Guide | None = None
    """The region whose texture is to be so; None is the whole picture."""


class StyleTargets:
    """The targets of some style pictures, made once for each size of content.

    Args:
        styles: pictures `(H, W, 3)` uint8 or uint16 with their weights, above 0.
        network: looks at them.
        layers: whose textures are wanted.
        kinds: names of the statistics that are wanted.
        config: at which sizes and turns the pictures are looked at.
        memory_mode: how the network looks at them.
    """

    def __init__(
        self,
        styles: Sequence[tuple[Pixels, float]],
        *,
        network: VGG19,
        layers: Collection[str],
        kinds: Collection[str] = ("gram",),
        config: StylesConfig | None = None,
        memory_mode: MemoryMode | None = None,
    ) -> None:
        if not styles:
            raise ValueError("at least one style picture is needed")
        whole = sum(weight for _, weight in styles)
        self._styles = [(pixels, weight / whole) for pixels, weight in styles]
        self._network = network
        self._eye = FeatureExtractor(network, memory_mode)
        self._question = StatisticsRequest(kinds=tuple(kinds), layers=tuple(layers))
        self._config = StylesConfig() if config is None else config
        self._made: OrderedDict[tuple[int, int], list[StyleTarget]] = OrderedDict()

    def at(self, height: int, width: int) -> list[StyleTarget]:
        """Targets for content of `height` x `width` pixels.

        Each style picture is scaled, aspect kept and nothing cropped, to the area of the content (Ruder 2016 does the
        same): its strokes are then as large in the result as in a print of the painting of that area. Where `styles` in
        the configuration asks for other sizes, or for turned pictures, the textures of all of them are averaged.
        """
        key = (height, width)
        if key not in self._made:
            self._made[key] = [self._make(pixels, share, height * width) for pixels, share in self._styles]
            if len(self._made) > _SIZES_KEPT:
                self._made.popitem(last=False)
        self._made.move_to_end(key)
        return self._made[key]

    def of_picture(self, pixels: Pixels, height: int, width: int) -> StyleTarget:
        """The target of another picture, for content of that size, with all of the style loss."""
        return self._make(pixels, 1.0, height * width)

    @torch.no_grad()
    def _make(self, pixels: Pixels, share: float, area: int) -> StyleTarget:
        pictures = variants(from_pixels(pixels), area, self._config, smallest_side_px=self._network.smallest_side_px)
        found: dict[tuple[str, str], list[Texture]] = {}
        for picture in pictures:
            answers = self._eye(picture.to(self._network.mean.device), self._question)
            for (kind, name, _), texture in answers.items():
                found.setdefault((kind, name), []).append(texture)
        textures: dict[str, dict[str, Texture]] = {kind: {} for kind in self._question.kinds}
        for (kind, name), parts in found.items():
            textures[kind][name] = mixed([(1 / len(parts), part) for part in parts])
        return StyleTarget(share, textures)
