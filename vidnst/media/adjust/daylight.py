"""The light of the day: the slow, large-scale change of luma and colour over a shot, on a coarse grid.

A time-lapse changes its light without changing what it shows. The change is measured here, so that frames can be
painted as if the light stood still, and be given a share of it afterwards (`relight`). Whatever is fast or small is not
part of it: flashes, flicker, lamps.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.frames import Pixels, Shot, to_float
from vidnst.media.adjust.local_regression import fit_lines

Grid = NDArray[np.float32]
"""`(rows, columns, 3)` gamma-encoded sRGB in [0, 1]: the light of each cell."""

_CELLS = 24
"""Cells along the longer side of a frame."""
_CELL_PX = 6
"""Side of a cell at the size at which its median is taken."""
_STEP = 4
"""Frames from one sample in time to the next: the median over them ignores a flash."""
_FEW_SAMPLES = 32
"""Samples of a short shot, closer to each other than `_STEP`; one for each frame of the shortest."""
_MOST_SAMPLES = 128
"""Most samples of a shot, which bound memory and the size of plan.json."""
_WINDOW_FRAMES = 24
"""Frames over which the light is smoothed: what is faster is not the day."""
_LEAST_WINDOW = 6
"""Fewest samples over which the light is smoothed."""
_ROUNDS = 3
_DIGITS = 4


@dataclass(frozen=True, slots=True)
class ShotLight:
    """The light of a shot over time."""

    start: int
    """The shot's first frame, an index of the whole source."""
    frames: int
    """Number of its frames."""
    samples: NDArray[np.float32]
    """`(T, rows, columns, 3)`, as `Grid`: each is the light in the middle of one of the shot's T parts."""

    @property
    def mean(self) -> Grid:
        """The mean light of the shot."""
        return np.asarray(self.samples.mean(axis=0), np.float32)

    @property
    def reference(self) -> Grid:
        """The light in which paint is shown as it is: halfway from the mean to the brightest.

        Paint that is darkened keeps its colours better than paint that is brightened.
        """
        return np.asarray((self.mean + self.samples.max(axis=0)) / 2, np.float32)

    def at(self, index: int) -> Grid:
        """Return the light of a frame, by cubic interpolation (Catmull and Rom 1974), linear beyond the samples."""
        last = len(self.samples) - 1
        if last == 0:
            return np.asarray(self.samples[0], np.float32)
        middles = [(first + end - 1) / 2 for first, end in pairwise(part_bounds(self.frames, len(self.samples)))]
        before = min(max(bisect_right(middles, index - self.start) - 1, 0), last - 1)
        share = np.float32((index - self.start - middles[before]) / (middles[before + 1] - middles[before]))
        one, two = self.samples[before], self.samples[before + 1]
        if not 0 <= share <= 1:
            return np.asarray(np.clip(one + share * (two - one), 0, 1), np.float32)
        earlier = self.samples[before - 1] if before > 0 else 2 * one - two
        later = self.samples[before + 2] if before + 2 <= last else 2 * two - one
        curve = one + share / 2 * (
            two
            - earlier
            + share * (2 * earlier - 5 * one + 4 * two - later + share * (3 * (one - two) + later - earlier))
        )
        return np.asarray(np.clip(curve, 0, 1), np.float32)


@dataclass(frozen=True, slots=True)
class Daylight:
    """The light of all shots of a range."""

    shots: tuple[ShotLight, ...]

    def to_json(self) -> list[dict[str, Any]]:
        """Convert to JSON values that `from_json` restores exactly."""
        return [
            {
                "start": shot.start,
                "frames": shot.frames,
                "shape": list(shot.samples.shape[1:3]),
                "samples": [round(float(value), _DIGITS) for value in shot.samples.reshape(-1)],
            }
            for shot in self.shots
        ]

    @classmethod
    def from_json(cls, values: Sequence[Mapping[str, Any]]) -> "Daylight":
        """Restore from `to_json`; raises LookupError, TypeError or ValueError for other values."""
        return cls(tuple(_parse_shot(shot) for shot in values))


