"""Adjustments of source frames before they are rendered: deflicker and registration.

`find_adjustments` determines them in one pass over every shot, plain JSON stores them, and an `Adjuster` applies them
whenever a frame is read.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
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
"""Number of frames on either side from which the borders of a registered frame are filled."""

_MIN_COMMON_AREA = 0.25
_MAX_GAIN = 1e6


@dataclass(frozen=True, slots=True)
class Adjustment:
    """The adjustment of one frame."""

    gain: float = 1.0
    """Exposure gain in linear light: see `deflicker.apply_exposure`."""
    matrix: tuple[float, ...] | None = None
    """Homography, row by row, from the aligned image to the frame, in source pixels; None is the identity."""
    registered: bool = True
    """True if the matrix was estimated for this frame, and not copied from a neighbour."""


@dataclass(frozen=True, slots=True)
class Adjustments:
    """The adjustments of all frames of a range."""

    start: int
    """Index of the first frame in the source."""
    frames: tuple[Adjustment, ...]
    edges: Edges = "crop"
    crop: Crop | None = None
    """Part of the aligned image that is rendered, in source pixels; None is all of it."""

    def __getitem__(self, index: int) -> Adjustment:
        """Return the adjustment of frame `index` of the source."""
        return self.frames[index - self.start]

    @property
    def moves(self) -> bool:
        """True if frames are warped, for which they must be read at the source's size."""
        return any(frame.matrix is not None for frame in self.frames)

    @property
    def unregistered(self) -> tuple[int, ...]:
        """Indices of the frames that could not be registered."""
        return tuple(self.start + number for number, frame in enumerate(self.frames) if not frame.registered)

    def without_gains(self) -> "Adjustments":
        """Return adjustments that move frames alike and leave their brightness."""
        return replace(self, frames=tuple(replace(frame, gain=1.0) for frame in self.frames))

    def size(self, clip: ClipInfo, longest_side: int | None) -> tuple[int, int]:
        """Return width and height in pixels of the rendered frames, with `longest_side` as in `fit_size`."""
        width, height = (self.crop.width, self.crop.height) if self.crop else (clip.width, clip.height)
        return fit_size(width, height, longest_side)

    def to_json(self) -> dict[str, Any]:
        """Convert to JSON values that `from_json` restores exactly."""
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
        """Restore from `to_json`; raises LookupError, TypeError or ValueError for other values."""
        start, unregistered, edges, box = values["start"], set(values["unregistered"]), values["edges"], values["crop"]
        frames = tuple(
            Adjustment(_gain(gain), None if matrix is None else _homography(matrix), start + number not in unregistered)
            for number, (gain, matrix) in enumerate(zip(values["gains"], values["matrices"], strict=True))
        )
        if edges not in get_args(Edges):
            raise ValueError(f"invalid edges {edges!r}")
        if box is not None and not (len(box) == 4 and all(type(number) is int for number in box)):
            raise ValueError(f"invalid crop {box!r}")
        return cls(start, frames, edges, None if box is None else Crop(*box))

    def check(self, clip: ClipInfo, start: int, end: int) -> None:
        """Raise ValueError unless these are adjustments of the frames `start <= index < end` of a clip."""
        if self.start != start or len(self.frames) != end - start:
            raise ValueError("the adjustments are for other frames")
        crop = self.crop
        if crop is not None and not (
            0 <= crop.x < crop.x + crop.width <= clip.width and 0 <= crop.y < crop.y + crop.height <= clip.height
        ):
            raise ValueError(f"{crop} is outside of {clip.width}x{clip.height}")


def _gain(value: object) -> float:
    if not isinstance(value, int | float) or not 0 < value < _MAX_GAIN:
        raise ValueError(f"invalid gain {value!r}")
    return float(value)


def _homography(values: Sequence[object]) -> tuple[float, ...]:
    numbers = tuple(float(value) for value in values if isinstance(value, int | float))
    if len(numbers) != 9 or len(values) != 9 or not np.isfinite(numbers).all():
        raise ValueError("invalid homography")
    return numbers


def find_adjustments(
    clip: ClipInfo,
    shots: Sequence[Shot],
    settings: InputConfig,
    *,
    on_progress: Callable[[int], None] | None = None,
) -> Adjustments:
    """Determine the adjustments of all frames of the shots at a reduced size, each shot on its own.

    Args:
        shots: in order, without gaps.
        settings: `deflicker`, `registration` and `registration_edges` choose the adjustments.
        on_progress: called after each frame with the number of analysed frames.

    Raises:
        BadFrameError: a frame does not decode, and must not be repeated.
        SourceError: the registered frames are to be cropped, but share less than a quarter of the image.
    """
    found: list[Adjustment] = []
    for shot in shots:
        found += _analyse_shot(clip, shot, settings, len(found), on_progress or (lambda done: None))
    crop = _common_crop(clip, found) if settings.crops else None
    return Adjustments(shots[0].start, tuple(found), settings.registration_edges, crop)


