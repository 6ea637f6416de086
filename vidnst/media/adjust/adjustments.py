"""Adjustments of source frames before they are rendered: deflicker and registration.

`find_adjustments` determines them in one pass over every shot, plain JSON stores them, and an `Adjuster` applies them
whenever a frame is read.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vidnst.config import InputConfig
from vidnst.errors import SourceError
from vidnst.frames import ClipInfo, Pixels, Shot
from vidnst.media.adjust import deflicker, registration
from vidnst.media.adjust.alignment import (
    Crop,
    Homography,
    align,
    common_rectangle,
    coverage,
    fill_borders,
    rescale_homography,
)
from vidnst.media.input.frame_reader import FrameReader, fit_size

Edges = Literal["crop", "fill"]

FILL_REACH_FRAMES = 8
"""Frames before and after from which the edges of a registered frame are filled."""

_LEAST_AREA = 0.25
_MOST_GAIN = 1e6


@dataclass(frozen=True, slots=True)
class Adjustment:
    """What is done to one frame."""

    gain: float = 1.0
    """Factor of linear light: see `deflicker.expose`."""
    matrix: tuple[float, ...] | None = None
    """Homography, row by row, from the aligned picture to the frame, in pixels of the source; None moves nothing."""
    registered: bool = True
    """Whether the matrix was found for this very frame, and not taken over from a neighbour."""


@dataclass(frozen=True, slots=True)
class Adjustments:
    """What is done to every frame of a range."""

    start: int
    """The first frame, an index of the whole source."""
    frames: tuple[Adjustment, ...]
    edges: Edges = "crop"
    crop: Crop | None = None
    """The part of the aligned picture that is rendered, in pixels of the source; None is all of it."""

    def __getitem__(self, index: int) -> Adjustment:
        """The adjustment of frame `index` of the source."""
        return self.frames[index - self.start]

    @property
    def moves(self) -> bool:
        """Whether frames are moved, for which they must be read at the source's own size."""
        return any(frame.matrix is not None for frame in self.frames)

    @property
    def unregistered(self) -> tuple[int, ...]:
        """Frames that no movement was found for."""
        return tuple(self.start + number for number, frame in enumerate(self.frames) if not frame.registered)

    def size(self, clip: ClipInfo, longest: int | None) -> tuple[int, int]:
        """Width and height in pixels of the rendered frames, with `longest` as in `fit_size`."""
        width, height = (self.crop.width, self.crop.height) if self.crop else (clip.width, clip.height)
        return fit_size(width, height, longest)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` gives the very same adjustments."""
        crop = self.crop
        return {
            "start": self.start,
            "edges": self.edges,
            "crop": None if crop is None else [crop.x, crop.y, crop.width, crop.height],
            "gains": [frame.gain for frame in self.frames],
            "matrices": [None if frame.matrix is None else list(frame.matrix) for frame in self.frames],
            "unregistered": list(self.unregistered),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Adjustments":
        """Read what `to_json` gave.

        Raises:
            LookupError, TypeError, ValueError: something else.
        """
        start, lost, edges, box = values["start"], set(values["unregistered"]), values["edges"], values["crop"]
        frames = tuple(
            Adjustment(_gain(gain), None if matrix is None else _homography(matrix), start + number not in lost)
            for number, (gain, matrix) in enumerate(zip(values["gains"], values["matrices"], strict=True))
        )
        if edges not in get_args(Edges):
            raise ValueError(f"no edges {edges!r}")
        if box is not None and not (len(box) == 4 and all(type(number) is int for number in box)):
            raise ValueError(f"no crop {box!r}")
        return cls(start, frames, edges, None if box is None else Crop(*box))

    def check(self, clip: ClipInfo, start: int, end: int) -> None:
        """See that these are adjustments of the frames `start <= index < end` of a clip.

        Raises:
            ValueError: they are of other frames, or their crop does not lie in the clip's.
        """
        if self.start != start or len(self.frames) != end - start:
            raise ValueError("its adjustments are not of its frames")
        crop = self.crop
        if crop is not None and not (
            0 <= crop.x < crop.x + crop.width <= clip.width and 0 <= crop.y < crop.y + crop.height <= clip.height
        ):
            raise ValueError(f"{crop} is outside of {clip.width}x{clip.height}")


def _gain(value: object) -> float:
    if not isinstance(value, int | float) or not 0 < value < _MOST_GAIN:
        raise ValueError(f"no gain {value!r}")
    return float(value)


def _homography(values: Sequence[object]) -> tuple[float, ...]:
    numbers = tuple(float(value) for value in values if isinstance(value, int | float))
    if len(numbers) != 9 or len(values) != 9 or not np.isfinite(numbers).all():
        raise ValueError("no homography")
    return numbers


def find_adjustments(
    clip: ClipInfo,
    shots: Sequence[Shot],
    settings: InputConfig,
    *,
    on_progress: Callable[[int], None] | None = None,
) -> Adjustments:
    """Look at every frame of the shots, small, and find what is to be done to it; each shot on its own.

    Args:
        shots: in order, without gaps.
        settings: `deflicker`, `registration` and `registration_edges` say what is wanted.
        on_progress: called after each frame with the number of frames looked at.

    Raises:
        BadFrameError: a frame does not decode, and is not to be repeated.
        SourceError: less than a quarter of the picture is in all registered frames, and they are to be cropped.
    """
    found: list[Adjustment] = []
    for shot in shots:
        found += _study_shot(clip, shot, settings, len(found), on_progress or (lambda done: None))
    crop = _common_crop(clip, found) if settings.crops else None
    return Adjustments(shots[0].start, tuple(found), settings.registration_edges, crop)


def _study_shot(
    clip: ClipInfo, shot: Shot, settings: InputConfig, before: int, on_progress: Callable[[int], None]
) -> list[Adjustment]:
    stops: list[float] = []
    movements: list[Homography | None] = []
    method = settings.registration
    reference = None if method == "none" else registration.prepare_reference(_middle(clip, shot, settings), method)
    for pixels in _small(clip, shot, settings):
        if settings.deflicker is not None:
            stops.append(deflicker.brightness(pixels))
        if reference is not None and method != "none":
            at_middle = shot.start + len(movements) == _middle_index(shot)
            near = movements[-1] if movements else None
            small = registration.to_grey(pixels)
            movements.append(
                np.eye(3) if at_middle else registration.estimate_homography(reference, small, method, near)
            )
        on_progress(before + max(len(stops), len(movements)))
    gains = (
        deflicker.exposure_gains(stops, settings.deflicker) if settings.deflicker is not None else (1.0,) * len(shot)
    )
    if reference is None:
        return [Adjustment(gain) for gain in gains]
    sizes = (_study_size(clip, settings), (clip.width, clip.height))
    full = [None if movement is None else rescale_homography(movement, *sizes) for movement in movements]
    return [
        Adjustment(gain, _numbers(_nearest(full, number)), registered=full[number] is not None)
        for number, gain in enumerate(gains)
    ]


def _study_size(clip: ClipInfo, settings: InputConfig) -> tuple[int, int]:
    longest = deflicker.LONGEST_SIDE if settings.registration == "none" else registration.LONGEST_SIDE
    return fit_size(clip.width, clip.height, longest)


def _small(clip: ClipInfo, shot: Shot, settings: InputConfig) -> Iterator[Pixels]:
    size = _study_size(clip, settings)
    with FrameReader(clip, start=shot.start, end=shot.end, size=size, on_bad_frame=settings.on_bad_frame) as reader:
        for frame in reader:
            yield frame.pixels


def _middle_index(shot: Shot) -> int:
    """The reference of a shot: a hand wanders, so the frame in the middle has the others nearest to it."""
    return shot.start + len(shot) // 2


def _middle(clip: ClipInfo, shot: Shot, settings: InputConfig) -> registration.GreyImage:
    # Read ahead of the others: keeping the whole shot until its middle comes would not be bounded.
    with FrameReader(clip, size=_study_size(clip, settings), on_bad_frame=settings.on_bad_frame) as reader:
        return registration.to_grey(reader.read(_middle_index(shot)).pixels)


def _nearest(movements: Sequence[Homography | None], number: int) -> Homography:
    """A frame's own movement, or that of the frame nearest in time that has one: the reference has one always."""
    known = ((abs(other - number), movement) for other, movement in enumerate(movements) if movement is not None)
    return min(known, key=lambda pair: pair[0])[1]


def _numbers(matrix: Homography) -> tuple[float, ...]:
    return tuple(float(value) for value in matrix.flat)


def _as_matrix(adjustment: Adjustment) -> Homography:
    return np.eye(3) if adjustment.matrix is None else np.array(adjustment.matrix, np.float64).reshape(3, 3)


def _common_crop(clip: ClipInfo, frames: Sequence[Adjustment]) -> Crop:
    crop = common_rectangle([_as_matrix(frame) for frame in frames], clip.width, clip.height)
    if crop is None or crop.width * crop.height < _LEAST_AREA * clip.width * clip.height:
        left = "nothing" if crop is None else f"{crop.width}x{crop.height} pixels"
        raise SourceError(
            f"the registered frames of {clip.source} have {left} of {clip.width}x{clip.height} in common",
            "fill the edges with --register-edges fill, render fewer frames, or leave them with --register none",
        )
    return crop


class Adjuster:
    """Adjusts frames as they are read.

    Args:
        adjustments: what `find_adjustments` found.
        clip: the source.
        size: width and height in pixels of the frames that are rendered.
    """

    def __init__(self, adjustments: Adjustments, clip: ClipInfo, size: tuple[int, int]) -> None:
        self._adjustments = adjustments
        self._source_size = (clip.width, clip.height)
        self._crop = adjustments.crop or Crop(0, 0, clip.width, clip.height)
        self._size = size
        fills = adjustments.moves and adjustments.edges == "fill"
        self.reach = FILL_REACH_FRAMES if fills else 0
        """Frames before and after the one that is adjusted that may be asked for."""
        self.read_size: tuple[int, int] | None = None if adjustments.moves else size
        """Width and height at which frames are to be read; None is the source's."""

    def __call__(self, index: int, shot: Shot, read: Callable[[int], Pixels]) -> Pixels:
        """Frame `index` as it is rendered: `(height, width, 3)`, of the source's type.

        Args:
            index: of the whole source.
            shot: that it lies in; no frame outside it is asked for.
            read: gives the pixels of a frame of the shot at `read_size`.
        """
        if not self._adjustments.moves:
            return deflicker.apply_exposure(read(index), self._adjustments[index].gain)
        if not self.reach:
            return self._aligned(index, read)
        order = (index, *self._neighbours(index, shot))
        return fill_borders((self._aligned(other, read), self._covered(other)) for other in order)

    def _aligned(self, index: int, read: Callable[[int], Pixels]) -> Pixels:
        adjustment = self._adjustments[index]
        moved = align(read(index), _as_matrix(adjustment), self._crop, self._size)
        return deflicker.apply_exposure(moved, adjustment.gain)

    def _covered(self, index: int) -> NDArray[np.bool_]:
        return coverage(_as_matrix(self._adjustments[index]), self._crop, self._size, self._source_size)

    def _neighbours(self, index: int, shot: Shot) -> Iterator[int]:
        """Registered frames of the shot, the nearest in time first."""
        for away in range(1, self.reach + 1):
            for other in (index - away, index + away):
                if shot.start <= other < shot.end and self._adjustments[other].registered:
                    yield other
