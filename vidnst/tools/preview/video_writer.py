"""Pictures drawn here become a video, an animation or a folder of frames."""

import shutil
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from vidnst.config import OutputConfig
from vidnst.events import Cancelled, OnEvent, Stage, ignore
from vidnst.frames import ClipInfo, SourceKind

if TYPE_CHECKING:
    from vidnst.media.draw.text import ImageBuffer


class VideoWriter:
    """Frames of one size, kept beside the output until they are encoded; use it as a context.

    Args:
        output: a video, an animation, or a folder for PNG frames.
        settings: how it is packed.
    """

    def __init__(self, output: Path, settings: OutputConfig) -> None:
        self._output = output
        self._settings = settings
        self._folder: Path | None = None
        self._paths: list[Path] = []
        self._size = (0, 0)

    def __enter__(self) -> Self:
        parent = self._output.absolute().parent
        self._folder = Path(tempfile.mkdtemp(prefix=f".{self._output.name}.part", dir=parent))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, pixels: "ImageBuffer", *, times: int = 1) -> None:
        """The next frame, `(H, W, 3)` uint8 RGB of the same size as all others, shown so many times."""
        from vidnst.media.images import encode_png
        from vidnst.runs.atomic_files import writing

        assert self._folder is not None
        path = self._folder / f"{len(self._paths):06d}.png"
        with writing(self._folder.parent):  # not to be kept, so nothing waits for the disk
            path.write_bytes(encode_png(pixels))
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
        """Pack the frames and check the result.

        Args:
            like: a clip whose frames' times these frames have; None shows each for 1/rate seconds.
            rate: frames per second.

        Raises:
            OutputError, EncoderError: as `media.encode.encode`.
            CancelledError: `cancelled` said so.
        """
        from vidnst.media.output.encode import encode

        count = len(self._paths)
        clip = drawn_clip(self._output.name, count, self._size, like=like, rate=rate, paths=self._paths)
        on_event(Stage("encoding", 0, count))
        encode(
            self._paths,
            self._output,
            clip=clip,
            start=0,
            end=count,
            settings=self._settings,
            on_progress=lambda done: on_event(Stage("encoding", done, count)),
            cancelled=cancelled,
        )


def drawn_clip(
    name: str,
    count: int,
    size: tuple[int, int],
    *,
    like: ClipInfo | None = None,
    rate: Fraction = Fraction(25),
    paths: Sequence[Path] = (),
) -> ClipInfo:
    """What is told of frames that are drawn, to those who plan, encode and check an output.

    Args:
        count: how many there are.
        size: width and height in pixels.
        like, rate: see `VideoWriter.encode`; of `like` the first `count` frames count.
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


def is_film(output: Path) -> bool:
    """Whether an output's name asks for a film rather than one picture; `.webp`, which may be either, for a film."""
    from vidnst.media.images import IMAGE_SUFFIXES

    return output.suffix.lower() not in IMAGE_SUFFIXES - {".webp"}
