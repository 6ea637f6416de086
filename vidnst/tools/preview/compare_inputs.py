"""What is compared, one column each: clips, pictures, what run folders have rendered, and their source."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from vidnst.errors import ConfigError, SourceError
from vidnst.events import OnEvent, Stage
from vidnst.frames import ClipInfo, Pixels, Shot
from vidnst.runs import holds_run
from vidnst.runs.record import RunRecord, find_record

if TYPE_CHECKING:  # it brings OpenCV
    from vidnst.media.adjust.adjustments import Adjustments


@dataclass(frozen=True, slots=True)
class Column:
    """A clip that is compared with others, under its name."""

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


def columns_of(outputs: Sequence[str | Path], labels: Sequence[str], on_event: OnEvent) -> tuple[Column, ...]:
    """A column for each of some videos, folders of frames, pictures or run folders.

    Args:
        labels: their names; none are as the files are called.

    Raises:
        ConfigError: there are labels, but not one for each.
        SourceError: one of them cannot be read.
        RunError: the record of a run is damaged.
    """
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
    from vidnst.media.input.probe import probe

    record = find_record(path) if holds_run(path) else None
    if record is None:
        return probe(path)
    start, end = _range_of(record)
    kept = record.frames(start, end)
    if kept:
        return probe(kept, fps=record.plan.rate if record.plan else Fraction(25))
    return probe(record.request.output)


def _range_of(record: RunRecord) -> tuple[int, int]:
    """Frames of the source that a run rendered; none where it has not planned anything."""
    return (record.plan.start, record.plan.end) if record.plan else (0, 0)


def source_column(source: str | Path, start: str | None, output: str | Path, total: int, on_event: OnEvent) -> Column:
    """A column with the source, from the first frame that an output shows.

    Args:
        start: that frame; None is as the output's run folder says, else the first.
        output: of a render of the source.
        total: frames that are shown.

    Raises:
        SourceError: it cannot be read, or is too short.
        RunError: the record of a run is damaged.
    """
    from vidnst.config.timecode import parse_position
    from vidnst.media.input.probe import probe

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
    plan = record.plan_of(first, end) if record else None
    if plan is None or plan.adjustments is None:
        return Column("source", clip, first, None, ())
    return Column("source", clip, first, plan.adjustments, plan.shots)


def frames_of(columns: Sequence[Column], indices: Sequence[int]) -> Iterator[list[Pixels]]:
    """Of each moment, counted from the columns' first frames, the frames of all columns; `indices` ascend."""
    with ExitStack() as stack:
        readers = [_reader(column, stack) for column in columns]
        for index in indices:
            yield [reader(index) for reader in readers]


def _reader(column: Column, stack: ExitStack) -> Callable[[int], Pixels]:
    """Gives a column's frames, in ascending order, with what was done to them before they were rendered."""
    from vidnst.media.adjust.adjustments import Adjuster
    from vidnst.media.input.frame_cache import FrameCache
    from vidnst.media.input.frame_reader import FrameReader

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
