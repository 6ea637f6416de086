"""The light of the day in a render: taken out of the frames that are painted, put back into those that are shown.

Painted under a light that stands still, strokes need not choose between holding still and following the light. States
keep that light; only what the viewer sees is given the day's.
"""

from collections.abc import Sequence

import numpy as np

from vidnst.errors import CancelledError
from vidnst.events import Cancelled, OnEvent, Stage, ignore
from vidnst.frames import Pixels, State, to_float
from vidnst.lru_cache import LruCache
from vidnst.media.adjust.daylight import Daylight, find_daylight
from vidnst.media.adjust.relight import Palette, add_light, even_light
from vidnst.rendering.prepare import CheckedRequest
from vidnst.rendering.prepared_render import PreparedRender
from vidnst.rendering.source_frames import SourceFrames, cached_frames
from vidnst.runs import RunStore
from vidnst.style.guidance import Guidance, blend_with_source

_PALETTE_PERCENTILES = 1, 99
"""Of the style pictures' channels: the darkest and the brightest paint that a light may reach."""


def study_daylight(
    checked: CheckedRequest,
    source: SourceFrames,
    store: RunStore,
    on_event: OnEvent = ignore,
    cancelled: Cancelled | None = None,
) -> None:
    """Measure the light of the day and keep it in the run's plan, unless an earlier session did or none is wanted.

    Raises:
        CancelledError: `cancelled` said so.
        BadFrameError: a frame does not decode, and is not to be repeated.
    """
    assert store.plan is not None
    config = checked.config
    if not config.stylizes or config.motion.light_share is None or store.plan.daylight is not None:
        return

    def report(done: int) -> None:
        if cancelled and cancelled():
            raise CancelledError("stopped while the light was measured")
        on_event(Stage("studying", done, checked.frames))

    with source.open() as frames:
        store.update_plan(daylight=find_daylight(source.shots, frames.get, on_progress=report))


class Lighting:
    """Takes the light of the day out of frames, and puts a share of it back.

    Args:
        daylight: the light of the clip.
        share: the share that is put back, from 0 to 1.
        styles: style pictures, whose brightest and darkest paint bound the light.
        capacity: number of evened frames that are kept.
    """

    def __init__(self, daylight: Daylight, share: float, styles: Sequence[Pixels], *, capacity: int) -> None:
        self._daylight = daylight
        self._share = share
        self._palette = _palette(styles)
        self._evened = LruCache[int, Pixels](capacity)

    @classmethod
    def of(cls, render: PreparedRender, *, cache_bytes: int) -> "Lighting | None":
        """Return the lighting of a render; None if its frames are painted in their own light.

        Args:
            cache_bytes: memory for evened frames.
        """
        plan, share = render.store.plan, render.config.motion.light_share
        if plan is None or plan.daylight is None or share is None:
            return None
        capacity = cached_frames(*render.size, cache_bytes=cache_bytes // 2)  # of 16 bits, twice as large
        return cls(plan.daylight, share, [style.pixels for style in render.styles], capacity=capacity)

    def evened(self, shot: int, index: int, pixels: Pixels) -> Pixels:
        """Return a source frame in the mean light of its shot, with 16 bits. Not thread-safe."""
        light = self._daylight.shots[shot]
        return self._evened.get(index, lambda: even_light(pixels, light.at(index), light.mean))

    def lit(self, shot: int, index: int, state: State, source: Pixels, guidance: Guidance | None) -> State:
        """Return a painted frame as it is shown; regions without style show the source.

        Args:
            state: the frame as it was painted.
            source: the frame's source.
            guidance: the styles of its regions; None applies all styles everywhere.
        """
        light = self._daylight.shots[shot]
        shown = add_light(state, source, light.at(index) - light.reference, share=self._share, palette=self._palette)
        unstyled = None if guidance is None else guidance.unstyled
        return shown if unstyled is None else blend_with_source(shown, source, unstyled)


def _palette(styles: Sequence[Pixels]) -> Palette:
    ranges = [np.percentile(to_float(pixels).reshape(-1, 3), _PALETTE_PERCENTILES, axis=0) for pixels in styles]
    low, high = np.min([low for low, _ in ranges], axis=0), np.max([high for _, high in ranges], axis=0)
    return Palette(low.astype(np.float32), high.astype(np.float32))
