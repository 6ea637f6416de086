"""Puts clips, pictures and runs side by side: in a video, or on a sheet of evenly spread frames."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

import numpy as np

from vidnst.config import OutputConfig
from vidnst.config.timecode import parse_position
from vidnst.errors import CancelledError, ConfigError, SourceError
from vidnst.events import Cancelled, OnEvent, RunFinished, Stage, Warned, ignore
from vidnst.frames import ClipInfo, Pixels, Shot, shot_number, spread_over
from vidnst.media.adjust.adjustments import Adjuster, Adjustments
from vidnst.media.draw.contact_sheet import ContactSheet, SheetTile, draw_table, join_columns, resize_image
from vidnst.media.images import write_image
from vidnst.media.input.frame_cache import FrameCache
from vidnst.media.input.frame_reader import FrameReader
from vidnst.media.input.probe import probe, probe_input
from vidnst.media.output.preflight import check_file, check_output
from vidnst.media.scene_light import written_transform
from vidnst.runs import holds_run
from vidnst.runs.record import RunRecord, find_record
from vidnst.runs.request_inputs import files_of
from vidnst.tools.preview.video_writer import VideoWriter, drawn_clip, is_video_output

DEFAULT_GAIN = 8.0
_SHEET_ROWS = 4

Zoom: TypeAlias = tuple[int, int, int, int]
"""x, y, width and height of a part, in pixels of the first compared clip."""


def compare(
    outputs: Sequence[str | Path],
    *,
    output: str | Path,
    source: str | Path | None = None,
    start: str | None = None,
    labels: Sequence[str] = (),
    difference: bool = False,
    gain: float = DEFAULT_GAIN,
    zoom: Zoom | None = None,
    height: int | None = None,
    count: int = _SHEET_ROWS,
    overwrite: bool = False,
    on_event: OnEvent = ignore,
    cancelled: Cancelled | None = None,
) -> Path:
    """Put two or more clips, or one and its source, side by side, frame by frame, labelled and all of one height.

    Args:
        outputs: videos, animations, folders of frames, pictures, or run folders (their kept frames, else the output
            that they were for). The first one decides the height and the times of frames.
        output: a video, an animation or a folder of frames; or a picture, for a sheet of `count` frames.
        source: what they were rendered from, as the first column.
        start: the source's first frame that they show (a number, `1.5s` or a timecode); None takes it from the run
            folder of the first one, else the source's first frame.
        labels: titles of the columns instead of file names; the source and the difference have titles of their own.
        difference: add a last column with the absolute difference of two clips, or of one and the source, times
            `gain`; black is equal.
        gain: see `difference`.
        zoom: show only this part, enlarged by a whole factor so that every pixel is seen.
        height: of the columns in pixels; None takes the first one's own.
        count: rows of a sheet, evenly spread over the frames that all clips have.
        overwrite: replace an output that exists.
        on_event: receives progress and warnings, for example that clips differ in length.
        cancelled: asked at every frame whether to stop.

    Returns:
        The output's path.

    Raises:
        ConfigError: fewer than two clips, a difference of other than two, or a zoom outside the picture.
        SourceError: one of them cannot be read.
        OutputError: the output cannot be written.
        CancelledError: `cancelled` returned True.
    """
    began = time.monotonic()
    path = Path(output)
    if len(outputs) < (2 if source is None else 1):
        raise ConfigError(
            "there is nothing to compare", "name at least two clips, pictures or run folders, or --source"
        )
    columns = _open_columns(outputs, labels, on_event)
    if difference and len(columns) > 2:
        raise ConfigError(f"a difference is of two, not of {len(columns)}", "name two, or leave it out")
    total = _common_length(columns, on_event)
    times = columns[0].clip
    layout = ColumnLayout(times, zoom=zoom, height=height, gain=gain if difference else None)
    if source is not None:
        columns = (_source_column(source, start, outputs[0], total, on_event), *columns)
    named = [file for text in (*outputs, *([] if source is None else [source])) for file in files_of(text)]
    inputs = [*named, *(file for column in columns for file in column.clip.paths)]
    if is_video_output(path):
        settings = OutputConfig()
        first_row = _draw_row(columns, layout, next(_read_rows(columns, [0]))).pixels
        size = (first_row.shape[1], first_row.shape[0])
        clip = drawn_clip(path.name, total, size, like=times, paths=inputs)
        check_output(path, settings, clip=clip, overwrite=overwrite, size=size)
        with VideoWriter(path, settings) as video:
            _add_rows(video, columns, layout, total, on_event, cancelled)
            video.encode(like=times, on_event=on_event, cancelled=cancelled)
    else:
        if count < 1:
            raise ConfigError(f"a sheet of {count} rows shows nothing", "give at least 1")
        check_file(path, overwrite=overwrite, inputs=inputs)
        write_image(path, _draw_sheet(columns, layout, spread_over(0, total, count)).pixels)
    on_event(RunFinished(str(path), total, time.monotonic() - began))
    return path


@dataclass(frozen=True, slots=True)
class ComparedClip:
    """A clip that fills one column, under its label."""

    label: str
    clip: ClipInfo
    first: int = 0
    """The frame of the clip that is shown first."""
    adjustments: Adjustments | None = None
    """Applied to its frames before they were rendered."""
    shots: tuple[Shot, ...] = ()
    """The shots that the adjustments were computed for."""

    @property
    def count(self) -> int:
        """Number of frames from the first shown one on."""
        return self.clip.frame_count - self.first


def _open_columns(outputs: Sequence[str | Path], labels: Sequence[str], on_event: OnEvent) -> tuple[ComparedClip, ...]:
    if labels and len(labels) != len(outputs):
        raise ConfigError(f"there are {len(labels)} labels for {len(outputs)} columns", "give one for each, or none")
    on_event(Stage("probing"))
    titles = labels or _short_names(outputs)
    return tuple(ComparedClip(title, _open_clip(Path(text))) for title, text in zip(titles, outputs, strict=True))


def _short_names(outputs: Sequence[str | Path]) -> list[str]:
    """Names of files and folders, preceded by their folder's name where two would be equal."""
    paths = [Path(text).absolute() for text in outputs]
    short = [path.name.removesuffix(".vidnst") for path in paths]
    return [
        name if short.count(name) == 1 else f"{path.parent.name}/{name}"
        for name, path in zip(short, paths, strict=True)
    ]


