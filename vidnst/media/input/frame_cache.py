"""Decoded frames of a clip in the order the scheduler asks for them, in bounded memory."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Literal

from vidnst.errors import SourceError
from vidnst.frames import ClipInfo, Frame, Pixels, Shot
from vidnst.media.adjust.adjustments import Adjuster
from vidnst.media.input.frame_reader import FrameReader
from vidnst.parallel import ordered_results

_MOST_AHEAD = 8
"""Frames that are decoded ahead of those asked for: from one key frame to the next, as a rule."""


class FrameCache:
    """Frames by index, for several shots at once.

    Inside a shot the scheduler moves forward, give or take a window; between shots it jumps. So each shot has a reader
    of its own, which only ever goes forward, and the frames read last are remembered. A frame that is asked for after
    it was forgotten is read again by a new reader: slow, but never wrong.

    Each reader decodes in a thread of its own, a few frames ahead, so that whoever asks need not wait for a decoder.

    Memory is bounded by `frames` decoded frames, and `readers` open decoders with eight more each, or a quarter of
    `frames` where that is less. With an adjuster there are `frames` adjusted ones, and decoded ones for about the same
    room, but no fewer than an adjusted one is made of.

    Args:
        clip: the source.
        shots: of it, by number.
        size: width and height in pixels of the frames that are given; none is the source's.
        on_bad_frame, on_repeated: see `FrameReader`.
        adjuster: what is done to every frame.
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
        self._clip = clip
        self._shots = shots
        self._size = size if adjuster is None else adjuster.read_size
        self._adjuster = adjuster
        self._on_bad_frame: Literal["error", "repeat"] = on_bad_frame
        self._on_repeated = on_repeated
        self._max_frames = frames
        self._max_adjusted = 0
        if adjuster is not None:
            self._max_frames, self._max_adjusted = _rooms(clip, size, adjuster, frames)
        self._max_readers = readers
        self._frames: OrderedDict[int, Pixels] = OrderedDict()
        self._adjusted: OrderedDict[int, Pixels] = OrderedDict()
        self._readers: OrderedDict[int, _Forward] = OrderedDict()

    def get(self, shot: int, index: int) -> Pixels:
        """Pixels of frame `index`, which lies in shot number `shot`.

        Raises:
            BadFrameError: it does not decode, and the policy is not to repeat the one before.
        """
        if self._adjuster is None:
            return self._decoded(shot, index)
        if index not in self._adjusted:
            self._adjusted[index] = self._adjuster(index, self._shots[shot], partial(self._decoded, shot))
            while len(self._adjusted) > self._max_adjusted:
                self._adjusted.popitem(last=False)
        self._adjusted.move_to_end(index)
        return self._adjusted[index]

    def _decoded(self, shot: int, index: int) -> Pixels:
        if index not in self._frames:
            self._read_to(shot, index)
        self._frames.move_to_end(index)
        return self._frames[index]

    def _read_to(self, shot: int, index: int) -> None:
        reader = self._readers.pop(shot, None)
        if reader is None or index < reader.position:
            if reader is not None:
                reader.close()
            reader = self._open(self._shots[shot], index)
        self._readers[shot] = reader
        while reader.position <= index:
            frame = reader.read()
            self._frames[frame.index] = frame.pixels
        while len(self._frames) > self._max_frames:
            self._frames.popitem(last=False)
        while len(self._readers) > self._max_readers:
            self._readers.popitem(last=False)[1].close()

    def _open(self, shot: Shot, index: int) -> "_Forward":
        first = max(shot.start, index - self._max_frames // 4)
        ahead = min(_MOST_AHEAD, self._max_frames // 4)
        reader = partial(FrameReader, self._clip, size=self._size, on_bad_frame=self._on_bad_frame)
        return _Forward(reader, range(first, shot.end), ahead=ahead, on_repeated=self._on_repeated)

    def close(self) -> None:
        """Close all decoders."""
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()
        self._frames.clear()
        self._adjusted.clear()


class _Forward:
    """Frames one after the other, decoded in a thread, somewhat ahead of those that are asked for.

    Args:
        reader: opens one; gets what is to hear of repeated frames.
        indices: of the frames.
        ahead: how many.
        on_repeated: see `FrameReader`; called in the caller's thread, when the frame is asked for.
    """

    def __init__(
        self,
        reader: Callable[..., FrameReader],
        indices: range,
        *,
        ahead: int,
        on_repeated: Callable[[int], None] | None,
    ) -> None:
        self.position = indices.start
        """The frame that comes next."""
        self._on_repeated = on_repeated
        self._repeated: set[int] = set()
        self._reader = reader(on_repeated=self._repeated.add)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="decode")
        self._frames = ordered_results((partial(self._decode, index) for index in indices), self._thread, ahead=ahead)

    def read(self) -> Frame:
        """The next frame.

        Raises:
            BadFrameError: it does not decode, and is not to be repeated; the one after it can be asked for.
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
        except SourceError as error:  # it may never be asked for
            return error

    def close(self) -> None:
        """Wait for the frame that is being decoded, and free the decoder."""
        self._frames.close()
        self._thread.shutdown()
        self._reader.close()


def _rooms(clip: ClipInfo, size: tuple[int, int] | None, adjuster: Adjuster, frames: int) -> tuple[int, int]:
    """How many decoded and how many adjusted frames are remembered in the room of `frames` adjusted ones or so."""
    width, height = size or (clip.width, clip.height)
    across, down = adjuster.read_size or (clip.width, clip.height)
    return max(2 * adjuster.reach + 2, 16, frames * width * height // (across * down)), frames
