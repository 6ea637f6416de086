"""Runs, clips and pictures side by side: in one video, or in one sheet of evenly spread frames."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from vidnst.config import OutputConfig
from vidnst.errors import CancelledError, ConfigError, SourceError
from vidnst.events import OnEvent, RunFinished, Stage, Warned, ignore
from vidnst.film import Film, drawn_clip
from vidnst.frames import ClipInfo, Pixels, Shot
from vidnst.records import RunRecord, find_record
from vidnst.store import holds_run

if TYPE_CHECKING:  # they bring OpenCV
    from vidnst.media.adjust import Adjustments
    from vidnst.media.sheet import Sheet

GAIN = 8.0
_SHEET_ROWS = 4

Cancelled = Callable[[], bool]
Zoom: TypeAlias = tuple[int, int, int, int]
"""x, y, width and height of a part, in pixels of the first of the compared."""


@dataclass(frozen=True, slots=True)
class Column:
    """One of the compared."""

    label: str
    clip: ClipInfo
    first: int = 0
    """The frame of the clip that is shown first."""
    adjustments: "Adjustments | None" = None
    """What was done to its frames before they were rendered."""
    shots: tuple[Shot, ...] = ()
    """Where there are adjustments: the shots that they were found in."""

    @property
    def count(self) -> int:
        """Frames that there are."""
        return self.clip.frame_count - self.first


def compare(
    outputs: Sequence[str | Path],
    *,
    output: str | Path,
    source: str | Path | None = None,
    start: str | None = None,
    labels: Sequence[str] = (),
    difference: bool = False,
    gain: float = GAIN,
    zoom: Zoom | None = None,
    height: int | None = None,
    count: int = _SHEET_ROWS,
    overwrite: bool = False,
    on_event: OnEvent = ignore,
    cancelled: Cancelled | None = None,
) -> Path:
    """Put clips, or one and its source, side by side, frame by frame, each under its name, all of one height.

    Args:
        outputs: videos, animations, folders of frames, pictures, or run folders (their kept frames, else the output
            that they were for). The first one decides the height and the times of frames.
        output: a video, an animation or a folder of frames; or a picture, for a sheet of `count` frames.
        source: what they were rendered from, as the first column.
        start: the source's first frame that they show (a number, `1.5s` or a timecode); None is as the run folder of
            the first one says, else the first.
        labels: words above the columns, instead of file names; without the source and the difference.
        difference: a last column with `gain` times how far the two lie from each other (a single one, from the
            source); black is equal.
        gain: see `difference`.
        zoom: only this part, enlarged by a whole factor so that every pixel is seen.
        height: of the columns in pixels; None is the first one's own.
        count: rows of a sheet, evenly spread over the frames that all have.
        overwrite: replace an output that exists.
        on_event: hears of what happens; that some clip is longer than another is a warning.
        cancelled: asked at every frame whether to stop.

    Returns:
        The output's path.

    Raises:
        ConfigError: fewer than two, a difference of other than two, or a part outside the picture.
        SourceError: one of them cannot be read.
        OutputError: the output cannot be written.
        CancelledError: `cancelled` said so.
    """
    began = time.monotonic()
    path, asked = Path(output), cancelled or (lambda: False)
    if len(outputs) < (2 if source is None else 1):
        raise ConfigError(
            "there is nothing to compare", "name at least two clips, pictures or run folders, or --source"
        )
    columns = _columns(outputs, labels, on_event)
    if difference and len(columns) > 2:
        raise ConfigError(f"a difference is of two, not of {len(columns)}", "name two, or leave it out")
    total = _common(columns, on_event)
    times = columns[0].clip
    layout = Layout(times, zoom=zoom, height=height, gain=gain if difference else None)
    if source is not None:
        columns = (_source_column(source, start, outputs[0], total, on_event), *columns)
    inputs = [file for column in columns for file in column.clip.paths]
    if _is_sheet(path):
        _write_sheet(path, columns, layout, _spread(total, count), inputs, overwrite=overwrite)
    else:
        _write_film(path, columns, layout, times, total, inputs, on_event, asked, overwrite=overwrite)
    on_event(RunFinished(str(path), total, time.monotonic() - began))
    return path


class Layout:
    """What is shown of a frame, and how large.

    Args:
        clip: the first of the compared.
        zoom: the part that is shown; None is all.
        height: in pixels; None is the clip's own.
        gain: of the difference; None shows none.

    Raises:
        ConfigError: the part reaches out of the clip's frames, or the height is not above 0.
    """

    def __init__(
        self, clip: ClipInfo, *, zoom: Zoom | None = None, height: int | None = None, gain: float | None = None
    ) -> None:
        self.gain = gain
        self._height = clip.height if height is None else height
        self._part: tuple[float, float, float, float] | None = None
        if self._height < 1:
            raise ConfigError(f"a height of {height} shows nothing", "give at least 1")
        if zoom is not None:
            x, y, across, down = zoom
            if min(x, y) < 0 or min(across, down) < 1 or x + across > clip.width or y + down > clip.height:
                text = ",".join(map(str, zoom))
                raise ConfigError(f"zoom {text} is no part of {clip.width}x{clip.height} pixels", "give x,y,w,h inside")
            self._part = (x / clip.width, y / clip.height, (x + across) / clip.width, (y + down) / clip.height)
            factor = max(1, self._height // down)
            self._size = (across * factor, down * factor)

    def show(self, pixels: Pixels) -> Pixels:
        """A frame `(H, W, 3)` as it is shown, 8 bits."""
        from vidnst.media.sheet import resized

        height, width = pixels.shape[:2]
        if self._part is None:
            return resized(pixels, max(1, round(width * self._height / height)), self._height)
        left, top, right, bottom = self._part
        rows = slice(round(top * height), max(round(top * height) + 1, round(bottom * height)))
        across = slice(round(left * width), max(round(left * width) + 1, round(right * width)))
        return resized(pixels[rows, across], *self._size)

    def row(self, frames: Sequence[Pixels]) -> list[Pixels]:
        """Frames of one moment as they are shown, with the difference of the last two where that is wanted."""
        shown = [self.show(pixels) for pixels in frames]
        return shown if self.gain is None else [*shown, difference_of(shown[-2], shown[-1], gain=self.gain)]


def difference_of(left: Pixels, right: Pixels, *, gain: float) -> Pixels:
    """`gain` times how far two pictures of 8 bits lie from each other, cut off at 255: black where they are equal."""
    from vidnst.media.sheet import resized

    other = resized(right, left.shape[1], left.shape[0])
    away = np.abs(left.astype(np.float32) - other.astype(np.float32)) * gain
    return np.clip(np.rint(away), 0, 255).astype(np.uint8)


def _columns(outputs: Sequence[str | Path], labels: Sequence[str], on_event: OnEvent) -> tuple[Column, ...]:
    if labels and len(labels) != len(outputs):
        raise ConfigError(f"there are {len(labels)} labels for {len(outputs)} columns", "give one for each, or none")
    on_event(Stage("probing"))
    return tuple(
        Column(label, _clip_of(Path(text))) for label, text in zip(labels or _names(outputs), outputs, strict=True)
    )


def _names(outputs: Sequence[str | Path]) -> list[str]:
    """Names of files and folders, with their folder's where they are alike otherwise."""
    paths = [Path(text).absolute() for text in outputs]
    short = [path.name.removesuffix(".vidnst") for path in paths]
    return [
        name if short.count(name) == 1 else f"{path.parent.name}/{name}"
        for name, path in zip(short, paths, strict=True)
    ]