def _analyse_shot(
    clip: ClipInfo, shot: Shot, settings: InputConfig, before: int, on_progress: Callable[[int], None]
) -> list[Adjustment]:
    stops: list[float] = []
    homographies: list[Homography | None] = []
    method, window = settings.registration, settings.deflicker
    longest_side = deflicker.LONGEST_SIDE if method == "none" else registration.LONGEST_SIDE
    size = fit_size(clip.width, clip.height, longest_side)
    read = partial(FrameReader, clip, size=size, on_bad_frame=settings.on_bad_frame)
    reference, reference_index = None, shot.start + len(shot) // 2  # a hand drifts: the middle is nearest to all others
    if method != "none":
        # Read before the others: buffering the shot up to its middle would need unbounded memory.
        with read() as reader:
            reference = registration.prepare_reference(
                registration.to_grey(reader.read(reference_index).pixels), method
            )
    with read(start=shot.start, end=shot.end) as reader:
        for frame in reader:
            if window is not None:
                stops.append(deflicker.brightness(frame.pixels))
            if reference is not None and method != "none":
                previous, small = homographies[-1] if homographies else None, registration.to_grey(frame.pixels)
                is_reference = frame.index == reference_index
                homographies.append(
                    np.eye(3) if is_reference else registration.estimate_homography(reference, small, method, previous)
                )
            on_progress(before + max(len(stops), len(homographies)))
    gains = (1.0,) * len(shot) if window is None else deflicker.exposure_gains(stops, window)
    if reference is None:
        return [Adjustment(gain) for gain in gains]
    full = [None if one is None else rescale_homography(one, size, (clip.width, clip.height)) for one in homographies]
    return [
        Adjustment(gain, tuple(map(float, _nearest(full, number).flat)), registered=full[number] is not None)
        for number, gain in enumerate(gains)
    ]


def _nearest(homographies: Sequence[Homography | None], number: int) -> Homography:
    """Return a frame's own homography, or that of the nearest frame that has one; the reference always has."""
    known = (
        (abs(other - number), homography) for other, homography in enumerate(homographies) if homography is not None
    )
    return min(known, key=lambda pair: pair[0])[1]


def _to_matrix(adjustment: Adjustment) -> Homography:
    return np.eye(3) if adjustment.matrix is None else np.array(adjustment.matrix, np.float64).reshape(3, 3)


def _common_crop(clip: ClipInfo, frames: Sequence[Adjustment]) -> Crop:
    crop = common_rectangle([_to_matrix(frame) for frame in frames], clip.width, clip.height)
    if crop is None or crop.width * crop.height < _MIN_COMMON_AREA * clip.width * clip.height:
        left = "nothing" if crop is None else f"{crop.width}x{crop.height} pixels"
        raise SourceError(
            f"the registered frames of {clip.source} have {left} of {clip.width}x{clip.height} in common",
            "fill the edges with --register-edges fill, render fewer frames, or leave them with --register none",
        )
    return crop


class Adjuster:
    """Adjusts frames when they are read.

    Args:
        adjustments: the result of `find_adjustments`.
        clip: the source.
        size: width and height in pixels of the rendered frames.
    """

    def __init__(self, adjustments: Adjustments, clip: ClipInfo, size: tuple[int, int]) -> None:
        self._adjustments = adjustments
        self._source_size = (clip.width, clip.height)
        self._crop = adjustments.crop or Crop(0, 0, clip.width, clip.height)
        self._size = size
        fills = adjustments.moves and adjustments.edges == "fill"
        self.reach = FILL_REACH_FRAMES if fills else 0
        """Number of frames on either side of the adjusted one that may be read."""
        self.read_size: tuple[int, int] | None = None if adjustments.moves else size
        """Width and height at which frames must be read; None is the source's size."""

    def __call__(self, index: int, shot: Shot, read: Callable[[int], Pixels]) -> Pixels:
        """Return frame `index` adjusted: `(height, width, 3)`, of the source's type.

        Args:
            index: index in the source.
            shot: the frame's shot; no frame outside it is read.
            read: returns the pixels of a frame of the shot at `read_size`.
        """
        if not self._adjustments.moves:
            return deflicker.apply_exposure(read(index), self._adjustments[index].gain)
        if not self.reach:
            return self._aligned(index, read)
        order = (index, *self._neighbours(index, shot))
        return fill_borders((self._aligned(other, read), self._covered(other)) for other in order)

    def _aligned(self, index: int, read: Callable[[int], Pixels]) -> Pixels:
        adjustment = self._adjustments[index]
        moved = align(read(index), _to_matrix(adjustment), self._crop, self._size)
        return deflicker.apply_exposure(moved, adjustment.gain)

    def _covered(self, index: int) -> NDArray[np.bool_]:
        return coverage(_to_matrix(self._adjustments[index]), self._crop, self._size, self._source_size)

    def _neighbours(self, index: int, shot: Shot) -> Iterator[int]:
        """Yield the registered frames of the shot within reach, the nearest in time first."""
        for distance in range(1, self.reach + 1):
            for other in (index - distance, index + distance):
                if shot.start <= other < shot.end and self._adjustments[other].registered:
                    yield other
