"""Targets for the regions of one frame: what a direction means to the style loss.

Guided Gram matrices (Gatys et al. 2017, "Controlling Perceptual Factors in Neural Style Transfer", section 4): each
region has the texture of its own positions, by the guides of `guide`. Deviation: a region's distance counts by the
share of the frame that it covers, so a pixel is pulled as hard in a small region as in a large one.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vidnst.style.guidance import Guidance, RegionGuidance, StyleFrame, StyleMix
from vidnst.style.targets.guide_maps import Guide
from vidnst.style.targets.style_targets import StyleTarget, StyleTargets
from vidnst.style.textures.registry import mixed

_KEPT = 32
"""Targets between styles, and of styles' frames, that are remembered, over all sizes."""


@dataclass(frozen=True, slots=True)
class RegionTarget:
    """What a picture of one size is pulled toward."""

    styles: list[StyleTarget]
    bare: Tensor | None = None
    """`(1, 1, H, W)` bool: where the content stays as it is."""


class FrameTargets:
    """Makes aims from directions.

    Args:
        targets: of the styles' pictures.
        device: where the guides are to be.
    """

    def __init__(self, targets: StyleTargets, device: torch.device) -> None:
        self._targets = targets
        self._device = device
        self._made: OrderedDict[tuple[object, ...], StyleTarget] = OrderedDict()

    def at(self, direction: Guidance | None, height: int, width: int) -> RegionTarget:
        """The aim for content of a size; without a direction, all styles pull everywhere by their weights."""
        if direction is None:
            return RegionTarget(self._targets.at(height, width))
        styles = [target for area in direction.areas for target in self._of_area(area, direction.frames, height, width)]
        return RegionTarget(styles, self.bare(direction, height, width))

    def bare(self, direction: Guidance | None, height: int, width: int) -> Tensor | None:
        """`(1, 1, H, W)` bool: where the content stays as it is; None is nowhere."""
        bare = None if direction is None else direction.bare
        return None if bare is None else self._map(bare, height, width) > 1 - 1 / 512

    def _of_area(
        self, area: RegionGuidance, frames: Mapping[int, StyleFrame], height: int, width: int
    ) -> list[StyleTarget]:
        if area.guide is None:
            return [replace(self._of_pull(pull, frames, height, width), share=pull.share) for pull in area.pulls]
        if not area.pulls or not area.guide.any():
            return []
        whole = self._map(area.guide, height, width)
        guide, covered = Guide(whole), float(whole.mean())
        return [
            replace(self._of_pull(pull, frames, height, width), share=covered * pull.share, guide=guide)
            for pull in area.pulls
        ]

    def _of_pull(self, pull: StyleMix, frames: Mapping[int, StyleFrame], height: int, width: int) -> StyleTarget:
        if len(pull.blend) == 1:
            return self._of_style(pull.blend[0][0], frames, height, width)
        shown = tuple((style, part, frames[style].number if style in frames else None) for style, part in pull.blend)
        key = (height, width, shown)
        if key not in self._made:
            parts = [(part, self._of_style(style, frames, height, width).textures) for style, part in pull.blend]
            textures = {
                kind: {name: mixed([(part, found[kind][name]) for part, found in parts]) for name in layers}
                for kind, layers in parts[0][1].items()
            }
            self._keep(key, StyleTarget(1.0, textures))
        self._made.move_to_end(key)
        return self._made[key]

    def _of_style(self, style: int, frames: Mapping[int, StyleFrame], height: int, width: int) -> StyleTarget:
        if style not in frames:
            return self._targets.at(height, width)[style]
        key = (height, width, style, frames[style].number)
        if key not in self._made:
            self._keep(key, self._targets.of(frames[style].pixels, height, width))
        self._made.move_to_end(key)
        return self._made[key]

    def _keep(self, key: tuple[object, ...], target: StyleTarget) -> None:
        self._made[key] = target
        if len(self._made) > _KEPT:
            self._made.popitem(last=False)

    def _map(self, guide: NDArray[np.uint8], height: int, width: int) -> Tensor:
        whole = torch.from_numpy(guide.astype(np.float32) / np.float32(255))[None, None]
        return _smaller(whole, height, width).to(self._device)


def _smaller(guide: Tensor, height: int, width: int) -> Tensor:
    return guide if guide.shape[-2:] == (height, width) else functional.interpolate(guide, (height, width), mode="area")
