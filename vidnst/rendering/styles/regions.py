"""Regions of a render: checks their masks, tracks them through the clip, and gives them for each frame."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidnst.config import RenderConfig
from vidnst.errors import CancelledError, ConfigError, RunError, SourceError
from vidnst.events import Cancelled, OnEvent, Stage, Warned, ignore
from vidnst.frames import ClipInfo, Shot
from vidnst.lru_cache import LruCache
from vidnst.media.images import encode_png, read_image
from vidnst.media.input.fingerprint import fingerprint
from vidnst.media.input.frame_reader import FrameReader
from vidnst.media.input.masks import Mask, MaskReader, feather_mask, mask_from_pixels, normalise_masks, open_mask
from vidnst.motion.mask_tracking import MaskTracker
from vidnst.rendering.styles.timeline import REST, TimedStyle
from vidnst.runs import RunLayout, RunStore
from vidnst.runs.safe_files import is_file

_CACHE_BYTES = 256 << 20


def find_masks(
    config: RenderConfig,
    entries: Sequence[TimedStyle],
    clip: ClipInfo,
    *,
    start: int,
    end: int,
    size: tuple[int, int],
    on_event: OnEvent = ignore,
) -> tuple[Mask, ...]:
    """Check the masks of a render and return them; their pictures are not read yet. Masks that are scaled are named.

    Raises:
        ConfigError: a mask cannot be used, a style is for a region that has none, no region has a style, or frames are
            registered.
    """
    masks = config.regions.masks
    for entry in entries:
        if entry.region != REST and entry.region not in masks:
            there = f"; there are {', '.join([*masks, REST])}" if masks else ""
            raise ConfigError(
                f"style {entry.name} is for region {entry.region}, which has no mask{there}",
                f"add --region {entry.region}=MASK",
            )
    if not masks:
        return ()
    if config.input.registration != "none":
        raise ConfigError(
            f"regions and input.registration {config.input.registration} do not go together: a mask would not move"
            " with the registered frames",
            "register the frames in a render of their own, or leave out the regions",
        )
    found = tuple(open_mask(name, path, clip, start=start, end=end, size=size) for name, path in masks.items())
    for mask in found:
        given = (mask.clip.width, mask.clip.height)
        if given not in ((clip.width, clip.height), size):
            where = f"the mask {mask.clip.source} of region {mask.region}"
            on_event(Warned("{} has {}x{} pixels and is scaled to {}x{}".format(where, *given, *size)))
    return found


def absolute_masks(config: RenderConfig) -> dict[str, str]:
    """Return the masks' absolute paths."""
    return {name: os.path.abspath(os.path.expanduser(path)) for name, path in config.regions.masks.items()}


def mask_marks(masks: Sequence[Mask]) -> dict[str, str]:
    """Return a fingerprint of each region's mask."""
    return {mask.region: fingerprint(mask.clip.paths) for mask in masks}


@dataclass(frozen=True, slots=True)
class RegionSource:
    """The source to which masks belong."""

    clip: ClipInfo
    shots: Sequence[Shot]
    size: tuple[int, int]
    """Width and height in pixels, as rendered."""
    config: RenderConfig


def follow_masks(
    masks: Sequence[Mask],
    source: RegionSource,
    store: RunStore,
    *,
    on_event: OnEvent = ignore,
    cancelled: Cancelled | None = None,
) -> None:
    """Track masks that are one picture through every shot, into the run folder, if the settings ask for it.

    Masks that an earlier session tracked are kept: tracking them again would give the same.

    Raises:
        CancelledError: `cancelled` said so.
        BadFrameError: a frame does not decode.
        OutputError: they cannot be written.
    """
    tracked = tracked_masks(masks, source.config)
    todo = [shot for shot in source.shots if not are_tracked(tracked, shot, store.folder)]
    if not tracked or not todo:
        return
    total, done = sum(map(len, todo)), 0
    on_event(Stage("following", 0, total))
    for shot in todo:
        for index, maps in _carried(tracked, source, shot):
            if cancelled is not None and cancelled():
                raise CancelledError("stopped while masks tracked what moves")
            for mask, found in zip(tracked, maps, strict=True):
                store.write_mask(mask.region, index, _encoded(found))
            done += 1
            on_event(Stage("following", done, total))


