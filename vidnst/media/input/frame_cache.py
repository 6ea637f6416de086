"""A cache of decoded frames for the scheduler, which reads several shots at once, with bounded memory."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Literal

from vidnst.errors import SourceError
from vidnst.frames import ClipInfo, Frame, Pixels, Shot
from vidnst.lru_cache import LruCache
from vidnst.media.adjust.adjustments import Adjuster
from vidnst.media.input.frame_reader import FrameReader
from vidnst.processes.parallel import ordered_results

_MAX_PREFETCHED = 8
"""Most frames that a reader decodes ahead: usually those up to the next key frame."""


class FrameCache:
    """Frames by index, for several shots at once. Not thread-safe.

    Within a shot the scheduler moves forward, give or take a window; between shots it jumps. So each shot has a reader
    of its own that only moves forward, and the frames read last are cached. A frame that is requested after its
    eviction is decoded again by a new reader, which is slow. Each reader prefetches some frames in its own thread.

    Memory is bounded by `frames` decoded frames, and `readers` open decoders with 8 prefetched frames each, or a
    quarter of `frames` if that is less. With an adjuster it is `frames` adjusted frames, and decoded frames of about
    the same size in total, but at least those that one adjusted frame is made of.

    Args:
        clip: the source.
        shots: its shots, by number.
        size: width and height in pixels of the returned frames; None is the source's size.
        on_bad_frame, on_repeated: see `FrameReader`.
        adjuster: adjusts every frame.
        frames, readers: see above.
    """

    def __init__(
        self,
        clip: ClipInfo,
        shots: Sequence[Shot],
        *,
        size: tuple[int, int] | None,
        on_bad_frame: Literal["error", "repeat"] = "error",
        on_repeated: Callable[[int], None] | None = None,
        adjuster: Adjuster | None = None,
        frames: int = 64,
        readers: int = 8,
    ) -> None:
        self._shots = shots
        self._adjuster = adjuster
        self._on_repeated = on_repeated
        self._max_frames = frames if adjuster is None else _decoded_capacity(clip, size, adjuster, frames)
        read_size = size if adjuster is None else adjuster.read_size
        self._open_reader = partial(FrameReader, clip, size=read_size, on_bad_frame=on_bad_frame)
        self._frames = LruCache[int, Pixels](self._max_frames)
        self._adjusted = LruCache[int, Pixels](frames)
        self._readers = LruCache[int, _Prefetcher](readers, on_evict=lambda reader: reader.close())

    def get(self, shot: int, index: int) -> Pixels:
        """Return the pixels of frame `index`, which lies in shot number `shot`.

        Raises:
            BadFrameError: the frame does not decode, and the policy is not to repeat the one before.
        """
        if self._adjuster is None:
            return self._decoded(shot, index)
        if index not in self._adjusted:
            self._adjusted[index] = self._adjuster(index, self._shots[shot], partial(self._decoded, shot))
        return self._adjusted[index]

    def _decoded(self, shot: int, index: int) -> Pixels:
        if index not in self._frames:
            reader = self._readers.pop(shot)
            if reader is None or index < reader.position:
                if reader is not None:
                    reader.close()
                reader = self._open(self._shots[shot], index)
            self._readers[shot] = reader
            while reader.position <= index:
                frame = reader.read()
                self._frames[frame.index] = frame.pixels
        return self._frames[index]

    def _open(self, shot: Shot, index: int) -> "_Prefetcher":
        first = max(shot.start, index - self._max_frames // 4)
        ahead = min(_MAX_PREFETCHED, self._max_frames // 4)
        return _Prefetcher(self._open_reader, range(first, shot.end), ahead=ahead, on_repeated=self._on_repeated)

    def close(self) -> None:
        """Close all decoders and drop all frames."""
        self._readers.clear()
        self._frames.clear()
        self._adjusted.clear()


class _Prefetcher:
    """Reads frames in order and decodes the next ones in a thread.

    Args:
        open_reader: opens a reader, given its `on_repeated`.
        indices: the frames.
        ahead: number of frames decoded ahead.
        on_repeated: see `FrameReader`; called in the caller's thread, when the frame is read.
    """

    def __init__(
        self,
        open_reader: Callable[..., FrameReader],
        indices: range,
        *,
        ahead: int,
        on_repeated: Callable[[int], None] | None,
    ) -> None:
        self.position = indices.start
        """The next frame."""
        self._on_repeated = on_repeated
        self._repeated: set[int] = set()
        self._reader = open_reader(on_repeated=self._repeated.add)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="decode")
        self._frames = ordered_results((partial(self._decode, index) for index in indices), self._thread, ahead=ahead)

    def read(self) -> Frame:
        """Return the next frame.

        Raises:
            BadFrameError: it does not decode, and must not be repeated; the one after it can still be read.
        """
        frame, index = next(self._frames), self.position
        self.position += 1
        if isinstance(frame, SourceError):
            raise frame
        if index in self._repeated and self._on_repeated:
            self._on_repeated(index)
        return frame

    def _decode(self, index: int) -> Frame | SourceError:
        try:
            return self._reader.read(index)
        except SourceError as error:  # raised only if the frame is requested
            return error

    def close(self) -> None:
        """Wait for the frame that is being decoded, and free the decoder."""
        self._frames.close()
        self._thread.shutdown()
        self._reader.close()


def _decoded_capacity(clip: ClipInfo, size: tuple[int, int] | None, adjuster: Adjuster, frames: int) -> int:
    """Return how many decoded frames take about the memory of `frames` adjusted ones."""
    width, height = size or (clip.width, clip.height)
    read_width, read_height = adjuster.read_size or (clip.width, clip.height)
    return max(2 * adjuster.reach + 2, 16, frames * width * height // (read_width * read_height))
