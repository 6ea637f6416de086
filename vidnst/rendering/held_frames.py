"""Source frames as jobs carry them: by reference to workers in other processes, so that each is copied once.

Eight nodes read a frame, and its neighbours' nodes read it for their flows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vidnst.farm.jobs import SharingPool
from vidnst.frames import Pixels
from vidnst.lru_cache import LruCache
from vidnst.motion.quality_gate import thumbnail_luma
from vidnst.style.guidance import Guidance

_THUMBNAILS_KEPT = 1024
"""Small source frames that are remembered: some 20 MB."""


@dataclass(frozen=True, slots=True)
class HeldFrame:
    """A source frame and its small luma, or what stands for them in jobs."""

    pixels: Any
    thumbnail: Any


class HeldFrames:
    """Frames and guidances of one clip, as its pool holds them. Not thread-safe.

    Args:
        pool: the workers.
        read: returns a frame, given the number of its shot and its own.
        capacity: number of frames that are held for workers in other processes.
    """

    def __init__(self, pool: SharingPool, read: Callable[[int, int], Pixels], *, capacity: int) -> None:
        self._pool = pool
        self._read = read
        self._frames = LruCache[int, HeldFrame](capacity)
        self._thumbnails = LruCache[int, Any](_THUMBNAILS_KEPT)
        self._guidances = LruCache[int, Any](capacity)

    def pixels(self, shot: int, frame: int) -> Any:
        """Return a frame.

        Raises:
            SourceError: it cannot be read.
        """
        return self._held(shot, frame).pixels if self._pool.is_remote else self._read(shot, frame)

    def thumbnail(self, shot: int, frame: int) -> Any:
        """Return the small luma of a frame; errors as in `pixels`."""
        if self._pool.is_remote:
            return self._held(shot, frame).thumbnail
        return self._thumbnails.get(frame, lambda: thumbnail_luma(self._read(shot, frame)))

    def value(self, value: Any) -> Any:
        """Return what stands for a value in jobs."""
        (held,) = self._pool.hold(value)
        return held

    def guidance(self, frame: int, guidance: Guidance | None) -> Any:
        """Return the guidance of a frame; one without pictures is as good as any reference."""
        if guidance is None or not self._pool.is_remote:
            return guidance
        if not guidance.style_frames and all(region.guide is None for region in guidance.regions):
            return guidance
        return self._guidances.get(frame, lambda: self.value(guidance))

    def _held(self, shot: int, frame: int) -> HeldFrame:
        return self._frames.get(frame, lambda: self._hold(self._read(shot, frame)))

    def _hold(self, pixels: Pixels) -> HeldFrame:
        return HeldFrame(*self._pool.hold(pixels, thumbnail_luma(pixels)))
