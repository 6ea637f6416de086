"""Reading frames of a clip by index: decoded forward, upright, checked against their time stamps, and resized."""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Literal, Protocol, Self

import cv2
import numpy as np

from vidnst.errors import BadFrameError, SourceError
from vidnst.frames import ClipInfo, Frame, Pixels, SourceKind, to_bits
from vidnst.media import images
from vidnst.media.input.alpha import alpha_bits, three_channels
from vidnst.media.input.animation import AnimationReader
from vidnst.media.input.capture import Capture, open_capture
from vidnst.media.input.image_header import read_image_header

_SEEK_FRAMES = 300
"""Shorter gaps are decoded: about as fast as a seek, which decodes from a key frame as well."""

_TOLERANCE_SECONDS = 0.002
"""Tolerance for time stamps of millisecond clocks, rounded on both sides."""


def fit_size(width: int, height: int, longest_side: int | None) -> tuple[int, int]:
    """Shrink a size to a longest side of at most `longest_side`, with even sides, as 4:2:0 video requires.

    A size that is small enough is returned unchanged.
    """
    if longest_side is None or longest_side >= max(width, height):
        return width, height
    long = max(2, longest_side // 2 * 2)
    short = max(2, round(Fraction(min(width, height) * long, max(width, height)) / 2) * 2)
    return (long, short) if width >= height else (short, long)


class _FrameSource(Protocol):
    def read(self, index: int) -> Pixels | None:
        """Return the pixels of a frame, None if it does not decode; indices ascend."""

    def nearest_before(self, index: int) -> Pixels | None:
        """Return the nearest frame before `index` that decodes, after `read(index)` returned None."""

    def close(self) -> None:
        """Free all resources."""


class FrameReader:
    """Reads frames of a clip in ascending order, with gaps. Not thread-safe.

    Nothing is opened before the first read.

    Args:
        start, end: frames of the iteration, `start <= index < end`; None is the clip's end. `read` may go beyond.
        size: width and height in pixels; None keeps the source's size.
        on_bad_frame: what to do if a frame does not decode: raise an error, or repeat the frame before.
        on_repeated: called with the index of each replaced frame.
    """

    def __init__(
        self,
        clip: ClipInfo,
        *,
        start: int = 0,
        end: int | None = None,
        size: tuple[int, int] | None = None,
        on_bad_frame: Literal["error", "repeat"] = "error",
        on_repeated: Callable[[int], None] | None = None,
    ) -> None:
        self._clip = clip
        self._range = range(start, clip.frame_count if end is None else end)
        self._size = None if size in (None, (clip.width, clip.height)) else size
        self._repeat = on_bad_frame == "repeat"
        self._on_repeated = on_repeated
        self._source: _FrameSource | None = None
        self._last: Frame | None = None

    def read(self, index: int) -> Frame:
        """Read frame `index` of the clip, `(height, width, 3)` RGB; uint8, or uint16 if the clip's bit depth is 16.

        Raises:
            BadFrameError: it does not decode and the policy is `error`, or no frame before it decodes.
            ValueError: `index` is before the frame read last, or outside the clip.
        """
        if not 0 <= index < self._clip.frame_count:
            raise ValueError(f"frame {index} is outside the clip of {self._clip.frame_count}")
        if self._last is not None and index <= self._last.index:
            if index == self._last.index:
                return self._last
            raise ValueError(f"frame {index} comes before frame {self._last.index}, which was read already")
        if self._source is None:
            self._source = _open(self._clip)
        pixels = self._source.read(index)
        frame = self._repeated(index) if pixels is None else Frame(self._fit(pixels), index, self._pts(index))
        self._last = frame
        return frame

    def __iter__(self) -> Iterator[Frame]:
        return (self.read(index) for index in self._range)

    def _pts(self, index: int) -> Fraction:
        return self._clip.pts_seconds[index]

    def _repeated(self, index: int) -> Frame:
        where = self._clip.paths[index] if self._clip.kind is SourceKind.PICTURES else self._clip.source
        what = f"frame {index} ({float(self._pts(index) - self._pts(0)):.3f} s) of {where} does not decode"
        if not self._repeat:
            raise BadFrameError(what, "repair the source, or repeat the frame before it with --on-bad-frame repeat")
        if self._last is not None and self._last.index == index - 1:
            pixels = self._last.pixels
        else:
            assert self._source is not None
            before = self._source.nearest_before(index)
            if before is None:
                raise BadFrameError(f"{what}, and no frame before it", "start later, with --start")
            pixels = self._fit(before)
        if self._on_repeated:
            self._on_repeated(index)
        return Frame(pixels, index, self._pts(index))

    def _fit(self, pixels: Pixels) -> Pixels:
        if self._size is None:
            return pixels
        return cv2.resize(pixels, self._size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]

    def close(self) -> None:
        """Free the decoder; the next read opens it again."""
        if self._source is not None:
            self._source.close()
        self._source = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _open(clip: ClipInfo) -> _FrameSource:
    sources: dict[SourceKind, Callable[[ClipInfo], _FrameSource]] = {
        SourceKind.PICTURES: _ImageSource,
        SourceKind.ANIMATION: _AnimationSource,
        SourceKind.VIDEO: _VideoSource,
    }
    return sources[clip.kind](clip)


class _ImageSource:
    def __init__(self, clip: ClipInfo) -> None:
        self._clip = clip

    def read(self, index: int) -> Pixels | None:
        try:
            pixels = self._read(self._clip.paths[index])
        except SourceError:
            return None
        return pixels if pixels.shape[:2] == (self._clip.height, self._clip.width) else None

    def _read(self, path: Path) -> Pixels:
        bits: Literal[8, 16] = 16 if self._clip.bit_depth == 16 else 8
        if self._clip.plane == "alpha" and (alpha := images.read_image_alpha(path)) is not None:
            return three_channels(alpha_bits(alpha, bits))
        pixels = images.read_image(path, bits=bits, background=self._clip.background, transform=self._clip.transform)
        if self._clip.plane == "alpha":
            pixels.fill(np.iinfo(pixels.dtype).max)
        return pixels

    def nearest_before(self, index: int) -> Pixels | None:
        earlier = (self.read(number) for number in range(index - 1, -1, -1))
        return next((pixels for pixels in earlier if pixels is not None), None)

    def close(self) -> None:
        pass


class _AnimationSource:
    def __init__(self, clip: ClipInfo) -> None:
        self._clip = clip
        self._reader = AnimationReader(clip.paths[0], read_image_header(clip.paths[0]), background=clip.background)

    def read(self, index: int) -> Pixels | None:
        bits: Literal[8, 16] = 16 if self._clip.bit_depth == 16 else 8
        try:
            pixels = self._reader.read(index)
            alpha = self._reader.alpha(index) if self._clip.plane == "alpha" else None
        except SourceError:
            return None
        if pixels.shape[:2] != (self._clip.height, self._clip.width):
            return None
        if alpha is not None:
            return three_channels(alpha_bits(alpha, bits))
        if self._clip.plane == "alpha":
            pixels = np.full_like(pixels, np.iinfo(pixels.dtype).max)
        return to_bits(pixels, bits)

    def nearest_before(self, index: int) -> Pixels | None:
        earlier = (self.read(number) for number in range(index - 1, -1, -1))
        return next((pixels for pixels in earlier if pixels is not None), None)

    def close(self) -> None:
        self._reader.close()


class _VideoSource:
    """Reads a video by counting decoded frames: the n-th one is the n-th one that probing decoded."""

    def __init__(self, clip: ClipInfo) -> None:
        self._clip = clip
        bad = set(clip.bad_frames)
        self._good = [index for index in range(clip.frame_count) if index not in bad]
        self._seconds = [float(pts) for pts in clip.pts_seconds]
        clock = clip.decoder_seconds or [clip.pts_seconds[index] for index in self._good]
        self._expected = [float(at) for at in clock]  # for each good frame
        self._capture: Capture | None = None
        self._open()

    def _open(self) -> None:
        self.close()
        self._capture = open_capture(self._clip)
        self._count = 0  # frames grabbed so far; the current one is self._good[self._count - 1]
        self._shift: float | None = None  # offset from the decoder's clock to the clip's
        self._timed = True

    def read(self, index: int) -> Pixels | None:
        position = bisect_left(self._good, index)
        if position == len(self._good) or self._good[position] != index:
            return None
        return self._fetch(position)

    def nearest_before(self, index: int) -> Pixels | None:
        position = bisect_left(self._good, index) - 1
        if position < 0:
            return None
        if self._count > position + 1:
            self._open()
        return self._fetch(position)

    def _fetch(self, position: int) -> Pixels | None:
        """Decode up to good frame number `position`, which is not before the current one."""
        if position + 1 - self._count > _SEEK_FRAMES:
            self._seek(position)
        while self._count <= position:
            if not self._grab():
                return None
        assert self._capture is not None
        pixels = self._retrieve()
        if pixels is None or pixels.shape[:2] != (self._clip.height, self._clip.width):
            return None
        return pixels

    def _retrieve(self) -> Pixels | None:
        assert self._capture is not None
        if self._clip.plane == "colour":
            return self._capture.retrieve()
        alpha = self._capture.alpha()
        return None if alpha is None else three_channels(alpha)

    def _grab(self) -> bool:
        assert self._capture is not None
        before = self._capture.seconds
        if not self._capture.grab():
            return False
        self._count += 1
        seconds_now = self._capture.seconds
        expected = self._expected[self._count - 1]
        if self._shift is None:
            self._shift = expected - seconds_now
            return True
        if (
            seconds_now <= before and not self._clip.decoder_seconds
        ):  # raw H.264 and B-frames in AVI have no time stamps: frames can only be counted
            self._timed = False
        if self._timed and abs(seconds_now + self._shift - expected) > _TOLERANCE_SECONDS:
            raise BadFrameError(
                f"{self._clip.source} decodes differently than when it was probed: "
                f"frame {self._good[self._count - 1]} of {expected:.3f} s is now at {seconds_now + self._shift:.3f} s",
                "probe it again; do not change the source during a render",
            )
        return True

    def _seek(self, position: int) -> None:
        """Seek close before `position` if time stamps prove where the seek lands; else stay, or reopen the file.

        OpenCV computes positions from the mean rate, so that it lands anywhere if the rate varies.
        """
        assert self._capture is not None
        if self._clip.bad_frames or self._clip.decoder_seconds or (self._shift is None and not self._grab()):
            return
        assert self._shift is not None
        if self._capture.seek(max(0, position - 8)) and self._capture.grab():
            landed = self._find(self._capture.seconds + self._shift)
            if landed is not None and landed <= position:
                self._count = landed + 1
                return
        self._open()

    def _find(self, seconds: float) -> int | None:
        """Return the frame with this time stamp, if exactly one is close to it."""
        nearest = bisect_left(self._seconds, seconds - _TOLERANCE_SECONDS)
        if nearest == len(self._seconds) or abs(self._seconds[nearest] - seconds) > _TOLERANCE_SECONDS:
            return None
        after = self._seconds[nearest + 1] if nearest + 1 < len(self._seconds) else np.inf
        return nearest if after - seconds > _TOLERANCE_SECONDS else None

    def close(self) -> None:
        if self._capture is not None:
            self._capture.close()
        self._capture = None
