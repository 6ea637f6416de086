"""Style targets of one frame, region by region, as its guidance asks for.

Guided Gram matrices (Gatys et al. 2017, "Controlling Perceptual Factors in Neural Style Transfer", section 4): each
region gets the texture of its own positions, by `Guide`. Deviation: a region's distance counts by the share of the
frame that it covers, so a pixel has the same weight in a small region as in a large one.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vidnst.lru_cache import LruCache
from vidnst.style.guidance import Guidance, RegionGuidance, StyleFrame, StyleMix
from vidnst.style.targets.guide_maps import Guide
from vidnst.style.targets.style_targets import StyleTarget, StyleTargets
from vidnst.style.textures.protocol import mix as mix_textures

_CACHED_TARGETS = 32
"""Targets of mixes and of style clips' frames that are cached, over all sizes."""


@dataclass(frozen=True, slots=True)
class FrameTarget:
    """The style targets of a frame at one size."""

    styles: list[StyleTarget]
    unstyled: Tensor | None = None
    """`(1, 1, H, W)` bool: where the content stays as it is; None for nowhere."""


class FrameTargets:
    """Makes the style targets of frames from their guidance.

    Args:
        targets: makes those of the style pictures.
        device: the device of the guides.
    """

    def __init__(self, targets: StyleTargets, device: torch.device) -> None:
        self._targets = targets
        self._device = device
        self._cache: LruCache[Hashable, StyleTarget] = LruCache(_CACHED_TARGETS)

    def at(self, guidance: Guidance | None, height: int, width: int) -> FrameTarget:
        """The targets for content of a size; without guidance, all styles apply everywhere by their weights."""
        if guidance is None:
            return FrameTarget(self._targets.at(height, width))
        frames = guidance.style_frames
        styles = [target for region in guidance.regions for target in self._of_region(region, frames, height, width)]
        return FrameTarget(styles, self.unstyled(guidance, height, width))

    def unstyled(self, guidance: Guidance | None, height: int, width: int) -> Tensor | None:
        """`(1, 1, H, W)` bool: where the content stays as it is; None for nowhere."""
        unstyled = None if guidance is None else guidance.unstyled
        return None if unstyled is None else _resized(unstyled, height, width).to(self._device) > 1 - 1 / 512

    def _of_region(
        self, region: RegionGuidance, frames: Mapping[int, StyleFrame], height: int, width: int
    ) -> list[StyleTarget]:
        if region.guide is None:
            return [replace(self._of_mix(mix, frames, height, width), share=mix.share) for mix in region.mixes]
        if not region.mixes or not region.guide.any():
            return []
        resized = _resized(region.guide, height, width)
        guide, covered = Guide(resized.to(self._device)), float(resized.mean())  # before it is on the device: no wait
        return [
            replace(self._of_mix(mix, frames, height, width), share=covered * mix.share, guide=guide)
            for mix in region.mixes
        ]

    def _of_mix(self, mix: StyleMix, frames: Mapping[int, StyleFrame], height: int, width: int) -> StyleTarget:
        if len(mix.styles) == 1:
            return self._of_style(mix.styles[0][0], frames, height, width)

        def interpolate() -> StyleTarget:
            parts = [(part, self._of_style(style, frames, height, width).textures) for style, part in mix.styles]
            textures = {
                kind: {
                    layer: mix_textures([(part, of_style[kind][layer]) for part, of_style in parts]) for layer in layers
                }
                for kind, layers in parts[0][1].items()
            }
            return StyleTarget(1.0, textures)

        shown = tuple((style, part, frames[style].index if style in frames else None) for style, part in mix.styles)
        return self._cache.get((height, width, shown), interpolate)

    def _of_style(self, style: int, frames: Mapping[int, StyleFrame], height: int, width: int) -> StyleTarget:
        if style not in frames:
            return self._targets.at(height, width)[style]
        frame = frames[style]
        return self._cache.get(
            (height, width, style, frame.index), lambda: self._targets.of_picture(frame.pixels, height, width)
        )


def _resized(guide: NDArray[np.uint8], height: int, width: int) -> Tensor:
    mask = torch.from_numpy(guide.astype(np.float32) / np.float32(255))[None, None]
    return mask if guide.shape == (height, width) else functional.interpolate(mask, (height, width), mode="area")