def _clip_of(path: Path) -> ClipInfo:
    from vidnst.media.probe import probe

    record = find_record(path) if holds_run(path) else None
    if record is None:
        return probe(path)
    start, end = _range_of(record)
    kept = record.frames(start, end)
    if kept:
        return probe(kept, fps=Fraction((record.plan or {}).get("rate", 25)))
    return probe(record.request.output)


def _range_of(record: RunRecord) -> tuple[int, int]:
    """Frames of the source that a run rendered; none where it has not planned anything."""
    found = (record.plan or {}).get("range") or [0, 0]
    return int(found[0]), int(found[1])


def _source_column(source: str | Path, start: str | None, output: str | Path, total: int, on_event: OnEvent) -> Column:
    """The source from the first frame that the first of the outputs shows."""
    from vidnst.media.positions import parse_position
    from vidnst.media.probe import probe

    record = find_record(Path(output))
    on_event(Stage("probing"))
    clip = probe(source, fps=record.request.config.input.fps) if record else probe(source)
    first = parse_position(start, clip) if start is not None else _range_of(record)[0] if record else 0
    if first + total > clip.frame_count:
        raise SourceError(
            f"{clip.source} has {max(0, clip.frame_count - first)} frames from frame {first} on, but {total} are shown",
            "give --start as it was for the render",
        )
    end = first + total
    adjustments = record.adjustments(first, end) if record else None
    shots = (record.shots(first, end) or ()) if record and adjustments else ()
    return Column("source", clip, first, adjustments, tuple(shots))


