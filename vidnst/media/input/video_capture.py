"""OpenCV's video decoder: upright, quiet, and tolerant of damaged packets."""

import os
from fractions import Fraction
from pathlib import Path
from typing import Self, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.errors import SourceError
from vidnst.files.utf8_path import linked
from vidnst.media.orientation import make_upright

# OpenCV's decoders would report damaged files on standard error; -8 is AV_LOG_QUIET.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
# References in an untrusted file may only lead to files; `read_container` has refused playlists before.
os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "protocol_whitelist;file")

_MAX_FAILED_GRABS = 300
"""Failing grabs in a row that mean the end of the file: OpenCV fails once for each packet that does not decode, and a
damaged group of pictures has some 250 of them."""


class VideoCapture:
    """Decodes a video file frame by frame.

    Args:
        orientation: EXIF's number of what makes stored frames upright, from `VideoStream.orientation`.

    Raises:
        SourceError: the file cannot be opened.
    """

    def __init__(self, path: Path, *, orientation: int = 1) -> None:
        self._orientation = orientation
        with linked(path, SourceError) as name:  # OpenCV's bindings crash at names that are not UTF-8
            self._capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise SourceError(f"{path} cannot be opened as a video", "check the file")
        # OpenCV turns frames, but does not flip them.
        self._capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)

    def grab(self) -> bool:
        """Advance to the next frame that decodes; False at the end."""
        return any(self._capture.grab() for _ in range(_MAX_FAILED_GRABS))

    def retrieve(self) -> NDArray[np.uint8] | None:
        """Return the grabbed frame as `(H, W, 3)` uint8 RGB, upright; None if it cannot be decoded."""
        done, pixels = self._capture.retrieve()
        if not done or pixels is None or pixels.ndim != 3 or pixels.dtype != np.uint8:
            return None
        rgb = cast("NDArray[np.uint8]", cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
        return cast("NDArray[np.uint8]", make_upright(rgb, self._orientation))

    def alpha(self) -> None:
        """Return None: OpenCV drops alpha."""
        return None

    @property
    def seconds(self) -> float:
        """Time stamp of the grabbed frame on the decoder's clock, which starts with the stream."""
        return float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000

    def ticks(self, tick_seconds: Fraction) -> int:
        """Return `seconds` in ticks of the file's clock; exact, since a double represents every tick of a file."""
        return round(self.seconds / float(tick_seconds))

    def seek(self, frame: int) -> bool:
        """Seek to near `frame`; `seconds` tells where after the next grab."""
        return bool(self._capture.set(cv2.CAP_PROP_POS_FRAMES, frame))

    def close(self) -> None:
        """Free the decoder."""
        self._capture.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
