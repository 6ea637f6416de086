"""Frames of animated pictures (WebP, APNG, GIF, AVIF) and pages of TIFF files, one at a time."""

from fractions import Fraction
from pathlib import Path
from typing import Any, Self

from numpy.typing import NDArray

from vidnst.errors import SourceError
from vidnst.frames import WHITE, AlphaPlane, Pixels, Rgb
from vidnst.media.input.decoder_noise import one_line
from vidnst.media.input.frame_decoders import FrameDecoder, open_decoder
from vidnst.media.input.image_header import ImageHeader, check_image_bytes
from vidnst.media.input.image_pixels import finish_alpha, finish_pixels
from vidnst.media.input.incomplete import cut_short, is_cut_short

_UNTIMED_SECONDS = Fraction(1, 10)
"""Duration of frames without one, as browsers and ffmpeg show them."""
_GIF_FASTEST_SECONDS = Fraction(2, 100)
"""Shorter durations in a GIF count as none, as in browsers and ffmpeg."""


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
        self._frames: FrameDecoder | None = None
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
            if is_cut_short(self._path):
                raise cut_short(self._path) from error
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

    def _open(self) -> FrameDecoder:
        check_image_bytes(self._path)
        return open_decoder(self._path, self._header.format)

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
