"""Runs, clips and pictures side by side: in one video, or in one sheet of evenly spread frames."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from vidnst.config import OutputConfig
from vidnst.errors import ConfigError, OutputError, SourceError
from vidnst.events import OnEvent, RunFinished, Stage, Warned, ignore
from vidnst.film import Film, drawn_clip
from vidnst.frames import ClipInfo, Pixels
from vidnst.records import RunRecord, find_record
from vidnst.store import holds_run

if TYPE_CHECKING:  # it brings OpenCV
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
    """The frame of the clip that stands in the first row."""

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
    """Put two or more clips side by side, frame by frame, each under its name, all of one height.

    Args:
        outputs: videos, animations, folders of frames, pictures, or run folders (their kept frames, else the output
            that they were for). The first one decides the height and the times of frames.
        output: a video, an animation or a folder of frames; or a picture, for a sheet of `count` frames.
        source: what they were rendered from, as the first column.
        start: the source's first frame that they show (a number, `1.5s` or a timecode); None is as the run folder of
            the first one says, else the first.
        labels: words above the columns, instead of file names; without the source and the difference.
        difference: a last column with `gain` times how far the two lie from each other; black is equal.
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
    path, asked = Path(output), cancelled or (lambda: False)
    columns = _columns(outputs, labels, on_event)
    if difference and len(columns) != 2:
        raise ConfigError(f"a difference is of two, not of {len(columns)}", "name two, or leave it out")
    total = _common(columns, on_event)
    layout = Layout(columns[0].clip, zoom=zoom, height=height, gain=gain if difference else None)
    if source is not None:
        columns = (_source_column(source, start, outputs[0], total, on_event), *columns)
    inputs = [file for column in columns for file in column.clip.paths]
    if _is_sheet(path):
        _write_sheet(path, columns, layout, _spread(total, count), inputs, overwrite=overwrite)
    else:
        _write_film(path, columns, layout, total, inputs, on_event, asked, overwrite=overwrite)
    on_event(RunFinished(str(path), total, 0.0))
    return path
