"""Masks of regions: read as grey maps of the render's size, feathered, and shared out so that they add up to one."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.errors import ConfigError, SourceError
from vidnst.frames import ClipInfo, Pixels, Shot, SourceKind, to_bits
from vidnst.media.input.frame_cache import FrameCache
from vidnst.media.input.probe import probe

MaskPixels: TypeAlias = NDArray[np.uint8]
"""`(H, W)`: 255 is wholly inside, 0 outside."""

_COMPRESSION_LEVELS = 8
"""By so much video compression may miss black and white."""


@dataclass(frozen=True, slots=True)
class Mask:
    """Where a region's mask comes from."""

    region: str
    clip: ClipInfo
    first: int = 0
    """The frame of the source that the mask's first picture is for."""

    @property
    def moves(self) -> bool:
        """Whether there is a picture for each frame."""
        return self.clip.frame_count > 1


def open_mask(region: str, path: str, source: ClipInfo, *, start: int, end: int, size: tuple[int, int]) -> Mask:
    """See that a mask can be used.

    Args:
        region: its name, for messages.
        path: a picture, a folder, a pattern or a video.
        source: the clip that is rendered.
        start, end: the range that is rendered.
        size: width and height in pixels as rendered.

    Raises:
        ConfigError: it cannot be read, has another size than the source and the render, or neither one picture nor as
            many as the source or the range has frames.
    """
    what = f"the mask {path} of region {region}"
    try:
        clip = probe(Path(path).expanduser())
    except SourceError as error:
        raise ConfigError(f"{what} cannot be used: {error.what}", error.remedy) from error
    found = (clip.width, clip.height)
    if found not in ((source.width, source.height), size):
        raise ConfigError(
            f"{what} has {found[0]}x{found[1]} pixels, {source.source} {source.width}x{source.height}",
            f"make it as large as the source, or as the render ({size[0]}x{size[1]})",
        )
    if clip.frame_count == 1 or clip.frame_count == source.frame_count:
        return Mask(region, clip)
    if clip.frame_count == end - start:
        return Mask(region, clip, first=start)
    raise ConfigError(
        f"{what} has {clip.frame_count} frames, {source.source} has {source.frame_count} and the range {end - start}",
        "give one picture, or one for each frame",
    )


class MaskReader:
    """Reads a mask's pictures at the render's size, in the order in which frames are rendered.

    Args:
        mask: what `open_mask` gave.
        size: width and height in pixels.
    """

    def __init__(self, mask: Mask, size: tuple[int, int]) -> None:
        self._mask = mask
        self._frames = FrameCache(mask.clip, [Shot(0, mask.clip.frame_count)], size=size, frames=32)

    def __call__(self, frame: int) -> MaskPixels:
        """The mask of a frame of the source; of a mask of one picture, that one.

        Raises:
            BadFrameError: it does not decode.
        """
        pixels = self._frames.get(0, frame - self._mask.first if self._mask.moves else 0)
        return mask_from_pixels(pixels, decoded=self._mask.clip.kind is SourceKind.VIDEO)

    def close(self) -> None:
        """Free the decoder."""
        self._frames.close()


def mask_from_pixels(pixels: Pixels, *, decoded: bool = False) -> MaskPixels:
    """How much each pixel of a mask's picture lies inside: its brightness.

    Args:
        pixels: `(H, W, 3)` uint8 or uint16.
        decoded: whether it comes from a video, the black and white of which are not quite so.
    """
    grey = np.asarray(cv2.cvtColor(to_bits(pixels, 8), cv2.COLOR_RGB2GRAY), np.uint8)
    if not decoded:
        return grey
    levels = (grey.astype(np.float32) - _COMPRESSION_LEVELS) * (255 / (255 - 2 * _COMPRESSION_LEVELS))
    return np.asarray(np.rint(np.clip(levels, 0, 255)), np.uint8)


def feather_mask(mask: MaskPixels, feather: float) -> MaskPixels:
    """A mask with a soft edge, half of it on either side.

    Args:
        mask: any.
        feather: width of the transition from 0 to 255, as a share of the longest side.
    """
    reach = round(feather * max(mask.shape) / 2)
    if reach < 1:
        return mask
    # Four standard deviations from end to end, and nothing beyond: far from an edge a mask stays what it was.
    side = 2 * reach + 1
    soft = cv2.GaussianBlur(mask, (side, side), max(0.5, reach / 2), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(soft, np.uint8)


def normalise_masks(masks: Sequence[MaskPixels]) -> tuple[list[MaskPixels], MaskPixels]:
    """Masks that together cover no pixel more than once, and what they leave.

    Where they overlap to more than 255, each is divided by their sum.

    Args:
        masks: at least one, all of one shape.

    Returns:
        The masks, and the rest: with it they sum to 255 everywhere.
    """
    total = np.sum([mask.astype(np.uint32) for mask in masks], axis=0)
    over = np.maximum(total, 255)
    shared = [(mask.astype(np.uint32) * 255 // over).astype(np.uint8) for mask in masks]
    left = 255 - np.sum([mask.astype(np.uint32) for mask in shared], axis=0)
    # Whole parts of a division leave a level or two over, which belong to nobody else.
    crumbs = (total >= 255) & (left > 0)
    for mask in shared:
        give = crumbs & (mask == np.maximum.reduce(shared)) & (left > 0)
        mask[give] += left[give].astype(np.uint8)
        left = np.where(give, 0, left)
    return shared, left.astype(np.uint8)
