"""The plan of a run, as `plan.json` keeps it for later sessions."""

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, ValidationError, model_validator

from vidnst.errors import RunError
from vidnst.frames import ClipInfo, Shot
from vidnst.media.input.frame_numbers import NumberPattern
from vidnst.media.output.fates import FateRow
from vidnst.runs.layout import RunLayout
from vidnst.runs.safe_files import read_file

_MAX_BYTES = 1 << 30
_MAX_FRAMES = 1 << 31
_MAX_SIDE_PX = 1 << 20
MAX_THREADS = 1024

T = TypeVar("T")


def _parser(parse: Callable[[Any], T]) -> PlainValidator:
    """A validator of pydantic from a function that fails in any of the ways in which code fails on wrong values."""

    def validate(value: object) -> T:
        try:
            return parse(value)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise ValueError(f"{error!r:.200}") from error

    return PlainValidator(validate)


def _shot(value: object) -> Shot:
    match value:
        case [int(start), int(end)] | Shot(start, end):
            return Shot(start, end)
    raise ValueError("a shot is a pair of frames")


def _positive(value: Any) -> Fraction:
    if (rate := Fraction(value)) <= 0:
        raise ValueError("it is not above 0")
    return rate


def _adjustments(value: Any) -> "Adjustments":
    from vidnst.media.adjust.adjustments import Adjustments

    return Adjustments.from_json(value)


def _colours(value: Any) -> "ColourSample":
    from vidnst.media.effects.colour_transfer import ColourSample

    return ColourSample.from_json(value)


def _daylight(value: Any) -> "Daylight":
    from vidnst.media.adjust.daylight import Daylight

    return Daylight.from_json(value)


if TYPE_CHECKING:  # these bring OpenCV and scikit-image, which few plans need
    from vidnst.media.adjust.adjustments import Adjustments
    from vidnst.media.adjust.daylight import Daylight
    from vidnst.media.effects.colour_transfer import ColourSample
else:
    Adjustments = Annotated[Any, _parser(_adjustments), PlainSerializer(lambda value: value.to_json())]
    Daylight = Annotated[Any, _parser(_daylight), PlainSerializer(lambda value: value.to_json())]
    ColourSample = Annotated[Any, _parser(_colours), PlainSerializer(lambda value: value.to_json())]

_Shot = Annotated[Shot, _parser(_shot), PlainSerializer(lambda shot: [shot.start, shot.end])]
_Rate = Annotated[Fraction, _parser(_positive), PlainSerializer(str)]


class RunPlan(BaseModel):
    """The contents of `plan.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    start: int = Field(ge=0)
    """The first frame of the range, an index of the whole source."""
    end: int = Field(lt=_MAX_FRAMES)
    """The frame after the last one."""
    width: int = Field(gt=0, lt=_MAX_SIDE_PX)
    """Pixels across of rendered frames."""
    height: int = Field(gt=0, lt=_MAX_SIDE_PX)
    rate: _Rate
    """Frames per second of the source."""
    schedule: str
    """Kind of the schedule, as the configuration has it."""
    shots: tuple[_Shot, ...]
    """The shots of the range, in order, without gaps."""
    fates: tuple[FateRow, ...] = ()
    """The fate of each thing that the source holds, for the report."""
    threads: int | None = Field(default=None, gt=0, le=MAX_THREADS)
    """Threads of each CPU worker: other numbers round sums differently."""
    training_threads: int | None = Field(default=None, gt=0, le=MAX_THREADS)
    """Threads that train the clip's network on a CPU: as many as there are cores, but in a batch those of a worker."""
    adjustments: Adjustments | None = None
    """The adjustments of the source's frames before they are rendered."""
    daylight: Daylight | None = None
    """The light of the day, where it is taken out of the frames that are painted."""
    colours: ColourSample | None = None
    """The source's colours, where style images are given them."""

    numbers: tuple[int, ...] | None = None
    """Numbers in the names of the output's files, where it is a sequence of image files."""

    @model_validator(mode="after")
    def _check_cover(self) -> Self:
        edges = [(self.start, self.start), *((shot.start, shot.end) for shot in self.shots), (self.end, self.end)]
        if not self.shots or any(one[1] != two[0] for one, two in pairwise(edges)):
            raise ValueError("its shots do not cover its range")
        adjustments = self.adjustments
        if adjustments and (adjustments.start, len(adjustments.frames)) != (self.start, self.end - self.start):
            raise ValueError("its adjustments are not of its frames")
        if self.daylight and [light.start for light in self.daylight.shots] != [shot.start for shot in self.shots]:
            raise ValueError("its daylight is not of its shots")
        if self.numbers is not None and (len(self.numbers) != self.end - self.start or min(self.numbers) < 0):
            raise ValueError("its numbers are not of its frames")
        return self

    def output_files(self, output: Path) -> tuple[Path, ...] | None:
        """Return the files of an output, in order; None if it is not a sequence of image files."""
        pattern = NumberPattern.parse(output) if self.numbers is not None else None
        return tuple(map(pattern.path, self.numbers or ())) if pattern else None

    @classmethod
    def read(cls, folder: Path) -> "RunPlan | None":
        """Read what a run planned, without its lock; None where it has planned nothing.

        Raises:
            RunError: the file is damaged.
        """
        path = RunLayout(folder).plan
        try:
            return cls.model_validate_json(read_file(path, max_bytes=_MAX_BYTES))
        except FileNotFoundError:
            return None
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise damaged_plan(folder, f"{where}: {first['msg']}" if where else first["msg"]) from error
        except (OSError, ValueError) as error:
            raise damaged_plan(folder, str(error)) from error

    def check(self, folder: Path, clip: ClipInfo, start: int, end: int) -> None:
        """Make sure that this is a plan of the frames `start <= index < end` of a clip.

        Raises:
            RunError: it is of other frames; names the run folder.
        """
        if (self.start, self.end) != (start, end):
            raise damaged_plan(folder, f"it is of frames {self.start} to {self.end - 1}, not {start} to {end - 1}")
        if self.adjustments is not None:
            try:
                self.adjustments.check(clip, start, end)
            except ValueError as error:
                raise damaged_plan(folder, str(error)) from error


def damaged_plan(folder: Path, reason: str) -> RunError:
    """The error for a `plan.json` that cannot be used."""
    return RunError(
        f"{RunLayout(folder).plan} is damaged: {reason}", "start afresh with --restart, or move the run folder away"
    )
