"""The source's frames as they are rendered: decoded, resized, adjusted, filtered.

Adjustments are applied as frames are read, so nothing after this module knows of deflicker and registration. A crop
decides the size of the render. The adjustments are kept in the run's plan, so a resumed run applies the same.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Literal

from vidnst.events import OnEvent, Warned
from vidnst.frames import ClipInfo, Pixels, Shot, shot_number, spread_over
from vidnst.media.adjust.adjustments import Adjuster, Adjustments
from vidnst.media.input.frame_cache import FrameCache
from vidnst.rendering.prepare import CheckedRequest
from vidnst.runs import RunStore

CACHE_BYTES = 1 << 30
"""Memory for decoded frames."""


@dataclass(frozen=True, slots=True)
class SourceFrames:
    """The source of a render's frames, with the adjustments that are applied as they are read."""

    clip: ClipInfo
    """The source itself, or its filtered frames in the run folder."""
    shots: tuple[Shot, ...]
    size: tuple[int, int]
    """Width and height in pixels, as rendered."""
    on_bad_frame: Literal["error", "repeat"]
    adjustments: Adjustments | None = None
    """Gains and homographies that are applied as frames are read."""

    @contextmanager
    def open(
        self, *, on_repeated: Callable[[int], None] | None = None, cache_bytes: int = CACHE_BYTES
    ) -> Iterator[FrameCache]:
        """Open a cache that gives frames by shot and index, `(H, W, 3)` RGB.

        Args:
            on_repeated: hears of each frame that does not decode and is replaced by the one before it.
            cache_bytes: memory for frames that have been decoded.
        """
        adjuster = Adjuster(self.adjustments, self.clip, self.size) if self.adjustments else None
        cache = FrameCache(
            self.clip,
            self.shots,
            size=self.size,
            on_bad_frame=self.on_bad_frame,
            on_repeated=on_repeated,
            adjuster=adjuster,
            frames=cached_frames(*self.size, cache_bytes=cache_bytes),
        )
        with closing(cache):
            yield cache

    def sample(self, count: int) -> list[Pixels]:
        """Read `count` frames, spread evenly over all shots."""
        start, end = self.shots[0].start, self.shots[-1].end
        wanted = spread_over(start, end, count)
        with self.open() as frames:
            return [frames.get(shot_number(self.shots, index), index) for index in wanted]


def source_frames(
    checked: CheckedRequest, shots: Sequence[Shot], adjustments: Adjustments | None = None
) -> SourceFrames:
    """Return the frames of a source that is not filtered."""
    size = (checked.width, checked.height)
    if adjustments is not None:
        size = adjustments.size(checked.clip, checked.config.input.size)
    return SourceFrames(checked.clip, tuple(shots), size, checked.config.input.on_bad_frame, adjustments)


def cached_frames(width: int, height: int, *, cache_bytes: int = CACHE_BYTES) -> int:
    """Return how many frames of a size the cache holds."""
    return max(16, min(256, cache_bytes // (width * height * 3)))


def report_repeated(store: RunStore, on_event: OnEvent, index: int) -> None:
    """Record and report that a frame does not decode."""
    store.record("repeated", frame=index)
    on_event(Warned(f"frame {index} does not decode; the frame before it is repeated"))