def part_bounds(frames: int, parts: int) -> list[int]:
    """Return where each part of a shot begins, and the end: parts as equal as whole frames allow."""
    return [part * frames // parts for part in range(parts + 1)]


def _parse_shot(values: Mapping[str, Any]) -> ShotLight:
    start, frames, shape = values["start"], values["frames"], values["shape"]
    if not (type(start) is int and start >= 0 and type(frames) is int and frames >= 1):
        raise ValueError("invalid frames of a light")
    if not (
        isinstance(shape, list | tuple) and len(shape) == 2 and all(type(n) is int and 1 <= n <= _CELLS for n in shape)
    ):
        raise ValueError("invalid cells of a light")
    samples = np.array(values["samples"], np.float32).reshape(-1, *shape, 3)
    if not 1 <= len(samples) <= min(frames, _MOST_SAMPLES) or not ((samples >= 0) & (samples <= 1)).all():
        raise ValueError("invalid samples of a light")
    return ShotLight(start, frames, samples)


def measure_light(pixels: Pixels) -> Grid:
    """Measure the light of a frame: the median of each cell and channel, and of neighbouring cells.

    Medians are not moved by lamps, and keep the edges between sky and roofs.

    Args:
        pixels: `(H, W, 3)` uint8 or uint16 sRGB, RGB order.
    """
    rows, columns = _grid_shape(*pixels.shape[:2])
    small = cv2.resize(to_float(pixels), (columns * _CELL_PX, rows * _CELL_PX), interpolation=cv2.INTER_AREA)
    cells = small.reshape(rows, _CELL_PX, columns, _CELL_PX, 3)
    return np.asarray(cv2.medianBlur(np.median(cells, axis=(1, 3)).astype(np.float32), 3), np.float32)


def _grid_shape(height: int, width: int) -> tuple[int, int]:
    longest = max(height, width)
    return max(1, round(_CELLS * height / longest)), max(1, round(_CELLS * width / longest))


def find_daylight(
    shots: Sequence[Shot], read: Callable[[int, int], Pixels], *, on_progress: Callable[[int], None]
) -> Daylight:
    """Measure the light of all frames, and smooth it over time within each shot.

    Args:
        shots: in order.
        read: returns a frame by the number of its shot and its index.
        on_progress: called after each frame with the number of frames measured.
    """
    done, found = 0, list[ShotLight]()
    for number, shot in enumerate(shots):
        count = min(len(shot), max(_FEW_SAMPLES, min(_MOST_SAMPLES, len(shot) // _STEP)))
        medians = list[Grid]()
        for first, end in pairwise(part_bounds(len(shot), count)):
            group = range(shot.start + first, shot.start + end)
            medians.append(_median(measure_light(read(number, index)) for index in group))
            done += len(group)
            on_progress(done)
        found.append(ShotLight(shot.start, len(shot), _smooth(np.stack(medians), len(shot) / count)))
    return Daylight(tuple(found))


def _median(grids: Iterable[Grid]) -> Grid:
    return np.asarray(np.median(np.stack(list(grids)), axis=0), np.float32)


def _smooth(samples: NDArray[np.float32], step: float) -> NDArray[np.float32]:
    """Smooth `(T, rows, columns, 3)` over time by robust local lines, within the range of what was measured."""
    count, series = len(samples), samples.reshape(len(samples), -1).astype(np.float64)
    window = max(_LEAST_WINDOW, round(_WINDOW_FRAMES / step))
    if count >= 3:
        trend = fit_lines(series, min(window, count), rounds=_ROUNDS, invisible=1 / 512)
        series = np.clip(trend, series.min(axis=0), series.max(axis=0))
    return np.asarray(np.round(series, _DIGITS).reshape(samples.shape), np.float32)
