"""The guidance of one frame: the styles of each of its regions, with their weights.

A stylizing job carries it along with its pixels. Standard library and numpy only. A render whose styles apply
everywhere and all the time needs none.

Where no style applies, the state is the source; the soft edge is made only in the frame that is shown, never in what
warm starts read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vidnst.frames import Pixels, State, to_16_bits


@dataclass(frozen=True, slots=True)
class StyleMix:
    """One target of a region's style loss: the texture of one style, or an interpolation between several."""

    share: float
    """Share of the region's style loss; the shares of a region sum to 1."""
    styles: tuple[tuple[int, float], ...]
    """Style numbers, each with its part of the texture; the parts sum to 1."""


@dataclass(frozen=True, slots=True)
class RegionGuidance:
    """The styles of one region of a frame."""

    mixes: tuple[StyleMix, ...]
    """Empty for a region without style, which shows the source."""
    guide: NDArray[np.uint8] | None = None
    """`(H, W)`, how much of each pixel belongs to the region, 255 for all of it; None for the whole frame. The guides
    of a frame sum to 255 everywhere."""


@dataclass(frozen=True, slots=True)
class StyleFrame:
    """The frame of a style clip that replaces the style's picture."""

    index: int
    """Position in the style clip, from 0: the same index is the same picture."""
    pixels: Pixels


@dataclass(frozen=True, slots=True)
class Guidance:
    """The regions of one frame."""

    regions: tuple[RegionGuidance, ...]
    style_frames: Mapping[int, StyleFrame] = field(default_factory=dict)
    """The frame that each style clip shows now, by the number of the style."""

    @property
    def unstyled(self) -> NDArray[np.uint8] | None:
        """`(H, W)`, how much of each pixel shows the source, 255 for nothing else; None if no pixel does."""
        guides = [region.guide for region in self.regions if not region.mixes and region.guide is not None]
        total = np.asarray(sum(guide.astype(np.uint16) for guide in guides), np.uint16) if guides else None
        return None if total is None or not total.any() else np.minimum(total, 255).astype(np.uint8)


def style_shares(mixes: Sequence[StyleMix]) -> dict[int, float]:
    """Return the share of each style in mixes, by its number; the shares sum to 1."""
    shares: dict[int, float] = {}
    for mix in mixes:
        for style, part in mix.styles:
            shares[style] = shares.get(style, 0.0) + mix.share * part
    return shares


def blend_unstyled(state: State, source: Pixels, guidance: Guidance) -> State | None:
    """Blend the source into a frame at the soft edges of regions without style; None if there are none.

    Warm starts read the unblended state: blended again in pass after pass, the edge would become all source.
    """
    unstyled = guidance.unstyled
    if unstyled is None or not ((unstyled > 0) & (unstyled < 255)).any():
        return None
    return blend_with_source(state, source, unstyled)


def blend_with_source(state: State, source: Pixels, unstyled: NDArray[np.uint8]) -> State:
    """Blend a stylized frame with its source.

    Args:
        state: `(H, W, 3)` uint16.
        source: the same shape, uint8 or uint16.
        unstyled: `(H, W)`: 255 shows the source alone, 0 the state alone.
    """
    share = unstyled[..., None].astype(np.uint32)
    mixed = state.astype(np.uint32) * (255 - share) + to_16_bits(source).astype(np.uint32) * share
    return ((mixed + 127) // 255).astype(np.uint16)