def _open_clip(path: Path) -> ClipInfo:
    record = find_record(path) if holds_run(path) else None
    if record is None:
        return probe(path)
    kept_frames = record.frames(*_rendered_range(record))
    if kept_frames:
        return probe(kept_frames, fps=record.plan.rate if record.plan else Fraction(25))
    return probe(record.output_source(), transform=written_transform(record.request.config.input.transform))


def _rendered_range(record: RunRecord) -> tuple[int, int]:
    """Frames of the source that a run rendered; an empty range if it has planned nothing."""
    return (record.plan.start, record.plan.end) if record.plan else (0, 0)


def _source_column(
    source: str | Path, start: str | None, output: str | Path, total: int, on_event: OnEvent
) -> ComparedClip:
    """Open the source, from the first frame that an output shows.

    Args:
        start: that frame; None takes it from the output's run folder, else the first.
        output: of a render of the source.
        total: number of frames that are shown.

    Raises:
        SourceError: it cannot be read, or is too short.
        RunError: the record of a run is damaged.
    """
    record = find_record(Path(output))
    on_event(Stage("probing"))
    clip = probe_input(source, record.request.config.input) if record else probe(source)
    first = parse_position(start, clip) if start is not None else _rendered_range(record)[0] if record else 0
    if first + total > clip.frame_count:
        raise SourceError(
            f"{clip.source} has {max(0, clip.frame_count - first)} frames from frame {first} on, but {total} are shown",
            "give --start as it was for the render",
        )
    end = first + total
    plan = record.plan_of(first, end) if record else None
    if plan is None or plan.adjustments is None:
        return ComparedClip("source", clip, first, None, ())
    return ComparedClip("source", clip, first, plan.adjustments, plan.shots)


def _common_length(columns: Sequence[ComparedClip], on_event: OnEvent) -> int:
    total = min(column.count for column in columns)
    if any(column.count != total for column in columns):
        lengths = ", ".join(f"{column.label} has {column.count}" for column in columns)
        on_event(Warned(f"they are of different length ({lengths} frames); the first {total} are shown"))
    return total


def _read_rows(columns: Sequence[ComparedClip], indices: Sequence[int]) -> Iterator[list[Pixels]]:
    """Read the frames of all columns at ascending indices, which count from each column's first frame."""
    with ExitStack() as stack:
        readers = [_open_reader(column, stack) for column in columns]
        for index in indices:
            yield [reader(index) for reader in readers]


