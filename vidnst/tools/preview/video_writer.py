"""Writes frames that are drawn in memory as a video, an animation or a folder of frames."""

import shutil
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from vidnst.config import OutputConfig
from vidnst.events import Cancelled, OnEvent, Stage, ignore
from vidnst.files.atomic_write import translate_os_errors
from vidnst.files.file_names import part_prefix
from vidnst.frames import ClipInfo, Pixels, SourceKind
from vidnst.media.draw.text import ImageBuffer
from vidnst.media.images import encode_png
from vidnst.media.input.image_files import WRITABLE_SUFFIXES
from vidnst.media.output.encode import encode


class VideoWriter:
    """Collects frames of one size in a temporary folder next to the output and encodes them; a context manager.

    Args:
        output: a video, an animation, or a folder for PNG frames.
        settings: of the encoder.
    """

    def __init__(self, output: Path, settings: OutputConfig) -> None:
        self._output = output
        self._settings = settings
        self._folder: Path | None = None
        self._paths: list[Path] = []
        self._size = (0, 0)

    def __enter__(self) -> Self:
        parent = self._output.absolute().parent
        self._folder = Path(tempfile.mkdtemp(prefix=part_prefix(self._output.name), dir=parent))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, pixels: ImageBuffer, *, times: int = 1) -> None:
        """Append a frame, `(H, W, 3)` uint8 RGB of the same size as all others, `times` times."""
        assert self._folder is not None
        path = self._folder / f"{len(self._paths):06d}.png"
        write_temporary_png(path, pixels)
        self._paths += [path] * times
        self._size = (pixels.shape[1], pixels.shape[0])

    def encode(
        self,
        *,
        like: ClipInfo | None = None,
        rate: Fraction = Fraction(25),
        on_event: OnEvent = ignore,
        cancelled: Cancelled | None = None,
    ) -> None:
        """Encode the frames and check the result.

        Args:
            like: a clip whose presentation times the frames get; None shows each frame for 1/rate seconds.
            rate: frames per second.

        Raises:
            OutputError, EncoderError: as `media.output.encode.encode`.
            CancelledError: `cancelled` returned True.
        """
        count = len(self._paths)
        on_event(Stage("encoding", 0, count))
        encode(
            self._paths,
            self._output,
            clip=drawn_clip(self._output.name, count, self._size, like=like, rate=rate, paths=self._paths),
            start=0,
            end=count,
            settings=self._settings,
            on_progress=lambda done: on_event(Stage("encoding", done, count)),
            cancelled=cancelled,
        )


def write_temporary_png(path: Path, pixels: Pixels, *, bits: Literal[8, 16] = 8) -> None:
    """Write a PNG into a temporary folder; it need not survive a crash, so nothing waits for the disk."""
    with translate_os_errors(path.parents[1]):  # the folder that an error about a full disk names
        path.write_bytes(encode_png(pixels, bits=bits))


def drawn_clip(
    name: str,
    count: int,
    size: tuple[int, int],
    *,
    like: ClipInfo | None = None,
    rate: Fraction = Fraction(25),
    paths: Sequence[Path] = (),
) -> ClipInfo:
    """Describe drawn frames as a clip, for the code that checks, encodes and verifies an output.

    Args:
        count: number of frames.
        size: width and height in pixels.
        like, rate: see `VideoWriter.encode`; the first `count` frames of `like` count.
        paths: the frames, or files that the output must not replace.
    """
    pts = tuple(number / rate for number in range(count)) if like is None else like.pts_seconds[:count]
    return ClipInfo(
        source=name,
        kind=SourceKind.PICTURES,
        paths=tuple(paths),
        width=size[0],
        height=size[1],
        rate=rate if like is None else like.rate,
        pts_seconds=pts,
        last_duration_seconds=1 / rate if like is None else like.frame_duration_seconds(count - 1),
        variable_rate=like is not None and like.variable_rate,
        bit_depth=8,
    )


def is_video_output(output: Path) -> bool:
    """True unless the name is that of one picture; `.webp`, which may be either, counts as an animation."""
    return output.suffix.lower() not in WRITABLE_SUFFIXES - {".webp"}