def tracked_masks(masks: Sequence[Mask], config: RenderConfig) -> list[Mask]:
    """Return the masks that are one picture, if the settings ask for tracking."""
    return [mask for mask in masks if config.regions.follow and not mask.moves]


def are_tracked(masks: Sequence[Mask], shot: Shot, folder: Path) -> bool:
    """Return True if the run folder has the masks of all frames of a shot."""
    frames = shot.indices
    return all(is_file(RunLayout(folder).mask(mask.region, index)) for mask in masks for index in frames)


def _carried(masks: Sequence[Mask], source: RegionSource, shot: Shot) -> Iterator[tuple[int, list[NDArray[np.uint8]]]]:
    """Yield each frame of a shot with its masks."""
    config = source.config
    maps = [MaskReader(mask, source.size)(shot.start) for mask in masks]
    policy = config.input.on_bad_frame
    tracker: MaskTracker | None = None
    with FrameReader(source.clip, start=shot.start, end=shot.end, size=source.size, on_bad_frame=policy) as frames:
        for frame in frames:
            if tracker is not None:
                maps = tracker.step(frame.pixels)
            else:
                tracker = MaskTracker(frame.pixels, maps, config.motion)
            yield frame.index, maps


def _encoded(found: NDArray[np.uint8]) -> bytes:
    return encode_png(np.repeat(found[..., None], 3, axis=2))


class Guides:
    """Gives the regions' shares of every frame.

    Args:
        masks: the regions' masks.
        source: what they belong to.
        folder: the run folder, which holds the tracked masks.
    """

    def __init__(self, masks: Sequence[Mask], source: RegionSource, folder: Path) -> None:
        tracked = {mask.region for mask in tracked_masks(masks, source.config)}
        self._names = [mask.region for mask in masks]
        self._readers: dict[str, MaskReader] = {
            mask.region: MaskReader(mask, source.size) for mask in masks if mask.region not in tracked
        }
        self._folder = folder
        self._feather = source.config.regions.feather
        width, height = source.size
        self._size = (height, width)
        capacity = max(8, _CACHE_BYTES // (width * height * (len(masks) + 1)))
        self._cache = LruCache[int, Mapping[str, NDArray[np.uint8]]](capacity)

    def __call__(self, frame: int) -> Mapping[str, NDArray[np.uint8]]:
        """Return `(H, W)` uint8 shares for each region by its name, `rest` last; they sum to 255 everywhere.

        Raises:
            RunError: a tracked mask is missing or damaged.
            BadFrameError: a mask does not decode.
        """
        return self._cache.get(frame, lambda: self._make(frame))

    def _make(self, frame: int) -> Mapping[str, NDArray[np.uint8]]:
        raw = [
            self._readers[name](frame) if name in self._readers else self._tracked_mask(name, frame)
            for name in self._names
        ]
        shared, rest = normalise_masks([feather_mask(one, self._feather) for one in raw])
        return {**dict(zip(self._names, shared, strict=True)), REST: rest}

    def _tracked_mask(self, name: str, frame: int) -> NDArray[np.uint8]:
        path = RunLayout(self._folder).mask(name, frame)
        try:
            if not is_file(path):
                raise SourceError("it is missing, or no file of its own")
            found = mask_from_pixels(read_image(path))
        except SourceError as error:
            raise RunError(
                f"the mask {path} cannot be read: {error.what}", "delete it and give the same command"
            ) from error
        if found.shape != self._size:
            raise RunError(f"the mask {path} has {found.shape[1]}x{found.shape[0]} pixels", "delete it and go on")
        return found

    def close(self) -> None:
        """Free the decoders."""
        for reader in self._readers.values():
            reader.close()