def _open_reader(column: ComparedClip, stack: ExitStack) -> Callable[[int], Pixels]:
    """Open a clip whose frames are read in ascending order, adjusted as they were before they were rendered."""
    clip, first = column.clip, column.first
    if column.adjustments is None:
        reader = stack.enter_context(FrameReader(clip, on_bad_frame="repeat"))
        return lambda index: reader.read(first + index).pixels
    size = column.adjustments.size(clip, None)
    adjuster = Adjuster(column.adjustments, clip, size)
    cache = FrameCache(clip, column.shots, size=size, on_bad_frame="repeat", adjuster=adjuster, frames=4)
    stack.enter_context(closing(cache))
    return lambda index: cache.get(shot_number(column.shots, first + index), first + index)


class ColumnLayout:
    """Crops and scales frames for the columns, and computes the difference of two.

    Args:
        clip: the first compared clip.
        zoom: the part that is shown; None shows all.
        height: in pixels; None takes the clip's own.
        gain: factor of the difference; None shows no difference.

    Raises:
        ConfigError: the zoom reaches out of the clip's frames, or the height is not above 0.
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
            x, y, part_width, part_height = zoom
            right, bottom = x + part_width, y + part_height
            if min(x, y) < 0 or min(part_width, part_height) < 1 or right > clip.width or bottom > clip.height:
                text = ",".join(map(str, zoom))
                raise ConfigError(f"zoom {text} is no part of {clip.width}x{clip.height} pixels", "give x,y,w,h inside")
            # As shares, so that clips of other sizes show the same part.
            self._part = (x / clip.width, y / clip.height, right / clip.width, bottom / clip.height)
            factor = max(1, self._height // part_height)
            self._size = (part_width * factor, part_height * factor)

    def scale(self, pixels: Pixels) -> Pixels:
        """Crop and scale a frame `(H, W, 3)`; the result has 8 bits."""
        height, width = pixels.shape[:2]
        if self._part is None:
            return resize_image(pixels, max(1, round(width * self._height / height)), self._height)
        left, top, right, bottom = self._part
        rows = slice(round(top * height), max(round(top * height) + 1, round(bottom * height)))
        columns = slice(round(left * width), max(round(left * width) + 1, round(right * width)))
        return resize_image(pixels[rows, columns], *self._size)

    def row(self, frames: Sequence[Pixels]) -> list[Pixels]:
        """Scale the frames of one moment, and append the difference of the last two if there is a gain."""
        scaled = [self.scale(pixels) for pixels in frames]
        return scaled if self.gain is None else [*scaled, absolute_difference(scaled[-2], scaled[-1], gain=self.gain)]

    def titles(self, columns: Sequence[ComparedClip]) -> list[str]:
        """The columns' labels, and one for the difference if there is a gain."""
        labels = [column.label for column in columns]
        return labels if self.gain is None else [*labels, f"difference x {self.gain:g}"]


def absolute_difference(left: Pixels, right: Pixels, *, gain: float) -> Pixels:
    """Compute the absolute difference of two 8-bit pictures times `gain`, clipped at 255."""
    other = resize_image(right, left.shape[1], left.shape[0])
    difference = np.abs(left.astype(np.float32) - other.astype(np.float32)) * gain
    return np.clip(np.rint(difference), 0, 255).astype(np.uint8)


def _draw_row(columns: Sequence[ComparedClip], layout: ColumnLayout, frames: Sequence[Pixels]) -> ContactSheet:
    return join_columns(layout.row(frames), layout.titles(columns))


def _draw_sheet(columns: Sequence[ComparedClip], layout: ColumnLayout, indices: Sequence[int]) -> ContactSheet:
    tiles = [[SheetTile(pixels) for pixels in layout.row(frames)] for frames in _read_rows(columns, indices)]
    return draw_table(tiles, columns=layout.titles(columns), rows=[f"frame {index}" for index in indices])


def _add_rows(
    video: VideoWriter,
    columns: Sequence[ComparedClip],
    layout: ColumnLayout,
    total: int,
    on_event: OnEvent,
    cancelled: Cancelled | None,
) -> None:
    for done, frames in enumerate(_read_rows(columns, range(total)), start=1):
        if cancelled is not None and cancelled():
            raise CancelledError("stopped while the clips were laid side by side", "give the same command again")
        video.add(_draw_row(columns, layout, frames).pixels)
        on_event(Stage("comparing", done, total))
