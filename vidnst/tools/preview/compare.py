"""Runs, clips and pictures side by side: in one video, or in one sheet of evenly spread frames."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vidnst.config import OutputConfig
from vidnst.errors import CancelledError, ConfigError
from vidnst.events import Cancelled, OnEvent, RunFinished, Stage, Warned, ignore
from vidnst.frames import ClipInfo, Pixels
from vidnst.tools.preview.compare_inputs import Column, columns_of, frames_of, source_column
from vidnst.tools.preview.compare_layout import Layout, Zoom
from vidnst.tools.preview.video_writer import VideoWriter, drawn_clip, is_film

if TYPE_CHECKING:  # it brings OpenCV
    from vidnst.media.draw.contact_sheet import ContactSheet

GAIN = 8.0
_SHEET_ROWS = 4


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
    columns = columns_of(outputs, labels, on_event)
    if difference and len(columns) > 2:
        raise ConfigError(f"a difference is of two, not of {len(columns)}", "name two, or leave it out")
    total = _common(columns, on_event)
    times = columns[0].clip
    layout = Layout(times, zoom=zoom, height=height, gain=gain if difference else None)
    if source is not None:
        columns = (source_column(source, start, outputs[0], total, on_event), *columns)
    inputs = [file for column in columns for file in column.clip.paths]
    if not is_film(path):
        _write_sheet(path, columns, layout, _spread(total, count), inputs, overwrite=overwrite)
    else:
        _write_film(path, columns, layout, times, total, inputs, on_event, asked, overwrite=overwrite)
    on_event(RunFinished(str(path), total, time.monotonic() - began))
    return path


def _common(columns: Sequence[Column], on_event: OnEvent) -> int:
    total = min(column.count for column in columns)
    if any(column.count != total for column in columns):
        lengths = ", ".join(f"{column.label} has {column.count}" for column in columns)
        on_event(Warned(f"they are of different length ({lengths} frames); the first {total} are shown"))
    return total


def _spread(total: int, count: int) -> list[int]:
    if count < 1:
        raise ConfigError(f"a sheet of {count} rows shows nothing", "give at least 1")
    count = min(total, count)
    return [(2 * number + 1) * total // (2 * count) for number in range(count)]


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
    from vidnst.media.draw.contact_sheet import SheetTile, draw_table
    from vidnst.media.images import write_image
    from vidnst.media.output.preflight import check_file

    check_file(output, overwrite=overwrite, inputs=inputs)
    tiles = [[SheetTile(pixels) for pixels in layout.row(frames)] for frames in frames_of(columns, indices)]
    rows = [f"frame {index}" for index in indices]
    write_image(output, draw_table(tiles, columns=_labels(columns, layout), rows=rows).pixels)


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
    from vidnst.media.draw.contact_sheet import join_columns
    from vidnst.media.output.preflight import check_output

    labels, settings = _labels(columns, layout), OutputConfig()

    def drawn(frames: Sequence[Pixels]) -> "ContactSheet":
        return join_columns(layout.row(frames), labels)

    first = drawn(next(frames_of(columns, [0]))).pixels
    size = (first.shape[1], first.shape[0])
    clip = drawn_clip(output.name, total, size, like=times, paths=inputs)
    check_output(output, settings, clip=clip, overwrite=overwrite, size=size)
    with VideoWriter(output, settings) as film:
        for done, frames in enumerate(frames_of(columns, range(total)), start=1):
            if cancelled():
                raise CancelledError("stopped while the clips were laid side by side", "give the same command again")
            film.add(drawn(frames).pixels)
            on_event(Stage("comparing", done, total))
        film.encode(like=times, on_event=on_event, cancelled=cancelled)
