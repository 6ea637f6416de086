"""Checks, before any frame is painted, that all frames of a source decode, or what replaces those that do not."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from vidnst.config import InputConfig
from vidnst.errors import BadFrameError, SourceError
from vidnst.events import OnEvent, Stage, Warned, ignore
from vidnst.frames import ClipInfo, SourceKind
from vidnst.media import images
from vidnst.media.input.animation import AnimationReader
from vidnst.media.input.image_header import read_image_header
from vidnst.media.input.masks import Mask
from vidnst.processes.parallel import ordered_results, thread_count
from vidnst.runs.redo import format_frame_list

_PIXEL_BYTES = 16
"""Memory per pixel of an image that is decoded."""
_MEMORY_BYTES = 1 << 29
"""Most memory of all images that are decoded in parallel."""
_SHOWN_CHARACTERS = 60
"""Of a list of frames."""


def with_bad_pictures(clip: ClipInfo, start: int, end: int, on_event: OnEvent = ignore) -> ClipInfo:
    """Decode the pictures or pages of a range, of which probing reads the headers; return the clip with damaged ones.

    Videos and animations, which are decoded when they are probed, are returned as they are.

    Args:
        start, end: the range, `start <= index < end`.
        on_event: hears of the progress.
    """
    if clip.kind is SourceKind.ANIMATION and clip.video_codec == "tiff":
        return replace(clip, bad_frames=tuple(_bad_pages(clip, start, end, on_event)))
    if clip.kind is not SourceKind.PICTURES:
        return clip
    tasks = (partial(_decodes, clip, clip.paths[index]) for index in range(start, end))
    threads = thread_count(clip.width * clip.height * _PIXEL_BYTES, _MEMORY_BYTES)
    bad = []
    with ThreadPoolExecutor(threads) as pool, closing(ordered_results(tasks, pool, ahead=threads)) as results:
        for index, decodes in enumerate(results, start):
            if not decodes:
                bad.append(index)
            on_event(Stage("probing", index - start + 1, end - start))
    return replace(clip, bad_frames=tuple(bad))


def _bad_pages(clip: ClipInfo, start: int, end: int, on_event: OnEvent) -> Iterator[int]:
    with AnimationReader(clip.paths[0], read_image_header(clip.paths[0])) as reader:
        for index in range(start, end):
            try:
                reader.read(index)
            except SourceError:
                yield index
            on_event(Stage("probing", index - start + 1, end - start))


def _decodes(clip: ClipInfo, path: Path) -> bool:
    try:
        return images.read_image(path).shape[:2] == (clip.height, clip.width)
    except SourceError:
        return False


def check_frames_decode(
    clip: ClipInfo, start: int, end: int, settings: InputConfig, on_event: OnEvent = ignore
) -> None:
    """Make sure that every frame of the range decodes or has a frame before it that is repeated, and say which are.

    Raises:
        BadFrameError: a frame does not decode, and is not to be repeated, or no frame before it decodes.
    """
    bad = _within(clip.bad_frames, start, end)
    if not bad:
        return
    frames = f"{len(bad)} of {end - start} frames {'does' if len(bad) == 1 else 'do'} not decode"
    what = f"{frames} ({_shortened(bad)} of {clip.source})"
    if settings.on_bad_frame == "error":
        raise BadFrameError(
            what,
            "repeat the frame before each of them with --on-bad-frame repeat (input.on_bad_frame), leave them out with"
            " --start or --end, or repair the source",
        )
    if set(range(bad[0] + 1)) <= set(clip.bad_frames):
        good = next((index for index in range(bad[0], end) if index not in set(clip.bad_frames)), None)
        remedy = "repair the source" if good is None else f"begin with the first frame that decodes: --start {good}"
        raise BadFrameError(f"{what}, and no frame before frame {bad[0]} can be repeated", remedy)
    on_event(Warned(f"{what}; each shows the frame before it"))


def check_masks_decode(masks: Sequence[Mask], start: int, end: int) -> None:
    """Make sure that the frames of masks that a range needs decode.

    Raises:
        BadFrameError: one does not.
    """
    for mask in masks:
        first, stop = (start - mask.first, end - mask.first) if mask.moves else (0, 1)
        if bad := _within(with_bad_pictures(mask.clip, first, stop).bad_frames, first, stop):
            raise BadFrameError(
                f"the mask {mask.clip.source} of region {mask.region} does not decode at frame {bad[0]}", "repair it"
            )


def _within(frames: Sequence[int], start: int, end: int) -> list[int]:
    return [frame for frame in frames if start <= frame < end]


def _shortened(frames: Sequence[int]) -> str:
    text = format_frame_list(frames)
    listed = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS].rpartition(',')[0]}, ..."
    return f"frame {listed}" if len(frames) == 1 else f"frames {listed}"
