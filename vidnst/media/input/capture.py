"""The choice of a video's decoder: OpenCV's, or libav's where OpenCV's would lose something."""

from fractions import Fraction
from pathlib import Path
from typing import Protocol

from vidnst.frames import ClipInfo, Decoder, Pixels
from vidnst.media.input.container import ContainerInfo
from vidnst.media.input.deep_capture import DeepCapture
from vidnst.media.input.video_capture import VideoCapture


class Capture(Protocol):
    """A decoder that reads a video forward; `VideoCapture` documents the methods."""

    def grab(self) -> bool:
        """Advance to the next frame that decodes; False at the end."""

    def retrieve(self) -> Pixels | None:
        """Return the grabbed frame as `(H, W, 3)` RGB, upright; None if it cannot be decoded."""

    @property
    def seconds(self) -> float:
        """Time stamp of the grabbed frame on the decoder's clock, which starts with the stream."""

    def ticks(self, tick_seconds: Fraction) -> int:
        """Return `seconds` in ticks of the file's clock."""

    def seek(self, frame: int) -> bool:
        """Seek to near `frame`."""

    def close(self) -> None:
        """Free the decoder."""


def choose_decoder(info: ContainerInfo) -> Decoder:
    """Choose OpenCV's decoder, or libav's for more than 8 bits per channel."""
    return Decoder("libav", info.video_index) if info.video.bit_depth > 8 else Decoder()


def open_file(path: Path, decoder: Decoder, *, rotation_degrees: int) -> Capture:
    """Open a file whose header `read_container` has checked.

    Raises:
        SourceError: it cannot be opened.
    """
    if decoder.library == "opencv":
        return VideoCapture(path)
    return DeepCapture(path, stream=decoder.stream, decoder=decoder.name, rotation_degrees=rotation_degrees)


def open_capture(clip: ClipInfo) -> Capture:
    """Open a video with the decoder that probed it.

    Raises:
        SourceError: the file cannot be opened.
    """
    return open_file(clip.paths[0], clip.decoder, rotation_degrees=clip.rotation_degrees)
