"""Regions of a render: their masks checked, made to follow what moves, and given for each frame."""

import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vidnst.config import RenderConfig
from vidnst.errors import CancelledError, ConfigError, RunError, SourceError
from vidnst.events import Cancelled, OnEvent, Stage, ignore
from vidnst.frames import ClipInfo, Shot
from vidnst.rendering.styles.timeline import REST, TimedStyle
from vidnst.runs import RunLayout, RunStore

if TYPE_CHECKING:  # it brings OpenCV
    from vidnst.media.input.masks import Mask

_CACHE_BYTES = 256 << 20


def find_masks(
    config: RenderConfig, entries: Sequence[TimedStyle], clip: ClipInfo, *, start: int, end: int, size: tuple[int, int]
) -> "tuple[Mask, ...]":
    """The masks of a render, looked at but for their pictures.

    Raises:
        ConfigError: a mask cannot be used, a style is for a region that has none, no region has a style, or frames are
            registered.
    """
    from vidnst.media.input.masks import open_mask

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
    return tuple(open_mask(name, path, clip, start=start, end=end, size=size) for name, path in masks.items())


def absolute_masks(config: RenderConfig) -> dict[str, str]:
    """The masks' paths as they hold from any folder."""
    return {name: os.path.abspath(os.path.expanduser(path)) for name, path in config.regions.masks.items()}


def mask_marks(masks: "Sequence[Mask]") -> dict[str, str]:
    """What the masks hold, as fingerprints by region."""
    from vidnst.media.input.fingerprint import fingerprint

    return {mask.region: fingerprint(mask.clip.paths) for mask in masks}


@dataclass(frozen=True, slots=True)
class RegionSource:
    """What masks are of."""

    clip: ClipInfo
    shots: Sequence[Shot]
    size: tuple[int, int]
    """Width and height in pixels as rendered."""
    config: RenderConfig


def follow_masks(
    masks: "Sequence[Mask]",
    footage: RegionSource,
    store: RunStore,
    *,
    on_event: OnEvent = ignore,
    cancelled: Cancelled | None = None,
) -> None:
    """Find the masks of all frames from those of one picture, into the run folder, where they are to follow.

    What an earlier session has found stays: the same would be found again.

    Raises:
        CancelledError: `cancelled` said so.
        BadFrameError: a frame does not decode.
        OutputError: they cannot be written.
    """
    followed = followed_of(masks, footage.config)
    todo = [shot for shot in footage.shots if not are_found(followed, shot, store.folder)]
    if not followed or not todo:
        return
    total, done = sum(map(len, todo)), 0
    on_event(Stage("following", 0, total))
    for shot in todo:
        for index, maps in _carried(followed, footage, shot):
            if cancelled is not None and cancelled():
                raise CancelledError("stopped while masks followed what moves")
            for mask, found in zip(followed, maps, strict=True):
                store.write_mask(mask.region, index, _encoded(found))
            done += 1
            on_event(Stage("following", done, total))


def followed_of(masks: "Sequence[Mask]", config: RenderConfig) -> "list[Mask]":
    """Those of one picture, if they are to follow what moves."""
    return [mask for mask in masks if config.regions.follow and not mask.moves]


def are_found(masks: "Sequence[Mask]", shot: Shot, folder: Path) -> bool:
    """Whether a run folder has all masks of a shot."""
    frames = range(shot.start, shot.end)
    return all(RunLayout(folder).mask(mask.region, index).is_file() for mask in masks for index in frames)


def _carried(
    masks: "Sequence[Mask]", footage: RegionSource, shot: Shot
) -> Iterator[tuple[int, list[NDArray[np.uint8]]]]:
    """Each frame of a shot with its masks."""
    from vidnst.media.input.frame_reader import FrameReader
    from vidnst.media.input.masks import MaskReader
    from vidnst.motion.mask_tracking import Follower

    config, motion = footage.config, footage.config.motion
    maps = [MaskReader(mask, footage.size)(shot.start) for mask in masks]
    policy = config.input.on_bad_frame
    follower: Follower | None = None
    with FrameReader(footage.clip, start=shot.start, end=shot.end, size=footage.size, on_bad_frame=policy) as frames:
        for frame in frames:
            if follower is not None:
                maps = follower.step(frame.pixels)
            else:
                follower = Follower(
                    frame.pixels,
                    maps,
                    preset=motion.preset,
                    size=motion.size,
                    consistency=motion.consistency,
                    slack_px=motion.slack_px,
                )
            yield frame.index, maps


def _encoded(found: NDArray[np.uint8]) -> bytes:
    from vidnst.media.images import encode_png

    return encode_png(np.repeat(found[..., None], 3, axis=2))


class Guides:
    """The regions' shares of every frame.

    Args:
        masks: of the regions.
        footage: what they are of.
        folder: of the run, which has the masks that follow.
    """

    def __init__(self, masks: "Sequence[Mask]", footage: RegionSource, folder: Path) -> None:
        from vidnst.media.input.masks import MaskReader

        followed = {mask.region for mask in followed_of(masks, footage.config)}
        self._names = [mask.region for mask in masks]
        self._readers: dict[str, MaskReader] = {
            mask.region: MaskReader(mask, footage.size) for mask in masks if mask.region not in followed
        }
        self._folder = folder
        self._feather = footage.config.regions.feather
        width, height = footage.size
        self._kept = max(8, _CACHE_BYTES // (width * height * (len(masks) + 1)))
        self._size = (height, width)
        self._made: OrderedDict[int, Mapping[str, NDArray[np.uint8]]] = OrderedDict()

    def __call__(self, frame: int) -> Mapping[str, NDArray[np.uint8]]:
        """`(H, W)` uint8 for each region by its name, `rest` the last; they sum to 255 everywhere.

        Raises:
            RunError: a mask that was found is not there, or damaged.
            BadFrameError: a mask does not decode.
        """
        if frame not in self._made:
            self._made[frame] = self._make(frame)
            if len(self._made) > self._kept:
                self._made.popitem(last=False)
        self._made.move_to_end(frame)
        return self._made[frame]

    def _make(self, frame: int) -> Mapping[str, NDArray[np.uint8]]:
        from vidnst.media.input.masks import feather_mask, normalise_masks

        raw = [
            self._readers[name](frame) if name in self._readers else self._found(name, frame) for name in self._names
        ]
        shared, rest = normalise_masks([feather_mask(one, self._feather) for one in raw])
        return {**dict(zip(self._names, shared, strict=True)), REST: rest}

    def _found(self, name: str, frame: int) -> NDArray[np.uint8]:
        from vidnst.media.images import read_image
        from vidnst.media.input.masks import mask_from_pixels

        path = RunLayout(self._folder).mask(name, frame)
        try:
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
