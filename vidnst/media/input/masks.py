"""Region masks: read as grey images of the render's size, feathered, and normalised to sum to one."""

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
"""`(H, W)`: 255 is inside, 0 outside."""

_SHAPE_TOLERANCE = 0.01
"""Share by which the proportions of a mask may miss those of the frames."""
_COMPRESSION_LEVELS = 8
"""Levels by which video compression may miss black and white."""


@dataclass(frozen=True, slots=True)
class Mask:
    """The source of a region's mask."""

    region: str
    clip: ClipInfo
    first: int = 0
    """Index of the source frame that the mask's first frame is for."""

    @property
    def moves(self) -> bool:
        """True if there is a mask for each frame, and not one for all."""
        return self.clip.frame_count > 1


def open_mask(region: str, path: str, source: ClipInfo, *, start: int, end: int, size: tuple[int, int]) -> Mask:
    """Probe a mask and check that it fits the source.

    Args:
        region: name of the region, for messages.
        path: an image, a folder, a pattern or a video.
        source: the clip to be rendered.
        start, end: the range to be rendered.
        size: width and height in pixels of the rendered frames.

    Raises:
        ConfigError: the mask cannot be read, it has neither the source's proportions nor the render's, or its frame
            count is neither 1 nor that of the source or the range.
    """
    name = f"the mask {path} of region {region}"
    try:
        clip = probe(Path(path).expanduser(), transform="none")  # masks hold shares, not light
    except SourceError as error:
        raise ConfigError(f"{name} cannot be used: {error.what}", error.remedy) from error
    mask_size = (clip.width, clip.height)
    if not any(_is_of_shape(mask_size, other) for other in ((source.width, source.height), size)):
        raise ConfigError(
            f"{name} has {mask_size[0]}x{mask_size[1]} pixels, {source.source} {source.width}x{source.height}",
            f"make it as large as the source, or as the render ({size[0]}x{size[1]}), or give it that shape",
        )
    if clip.frame_count == 1 or clip.frame_count == source.frame_count:
        return Mask(region, clip)
    if clip.frame_count == end - start:
        return Mask(region, clip, first=start)
    raise ConfigError(
        f"{name} has {clip.frame_count} frames, {source.source} has {source.frame_count} and the range {end - start}",
        "give one image, or one for each frame",
    )


def _is_of_shape(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Return True if two sizes have the same proportions, as far as whole pixels can."""
    difference = abs(size[0] * other[1] - size[1] * other[0])
    half_a_pixel = max(other) / 2
    return difference <= max(half_a_pixel, _SHAPE_TOLERANCE * size[0] * other[1])


class MaskReader:
    """Reads a mask's frames at the render's size, in the order in which frames are rendered.

    Args:
        mask: the result of `open_mask`.
        size: width and height in pixels.
    """

    def __init__(self, mask: Mask, size: tuple[int, int]) -> None:
        self._mask = mask
        self._frames = FrameCache(mask.clip, [Shot(0, mask.clip.frame_count)], size=size, frames=32)

    def __call__(self, frame: int) -> MaskPixels:
        """Return the mask of a frame of the source; raises BadFrameError if it does not decode."""
        pixels = self._frames.get(0, frame - self._mask.first if self._mask.moves else 0)
        return mask_from_pixels(pixels, decoded=self._mask.clip.kind is SourceKind.VIDEO)

    def close(self) -> None:
        """Free the decoder."""
        self._frames.close()


def mask_from_pixels(pixels: Pixels, *, decoded: bool = False) -> MaskPixels:
    """Convert pixels to a mask: their brightness.

    Args:
        pixels: `(H, W, 3)` uint8 or uint16.
        decoded: True for a frame of a video, whose black and white are only approximate.
    """
    grey = np.asarray(cv2.cvtColor(to_bits(pixels, 8), cv2.COLOR_RGB2GRAY), np.uint8)
    if not decoded:
        return grey
    levels = (grey.astype(np.float32) - _COMPRESSION_LEVELS) * (255 / (255 - 2 * _COMPRESSION_LEVELS))
    return np.asarray(np.rint(np.clip(levels, 0, 255)), np.uint8)


def feather_mask(mask: MaskPixels, feather: float) -> MaskPixels:
    """Blur a mask's edge, half of it on either side; `feather` is its width as a share of the longest side."""
    radius = round(feather * max(mask.shape) / 2)
    if radius < 1:
        return mask
    # The kernel is cut at two standard deviations, so that the mask stays unchanged away from its edges.
    side = 2 * radius + 1
    blurred = cv2.GaussianBlur(mask, (side, side), max(0.5, radius / 2), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, np.uint8)


def normalise_masks(masks: Sequence[MaskPixels]) -> tuple[list[MaskPixels], MaskPixels]:
    """Scale overlapping masks so that they sum to at most 255, and return them with the rest to 255 everywhere.

    Args:
        masks: at least one, all of one shape.
    """
    total = np.sum([mask.astype(np.uint32) for mask in masks], axis=0)
    divisor = np.maximum(total, 255)
    scaled = [(mask.astype(np.uint32) * 255 // divisor).astype(np.uint8) for mask in masks]
    left = 255 - np.sum([mask.astype(np.uint32) for mask in scaled], axis=0)
    # Integer division leaves a level or two over, which must not go to the rest.
    remainder = (total >= 255) & (left > 0)
    for mask in scaled:
        gains = remainder & (mask == np.maximum.reduce(scaled)) & (left > 0)
        mask[gains] += left[gains].astype(np.uint8)
        left = np.where(gains, 0, left)
    return scaled, left.astype(np.uint8)
