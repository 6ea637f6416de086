"""Who says which styles pull where in a frame: the timeline, the masks and the clips of styles put together."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidnst.config import RenderConfig
from vidnst.errors import RunError
from vidnst.events import Cancelled, OnEvent, ignore
from vidnst.frames import ClipInfo, Pixels, Shot
from vidnst.rendering.effects_pass import recolouring
from vidnst.rendering.prepare import CheckedRequest
from vidnst.rendering.prepared_render import PreparedRender
from vidnst.rendering.source_frames import SourceFrames
from vidnst.rendering.styles.regions import Guides, RegionSource, are_tracked, find_masks, follow_masks, tracked_masks
from vidnst.rendering.styles.style_spec import StylePicture, clip_seconds, placed
from vidnst.rendering.styles.timeline import REST, TimedStyle, check_shots, parts_of, pulls_at
from vidnst.runs import RunStore
from vidnst.style.guidance import Guidance, RegionGuidance, StyleFrame

Recolour = Callable[[Pixels], Pixels]


class GuidanceBuilder:
    """Makes the guidance of each frame.

    Args:
        styles: as they were read.
        entries: their places in time, by the same numbers.
        clip: the source.
        guides: gives the regions' shares of a frame; None where there are no masks.
        recolour: what is done to the frames of styles that move; None leaves them as they are.
    """

    def __init__(
        self,
        styles: Sequence[StylePicture],
        entries: Sequence[TimedStyle],
        clip: ClipInfo,
        guides: Guides | None = None,
        *,
        recolour: Recolour | None = None,
    ) -> None:
        from vidnst.media.input.frame_cache import FrameCache

        self._entries = entries
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
        """The guidance of a frame of the source, in a shot by its number."""
        regions: Mapping[str, NDArray[np.uint8] | None]
        regions = {REST: None} if self._guides is None else self._guides(frame)
        guided = tuple(
            RegionGuidance(pulls_at(self._entries, region, seconds=self._seconds[frame], shot=shot), guide)
            for region, guide in regions.items()
            if guide is None or guide.any()
        )
        seen = {style for region in guided for mix in region.mixes for style, _ in mix.styles}
        return Guidance(guided, {style: self._frame(style, frame) for style in sorted(seen & self._clips.keys())})

    def change(self, shot: int, frame: int, other: int) -> float:
        """How far apart the styles of two frames of a shot are, in the region where most: 0 the same, 1 all others."""
        apart = 0.0
        for region in {entry.region for entry in self._entries}:
            one, two = (
                parts_of(pulls_at(self._entries, region, seconds=self._seconds[index], shot=shot))
                for index in (frame, other)
            )
            apart = max(apart, sum(abs(one.get(key, 0.0) - two.get(key, 0.0)) for key in one.keys() | two.keys()) / 2)
        return apart

    def _frame(self, style: int, frame: int) -> StyleFrame:
        """What a style's clip shows at a frame of the source: the frame of that number, played round."""
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
    if not config.stylizes or not is_directed(render.styles, config):
        return None
    guides = None
    if checked.masks:
        guides = Guides(
            checked.masks, RegionSource(render.clip, render.shots, render.size, config), render.store.folder
        )
    recolour = recolouring(config, render.store)
    return GuidanceBuilder(render.styles, checked.timeline, render.clip, guides, recolour=recolour)


def recall_director(
    styles: Sequence[StylePicture], footage: RegionSource, folder: Path | None, *, recolour: Recolour | None = None
) -> GuidanceBuilder | None:
    """Who said which styles pull where in a render that is finished; None where all did everywhere and always.

    Args:
        styles: as they were read.
        footage: what was rendered, at the size of the output.
        folder: of the run; None where there is none.
        recolour: what was done to style pictures.

    Raises:
        ConfigError: a mask cannot be used any more.
        RunError: masks that tracked what moves were not kept.
    """
    if not is_directed(styles, footage.config):
        return None
    clip, shots, (start, end) = footage.clip, footage.shots, (footage.shots[0].start, footage.shots[-1].end)
    entries = placed(styles, clip)
    masks = find_masks(footage.config, entries, clip, start=start, end=end, size=footage.size)
    tracked = tracked_masks(masks, footage.config)
    if tracked and (folder is None or not all(are_tracked(tracked, shot, folder) for shot in shots)):
        raise RunError("the masks that tracked what moves were not kept", "render with --keep-frames to keep them")
    guides = Guides(masks, footage, folder or Path()) if masks else None
    return GuidanceBuilder(styles, entries, clip, guides, recolour=recolour)


def is_directed(styles: Sequence[StylePicture], config: RenderConfig) -> bool:
    """Whether styles hold somewhere or sometimes only, or move."""
    somewhere = any(style.at or style.shots or style.region or style.clip for style in styles)
    return somewhere or bool(config.regions.masks)
