"""Frames of animated pictures (WebP, APNG, GIF, AVIF) and pages of TIFF files, one at a time."""

from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vidnst.errors import SourceError
from vidnst.frames import WHITE, AlphaPlane, Pixels, Rgb
from vidnst.media.input.apng import ApngFrames
from vidnst.media.input.decoder_noise import one_line, quiet_pillow
from vidnst.media.input.image_header import ImageHeader, check_image_bytes
from vidnst.media.input.image_pixels import check_tiff, finish_alpha, finish_pixels, from_opencv, pillow_pixels
from vidnst.media.input.tiff_pages import list_pages

_UNTIMED_SECONDS = Fraction(1, 10)
"""Duration of frames without one, as browsers and ffmpeg show them."""
_GIF_FASTEST_SECONDS = Fraction(2, 100)
"""Shorter durations in a GIF count as none, as in browsers and ffmpeg."""


class _FrameDecoder(Protocol):
    def decode(self, index: int) -> NDArray[Any]:
        """Decode a frame as `(H, W)`, RGB or RGBA."""

    def seconds(self, index: int) -> Fraction:
        """Return the duration of the frame decoded last, `index`, as the file has it."""

    def close(self) -> None:
        """Free the file."""


class AnimationReader:
    """Reads the frames of one file by index, in any order; going back decodes from the start. Not thread-safe.

    Args:
        path: a file with several frames.
        header: what `read_image_header` says of it.
        background: the colour under transparent pixels.
    """

    def __init__(self, path: Path, header: ImageHeader, *, background: Rgb = WHITE) -> None:
        self._path = path
        self._header = header
        self._background = background
        self._frames: _FrameDecoder | None = None
        self._decoded: tuple[int, NDArray[Any]] | None = None

    def read(self, index: int) -> Pixels:
        """Read a frame: `(H, W, 3)` uint8 or uint16 RGB, over the background, upright.

        Raises:
            SourceError: it does not decode, or has another size than the header says.
        """
        return finish_pixels(self._decode(index), self._header, self._path, background=self._background)

    def alpha(self, index: int) -> AlphaPlane | None:
        """Read the alpha of a frame, `(H, W)`, upright; None if it has none. Raises like `read`."""
        return finish_alpha(self._decode(index), self._header, self._path)

    def _decode(self, index: int) -> NDArray[Any]:
        if self._decoded is not None and self._decoded[0] == index:
            return self._decoded[1]
        try:
            if self._frames is None:
                self._frames = self._open()
            pixels = self._frames.decode(index)
        except SourceError:
            raise
        except Exception as error:  # the decoders raise a dozen types for untrusted bytes
            what = f"frame {index} of {self._path} does not decode ({one_line(error)})"
            raise SourceError(what, "check the file") from error
        self._decoded = index, pixels
        return pixels

    def seconds(self, index: int) -> Fraction:
        """Return the duration of frame `index`, which was read last."""
        assert self._frames is not None
        seconds = self._frames.seconds(index)
        shortest = _GIF_FASTEST_SECONDS if self._header.format == "GIF" else Fraction(0)
        return _UNTIMED_SECONDS if seconds <= 0 or seconds < shortest else seconds

    def _open(self) -> _FrameDecoder:
        check_image_bytes(self._path)
        decoders: dict[str, type[_FrameDecoder]] = {"TIFF": _TiffFrames, "PNG": ApngFrames}
        return decoders.get(self._header.format, _PillowFrames)(self._path)  # type: ignore[call-arg]

    def close(self) -> None:
        """Free the decoder; the next read opens it again."""
        if self._frames is not None:
            self._frames.close()
        self._frames = self._decoded = None

    def __del__(self) -> None:
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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
