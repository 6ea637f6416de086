"""Decoders of the frames of one file: animated pictures, and pages of TIFF files."""

from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vidnst.media.input.apng import ApngFrames
from vidnst.media.input.decoder_noise import quiet_pillow
from vidnst.media.input.image_pixels import check_tiff, from_opencv, pillow_pixels
from vidnst.media.input.picture_process import PictureProcess
from vidnst.media.input.still_process import check_answer, is_read_in_child, new_process
from vidnst.media.input.tiff_pages import list_pages


class FrameDecoder(Protocol):
    """Decodes frames by their indices, best in ascending order."""

    def decode(self, index: int) -> NDArray[Any]:
        """Decode a frame as `(H, W)`, RGB or RGBA."""

    def seconds(self, index: int) -> Fraction:
        """Return the duration of the frame decoded last, `index`, as the file has it."""

    def close(self) -> None:
        """Free the file."""


def open_decoder(path: Path, kind: str) -> FrameDecoder:
    """Open a file of several frames, in a child process if its format is read in one.

    Args:
        kind: the format that its header says.

    Raises:
        SourceError: it has too many frames.
        Exception: any of a dozen types, if it is damaged.
    """
    return _ChildFrames(path, kind) if is_read_in_child(path) else open_frames(path, kind)


def open_frames(path: Path, kind: str) -> FrameDecoder:
    """Open a file of several frames in this process; see `open_decoder`."""
    decoders: dict[str, type[FrameDecoder]] = {"TIFF": _TiffFrames, "PNG": ApngFrames}
    return decoders.get(kind, _PillowFrames)(path)  # type: ignore[call-arg]


class _ChildFrames:
    """Frames that a child process of their own decodes, since it keeps the file open."""

    def __init__(self, path: Path, kind: str) -> None:
        self._path = path
        self._kind = kind
        self._process: PictureProcess = new_process()
        self._seconds = Fraction(0)

    def decode(self, index: int) -> NDArray[Any]:
        answer, pixels = self._process.ask(self._path, {"command": "frame", "format": self._kind, "index": index})
        check_answer(answer, self._path)
        self._seconds = Fraction(*map(int, answer["seconds"]))
        return pixels

    def seconds(self, index: int) -> Fraction:
        return self._seconds

    def close(self) -> None:
        self._process.close()


class _PillowFrames:
    """Frames that Pillow decodes and composes, each from the one before."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open()

    def _open(self) -> None:
        self._files = ExitStack()
        with quiet_pillow():
            self._image = self._files.enter_context(Image.open(self._path))
        self._shown = -1

    def decode(self, index: int) -> NDArray[np.uint8]:
        if index < self._shown:
            self.close()
            self._open()
        with quiet_pillow():
            self._image.seek(index)
            self._image.load()
            self._shown = index
            return pillow_pixels(self._image)

    def seconds(self, index: int) -> Fraction:
        return Fraction(round(float(self._image.info.get("duration") or 0)), 1000)

    def close(self) -> None:
        self._files.close()


class _TiffFrames:
    """Pages that OpenCV decodes, which keeps 16 bits, after Pillow has: OpenCV shows damaged pages in black."""

    def __init__(self, path: Path) -> None:
        self._pages = [page.index for page in list_pages(path)]
        self._data = np.memmap(path, np.uint8, "r")
        self._path = path

    def decode(self, index: int) -> NDArray[Any]:
        page = self._pages[index]
        check_tiff(self._path, page)
        done, pages = cv2.imdecodemulti(np.asarray(self._data), cv2.IMREAD_UNCHANGED, range=(page, page + 1))
        if not done or len(pages) != 1:
            raise ValueError("damaged page")
        return from_opencv(pages[0])

    def seconds(self, index: int) -> Fraction:
        return Fraction(0)

    def close(self) -> None:
        del self._data
