"""Which style pulls where in one frame: what a stylizing job carries beside its pixels.

Standard library and numpy only. A render whose styles hold everywhere and always needs none of this.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vidnst.frames import Pixels, State, to_16_bits


@dataclass(frozen=True, slots=True)
class StyleMix:
    """One target of a region's style loss: the texture of a style, or one between several."""

    share: float
    """Of the region's style loss; those of a region sum to 1."""
    blend: tuple[tuple[int, float], ...]
    """Numbers of styles, each with its part of the texture; the parts sum to 1."""


@dataclass(frozen=True, slots=True)
class RegionGuidance:
    """A region of a frame."""

    pulls: tuple[StyleMix, ...]
    """Empty where there is to be no style: the source shows there."""
    guide: NDArray[np.uint8] | None = None
    """`(H, W)`, how much of each pixel belongs to the region: 255 all of it; None is all of every pixel. The guides of
    a frame sum to 255 everywhere."""


@dataclass(frozen=True, slots=True)
class StyleFrame:
    """What a style that moves shows at a frame."""

    number: int
    """In its own clip, from 0: the same number is the same picture."""
    pixels: Pixels


@dataclass(frozen=True, slots=True)
class Guidance:
    """All regions of one frame."""

    areas: tuple[RegionGuidance, ...]
    frames: Mapping[int, StyleFrame] = field(default_factory=dict)
    """For each style that moves, by its number, what takes the place of its picture."""

    @property
    def bare(self) -> NDArray[np.uint8] | None:
        """`(H, W)`, how much of each pixel is to show the source: 255 nothing else; None where there is no such."""
        guides = [area.guide for area in self.areas if not area.pulls and area.guide is not None]
        found = np.asarray(sum(guide.astype(np.uint16) for guide in guides), np.uint16) if guides else None
        return None if found is None or not found.any() else np.minimum(found, 255).astype(np.uint8)


def over_source(state: State, source: Pixels, bare: NDArray[np.uint8]) -> State:
    """A painted frame under its source, where that is to show.

    Args:
        state: `(H, W, 3)` uint16.
        source: the same shape, uint8 or uint16.
        bare: `(H, W)`: 255 shows the very source, 0 the state.
    """
    share = bare[..., None].astype(np.uint32)
    mixed = state.astype(np.uint32) * (255 - share) + to_16_bits(source).astype(np.uint32) * share
    return ((mixed + 127) // 255).astype(np.uint16)