def _common(columns: Sequence[Column], on_event: OnEvent) -> int:
    total = min(column.count for column in columns)
    if any(column.count != total for column in columns):
        lengths = ", ".join(f"{column.label} has {column.count}" for column in columns)
        on_event(Warned(f"they are of different length ({lengths} frames); the first {total} are shown"))
    return total


def _is_sheet(output: Path) -> bool:
    from vidnst.media.pictures import SUFFIXES

    return output.suffix.lower() in SUFFIXES - {".webp"}


def _spread(total: int, count: int) -> list[int]:
    if count < 1:
        raise ConfigError(f"a sheet of {count} rows shows nothing", "give at least 1")
    count = min(total, count)
    return [(2 * number + 1) * total // (2 * count) for number in range(count)]


def _frames(columns: Sequence[Column], indices: Sequence[int]) -> Iterator[list[Pixels]]:
    """Of each moment the frames of all columns."""
    with ExitStack() as stack:
        readers = [_reader(column, stack) for column in columns]
        for index in indices:
            yield [reader(index) for reader in readers]


def _reader(column: Column, stack: ExitStack) -> Callable[[int], Pixels]:
    """Gives a column's frames, in ascending order, with what was done to them before they were rendered."""
    from vidnst.media.adjust import Adjuster
    from vidnst.media.decode import FrameReader
    from vidnst.media.frame_cache import FrameCache

    clip, first = column.clip, column.first
    if column.adjustments is None:
        reader = stack.enter_context(FrameReader(clip, on_bad_frame="repeat"))
        return lambda index: reader.read(first + index).pixels
    size = column.adjustments.size(clip, None)
    adjuster = Adjuster(column.adjustments, clip, size)
    cache = FrameCache(clip, column.shots, size=size, on_bad_frame="repeat", adjuster=adjuster, frames=4)
    stack.enter_context(closing(cache))
    places = [number for number, shot in enumerate(column.shots) for _ in range(len(shot))]
    return lambda index: cache.get(places[index], first + index)


def _labels(columns: Sequence[Column], layout: Layout) -> list[str]:
    names = [column.label for column in columns]
    return names if layout.gain is None else [*names, f"difference x {layout.gain:g}"]


def _write_sheet(
    output: Path,
    columns: Sequence[Column],
    layout: Layout,
    indices: Sequence[int],
    inputs: Sequence[Path],
    *,
    overwrite: bool,
) -> None:
    from vidnst.media.pictures import write_picture
    from vidnst.media.preflight import check_file
    from vidnst.media.sheet import Tile, table

    check_file(output, overwrite=overwrite, inputs=inputs)
    tiles = [[Tile(pixels) for pixels in layout.row(frames)] for frames in _frames(columns, indices)]
    rows = [f"frame {index}" for index in indices]
    write_picture(output, table(tiles, columns=_labels(columns, layout), rows=rows).pixels)


def _write_film(
    output: Path,
    columns: Sequence[Column],
    layout: Layout,
    times: ClipInfo,
    total: int,
    inputs: Sequence[Path],
    on_event: OnEvent,
    cancelled: Cancelled,
    *,
    overwrite: bool,
) -> None:
    from vidnst.media.preflight import check_output
    from vidnst.media.sheet import beside

    labels, settings = _labels(columns, layout), OutputConfig()

    def drawn(frames: Sequence[Pixels]) -> "Sheet":
        return beside(layout.row(frames), labels)

    first = drawn(next(_frames(columns, [0]))).pixels
    size = (first.shape[1], first.shape[0])
    clip = drawn_clip(output.name, total, size, like=times, paths=inputs)
    check_output(output, settings, clip=clip, overwrite=overwrite, size=size)
    with Film(output, settings) as film:
        for done, frames in enumerate(_frames(columns, range(total)), start=1):
            if cancelled():
                raise CancelledError("stopped while the clips were laid side by side", "give the same command again")
            film.add(drawn(frames).pixels)
            on_event(Stage("comparing", done, total))
        film.encode(like=times, on_event=on_event, cancelled=cancelled)
