"""Builds the guidance of each frame from the timeline of styles, the regions' masks and the clips used as styles."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidnst.errors import RunError
from vidnst.events import Cancelled, OnEvent, ignore
from vidnst.frames import ClipInfo, Pixels, Shot
from vidnst.media.input.frame_cache import FrameCache
from vidnst.rendering.effects_pass import recolouring
from vidnst.rendering.prepare import CheckedRequest
from vidnst.rendering.prepared_render import PreparedRender
from vidnst.rendering.source_frames import SourceFrames
from vidnst.rendering.styles.regions import Guides, RegionSource, are_tracked, find_masks, follow_masks, tracked_masks
from vidnst.rendering.styles.style_spec import StylePicture, clip_seconds, needs_guidance, timeline_of
from vidnst.rendering.styles.timeline import REST, TimedStyle, check_shots, style_mixes
from vidnst.runs import RunStore
from vidnst.style.guidance import Guidance, RegionGuidance, StyleFrame, style_shares

Recolour = Callable[[Pixels], Pixels]


class GuidanceBuilder:
    """Makes the guidance of each frame.

    Args:
        styles: the style pictures and clips.
        timeline: when and where they hold, in the same order.
        clip: the source.
        guides: gives the regions' shares of a frame; None if there are no masks.
        recolour: changes the colours of style clips' frames; None leaves them as they are.
    """

    def __init__(
        self,
        styles: Sequence[StylePicture],
        timeline: Sequence[TimedStyle],
        clip: ClipInfo,
        guides: Guides | None = None,
        *,
        recolour: Recolour | None = None,
    ) -> None:
        self._timeline = timeline
        self._seconds = clip_seconds(clip)
        self._guides = guides
        self._recolour = recolour
        self._clips = {
            number: (
                FrameCache(style.clip, [Shot(0, style.clip.frame_count)], size=None, on_bad_frame="repeat", frames=24),
                style.clip.frame_count,
            )
            for number, style in enumerate(styles)
            if style.clip is not None
        }

    def __call__(self, shot: int, frame: int) -> Guidance:
        """Return the guidance of frame `frame` of the source, which is in shot number `shot`."""
        regions: Mapping[str, NDArray[np.uint8] | None]
        regions = {REST: None} if self._guides is None else self._guides(frame)
        regions_guidance = tuple(
            RegionGuidance(style_mixes(self._timeline, region, seconds=self._seconds[frame], shot=shot), guide)
            for region, guide in regions.items()
            if guide is None or guide.any()
        )
        used = {style for region in regions_guidance for mix in region.mixes for style, _ in mix.styles}
        return Guidance(
            regions_guidance, {style: self._frame(style, frame) for style in sorted(used & self._clips.keys())}
        )

    def distance(self, shot: int, frame: int, other: int) -> float:
        """Return how different the styles of two frames of a shot are, from 0 to 1, in the region that differs most."""
        largest = 0.0
        for region in {style.region for style in self._timeline}:
            one, two = (
                style_shares(style_mixes(self._timeline, region, seconds=self._seconds[index], shot=shot))
                for index in (frame, other)
            )
            largest = max(
                largest, sum(abs(one.get(key, 0.0) - two.get(key, 0.0)) for key in one.keys() | two.keys()) / 2
            )
        return largest

    def _frame(self, style: int, frame: int) -> StyleFrame:
        """Return the frame of a style's clip for a frame of the source: the same number, in a loop."""
        cache, count = self._clips[style]
        pixels = cache.get(0, frame % count)
        return StyleFrame(frame % count, self._recolour(pixels) if self._recolour else pixels)

    def close(self) -> None:
        """Free the decoders."""
        for cache, _ in self._clips.values():
            cache.close()
        if self._guides is not None:
            self._guides.close()


def follow_regions(
    checked: CheckedRequest,
    source: SourceFrames,
    store: RunStore,
    on_event: OnEvent = ignore,
    cancelled: Cancelled | None = None,
) -> None:
    """Check that every shot has a style, and track masks that are one picture through the clip, into the run folder.

    Raises:
        ConfigError: a shot has no style, or a style is for a shot that does not exist.
        CancelledError: `cancelled` said so; the masks found so far are kept.
    """
    check_shots(checked.timeline, len(source.shots))
    if checked.masks:
        region_source = RegionSource(checked.clip, source.shots, source.size, checked.config)
        follow_masks(checked.masks, region_source, store, on_event=on_event, cancelled=cancelled)


def guidance_builder(render: PreparedRender) -> GuidanceBuilder | None:
    """Return the builder of a render's guidance; None if all styles apply everywhere and always."""
    checked, config = render.checked, render.config
    if not config.stylizes or not needs_guidance(render.styles, config):
        return None
    guides = None
    if checked.masks:
        guides = Guides(
            checked.masks, RegionSource(render.clip, render.shots, render.size, config), render.store.folder
        )
    recolour = recolouring(config, render.store)
    return GuidanceBuilder(render.styles, checked.timeline, render.clip, guides, recolour=recolour)


def recalled_guidance(
    styles: Sequence[StylePicture], source: RegionSource, folder: Path | None, *, recolour: Recolour | None = None
) -> GuidanceBuilder | None:
    """Return the guidance builder of a finished render; None if all styles applied everywhere and always.

    Args:
        styles: the style pictures and clips.
        source: what was rendered, at the size of the output.
        folder: the run folder; None if there is none.
        recolour: how the colours of style pictures were changed.

    Raises:
        ConfigError: a mask can no longer be used.
        RunError: masks that tracked what moves were not kept.
    """
    if not needs_guidance(styles, source.config):
        return None
    clip, shots, (start, end) = source.clip, source.shots, (source.shots[0].start, source.shots[-1].end)
    timeline = timeline_of(styles, clip)
    masks = find_masks(source.config, timeline, clip, start=start, end=end, size=source.size)
    tracked = tracked_masks(masks, source.config)
    if tracked and (folder is None or not all(are_tracked(tracked, shot, folder) for shot in shots)):
        raise RunError("the tracked masks were not kept", "render with --keep-frames to keep them")
    guides = Guides(masks, source, folder or Path()) if masks else None
    return GuidanceBuilder(styles, timeline, clip, guides, recolour=recolour)
