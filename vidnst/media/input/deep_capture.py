"""Decoding of what OpenCV's reader loses, more than 8 bits per channel and alpha: by libav, in a child process."""

import json
import subprocess
import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray

from vidnst.errors import SourceError
from vidnst.frames import WHITE, AlphaPlane, HdrInfo, Pixels, Rgb
from vidnst.media import ffmpeg
from vidnst.media.input.container import INPUT_OPTIONS
from vidnst.media.input.video_pixels import PictureHeader, alpha_plane, rgb_pixels
from vidnst.media.orientation import make_upright
from vidnst.processes.child_guard import CHILD_GUARD
from vidnst.processes.parallel import local_cores
from vidnst.processes.running_time import RunningTimer

_PROGRAM = Path(__file__).with_name("stream_decoder.py")
_FORMATS = INPUT_OPTIONS[-1]
_MEMORY_BYTES = 8 << 30
_MAX_THREADS = 4
_ANSWER_SECONDS = 120
"""Most seconds for one frame; damage and long groups of pictures take some."""
_MAX_LINE_BYTES = 1 << 16


class DeepCapture:
    """Decodes a video file frame by frame, upright, with up to 16 bits and alpha; the methods are `VideoCapture`'s.

    Args:
        path: a file whose header `read_container` has checked.
        stream: index of the video stream among all streams.
        decoder: name of the decoder; empty for the usual one.
        deinterlace: off, or one progressive frame for each frame or each field.
        top_field_first: which field is shown first; None if each frame tells.
        orientation: EXIF's number, 1 to 8, of what makes frames upright.
        background: the colour that transparent pixels are laid over.
        hdr: what makes the video HDR: its frames are tone-mapped, to 16 bits.

    Raises:
        SourceError: the file cannot be opened.
    """

    def __init__(
        self,
        path: Path,
        *,
        stream: int,
        decoder: str = "",
        deinterlace: Literal["off", "frame", "field"] = "off",
        top_field_first: bool | None = None,
        orientation: int = 1,
        background: Rgb = WHITE,
        hdr: HdrInfo | None = None,
    ) -> None:
        self._path = path
        self._orientation = orientation
        self._background = background
        self._hdr = hdr
        self._ticks = 0
        request = {
            "path": ffmpeg.file_url(path),
            "formats": _FORMATS,
            "memory_bytes": _MEMORY_BYTES,
            "threads": min(_MAX_THREADS, local_cores()),
            "stream": stream,
            "decoder": decoder,
            "deinterlace": deinterlace,
            "top_field_first": top_field_first,
        }
        self._process = subprocess.Popen(
            # -P: the script's folder must not hide modules of the standard library.
            [sys.executable, "-P", str(_PROGRAM), json.dumps(request)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=CHILD_GUARD.environment(),
            start_new_session=True,  # Ctrl-C in the terminal must reach the parent only
        )
        self._finalizer = weakref.finalize(self, _end, self._process)
        try:
            opened = self._receive()
            self._start, self._tick_seconds = int(opened["start"]), Fraction(*map(int, opened["tick"]))
        except (SourceError, LookupError, TypeError, ValueError, ZeroDivisionError) as error:
            self.close()
            raise SourceError(f"{path} cannot be opened as a video", "check the file") from error

    def grab(self) -> bool:
        """Advance to the next frame that decodes; False at the end.

        Raises:
            SourceError: the decoder crashed, hung or used too much memory; so do the other methods.
        """
        answer = self._ask("grab")
        if "ticks" not in answer:
            return False
        if answer["ticks"] is not None:  # else it repeats the time before, so that the frames count as untimed
            self._ticks = int(answer["ticks"]) - self._start
        return True

    def retrieve(self) -> Pixels | None:
        """Return the grabbed frame as `(H, W, 3)` RGB, upright: uint16 above 8 bits; None if it cannot be converted."""
        convert = partial(rgb_pixels, background=self._background, hdr=self._hdr)
        return cast(Pixels | None, self._picture("picture", convert))

    def alpha(self) -> AlphaPlane | None:
        """Return the alpha of the grabbed frame, `(H, W)`, upright: uint16 above 8 bits; None if it has none."""
        return cast(AlphaPlane | None, self._picture("alpha", alpha_plane))

    def _picture(
        self, command: str, convert: Callable[[PictureHeader, Sequence[bytes]], NDArray[Any]]
    ) -> NDArray[Any] | None:
        answer = self._ask(command)
        if answer.get("kind") == "none":
            return None
        try:
            header = PictureHeader.parse(answer)
            planes = [self._read(line * header.height) for line in header.line_bytes]
            return np.ascontiguousarray(make_upright(convert(header, planes), self._orientation))
        except (LookupError, TypeError, ValueError) as error:
            raise self._broken() from error

    @property
    def seconds(self) -> float:
        """Time stamp of the grabbed frame on the decoder's clock, which starts with the stream."""
        return float(self._ticks * self._tick_seconds)

    def ticks(self, tick_seconds: Fraction) -> int:
        """Return `seconds` in ticks of the file's clock."""
        return round(self._ticks * self._tick_seconds / tick_seconds)

    def seek(self, frame: int) -> bool:
        """Seek to near `frame`; `seconds` tells where after the next grab."""
        return bool(self._ask(f"seek {frame}").get("done"))

    def close(self) -> None:
        """End the decoder."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, command: str) -> Mapping[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{command}\n".encode())
            self._process.stdin.flush()
        except (OSError, ValueError) as error:  # it has ended
            raise self._broken() from error
        return self._receive()

    def _receive(self) -> Mapping[str, Any]:
        assert self._process.stdout is not None
        watchdog = RunningTimer(_ANSWER_SECONDS, self._process.kill)
        watchdog.start()
        try:
            line = self._process.stdout.readline(_MAX_LINE_BYTES)
        finally:
            watchdog.cancel()
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            raise self._broken() from None
        if not isinstance(answer, dict) or "error" in answer:
            raise self._broken()
        return answer

    def _read(self, count: int) -> bytes:
        assert self._process.stdout is not None
        data = self._process.stdout.read(count)
        if len(data) != count:
            raise self._broken()
        return data

    def _broken(self) -> SourceError:
        return SourceError(f"{self._path} cannot be decoded: its decoder stopped", "check the file")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    process.wait()
