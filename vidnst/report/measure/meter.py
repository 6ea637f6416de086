"""Measures how steady a clip is while it streams by: frames go in one after the other, numbers come out at the end.

No files and no network here; `vidnst.rendering.measure_output` brings the frames and the losses.

A measurement estimates its own flow on the source's frames, at a size that no setting of a render changes, and gives
every number of the output next to the source's.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vidnst.config import MotionConfig
from vidnst.frames import Pixels, Shot, to_float
from vidnst.motion.flow import Flow, estimate_flow
from vidnst.motion.metrics import (
    ClipErrors,
    FlowSampler,
    PairError,
    clip_errors,
    flicker_levels,
    laplacian_variance,
    luma_levels,
    slope_per_100,
    static_pixels,
    trend_per_100,
)
from vidnst.motion.stroke_motion import stroke_motion
from vidnst.report.measure.measurement import (
    STROKE_GAP,
    Comparison,
    FrameMeasurement,
    GapErrors,
    KeyFrameErrors,
    Measurement,
    PairMeasurement,
    ShotMeasurement,
    Staleness,
)

GAPS = (1, 5, 15)
"""Distances in frames of the two of a pair. Neighbours alone hide the drift that a viewer sees over half a second."""

FLOW_SIZE_PX = 640
"""Longest side at which flow is estimated. A render's own setting does not count: renders share one yardstick."""

PIXEL_BYTES = 88
"""Memory for each pixel of a frame that is measured: the two images, 16 bits deep, and all intermediate results."""


class _FramePair(NamedTuple):
    """A frame of the source and the same frame of the output."""

    source: Pixels
    output: Pixels


class Meter:
    """Measures the frames of a clip in order, and remembers as many of them as the longest gap needs.

    `add` measures a frame. To measure several in parallel, `task` returns the work on one, for any thread, and
    `collect` takes its result; both in the order of the frames. The numbers are the same.

    Args:
        shots: the shots that cover the clip, in order.
        keys: key frames, indices of the whole source; empty if there are none.
        gaps: how many frames apart the two of a pair are.
        flow_size: longest side at which flow is estimated, pixels; smaller frames are not enlarged.
    """

    def __init__(
        self,
        shots: Sequence[Shot],
        *,
        keys: Iterable[int] = (),
        gaps: Sequence[int] = GAPS,
        flow_size: int = FLOW_SIZE_PX,
    ) -> None:
        self._shots = shots
        self._keys = frozenset(keys)
        self._gaps = tuple(gaps)
        self._flow_size = flow_size
        self._past: deque[_FramePair] = deque(maxlen=max(gaps))
        self._rows: list[FrameMeasurement] = []
        self._next: int | None = None
        self._shot = 0
        self._size = (0, 0)

    def add(self, index: int, source: Pixels, output: Pixels, losses: Mapping[str, float] | None = None) -> None:
        """Measure a frame. Arguments and errors as in `task`."""
        self.collect(self.task(index, source, output, losses)())

    def task(
        self, index: int, source: Pixels, output: Pixels, losses: Mapping[str, float] | None = None
    ) -> Callable[[], FrameMeasurement]:
        """Take in a frame, and return the work of measuring it.

        Args:
            index: in the whole source; frames come in order, without gaps.
            source: `(H, W, 3)` uint8 or uint16 sRGB. Neither image may change afterwards.
            output: the same shape; may have another bit depth.
            losses: of the output, where they are known.

        Raises:
            ValueError: the shapes differ, or the frame is not the next one, or in no shot.
        """
        if source.shape != output.shape:
            raise ValueError(f"frame {index}: the source is {source.shape}, the output {output.shape}")
        if self._next is not None and index != self._next:
            raise ValueError(f"frame {index} does not follow frame {self._next - 1}")
        number = self._enter_shot(index)
        self._size, self._next = (source.shape[1], source.shape[0]), index + 1
        past = {gap: self._past[-gap] for gap in {1, *self._gaps} if gap <= len(self._past)}
        frame = _FramePair(source, output)
        self._past.append(frame)
        key = index in self._keys
        return _FrameTask(index, number, key, frame, past, self._gaps, self._flow_size, dict(losses or {}))

    def collect(self, row: FrameMeasurement) -> None:
        """Add the numbers that the task of a frame returned, in the order of the frames."""
        self._rows.append(row)

    def _enter_shot(self, index: int) -> int:
        """Return the number of the frame's shot; at its first frame, forget the frames before."""
        while self._shot < len(self._shots) and self._shots[self._shot].end <= index:
            self._shot += 1
        if self._shot == len(self._shots) or index < self._shots[self._shot].start:
            raise ValueError(f"frame {index} is in no shot")
        if index == self._shots[self._shot].start:
            self._past.clear()  # nothing is compared across a cut
        return self._shot

    def result(
        self,
        *,
        evaluations: int | None = None,
        losses: Mapping[int, Mapping[str, float]] | None = None,
        staleness: Mapping[int, float] | None = None,
    ) -> Measurement:
        """Sum up all frames that were collected, at least one.

        Args:
            evaluations: that the render took, where known; only passed on.
            losses: of frames by their index, instead of those that came with them.
            staleness: of frames by their index, where it is known.
        """
        rows = self._rows
        if losses is not None:
            rows = [replace(row, losses=dict(losses.get(row.frame, {}))) for row in rows]
        if staleness:
            rows = [replace(row, staleness=staleness.get(row.frame)) for row in rows]
        shots = [list(group) for _, group in groupby(rows, key=lambda row: row.shot)]
        names = sorted({name for row in rows for name in row.losses})
        return Measurement(
            frames=len(rows),
            width=self._size[0],
            height=self._size[1],
            flow_size=min(self._flow_size, max(self._size)),
            errors=tuple(_gap_errors(rows, gap) for gap in self._gaps),
            static_share=_mean(row.static_share for row in rows),
            flicker=_weighted(rows, "flicker", "static_share"),
            follow=_weighted(rows, "follow", "moving_area"),
            screen=_weighted(rows, "screen", "moving_area"),
            drift=_drift(shots),
            drift_difference=_drift_difference(shots),
            sharpness=Comparison(
                fmean(row.sharpness_output for row in rows), fmean(row.sharpness_source for row in rows)
            ),
            keys=_key_errors(rows) if self._keys else None,
            losses={name: fmean(row.losses[name] for row in rows if name in row.losses) for name in names},
            staleness=_staleness(shots),
            evaluations=evaluations,
            shots=tuple(self._shot_numbers(shot) for shot in shots),
            rows=tuple(rows),
        )

    def _shot_numbers(self, rows: Sequence[FrameMeasurement]) -> ShotMeasurement:
        return ShotMeasurement(
            start=rows[0].frame,
            end=rows[-1].frame + 1,
            error=_gap_errors(rows, 1).lai,
            drift=_drift([rows]),
            drift_difference=_drift_difference([rows]),
            keys=_key_errors(rows) if self._keys else None,
        )


@dataclass(frozen=True, slots=True)
class _FrameTask:
    """The work of measuring one frame: a pure function without arguments, for any thread."""

    index: int
    shot: int
    key: bool
    frame: _FramePair
    past: Mapping[int, _FramePair]
    """Earlier frames of the same shot, by how many frames ago they were."""
    gaps: Sequence[int]
    flow_size: int
    losses: dict[str, float]

    def __call__(self) -> FrameMeasurement:
        output, source = luma_levels(self.frame.output), luma_levels(self.frame.source)
        flows = {gap: self._flow(before) for gap, before in self.past.items() if gap in self.gaps}
        return FrameMeasurement(
            frame=self.index,
            shot=self.shot,
            key=self.key,
            luma_output=float(output.mean(dtype="f8")),
            luma_source=float(source.mean(dtype="f8")),
            sharpness_output=laplacian_variance(output),
            sharpness_source=laplacian_variance(source),
            **self._flicker(),
            **self._strokes(output, source, flows),
            pairs=self._pairs(flows),
            losses=self.losses,
        )

    def _flicker(self) -> dict[str, Any]:
        if 1 not in self.past:
            return {}
        now, before = self.frame, self.past[1]
        static = static_pixels(now.source, before.source)
        return {
            "static_share": float(static.mean()),
            "flicker_output": flicker_levels(now.output, before.output, static),
            "flicker_source": flicker_levels(now.source, before.source, static),
        }

    def _flow(self, before: _FramePair) -> Flow:
        return estimate_flow(self.frame.source, before.source, MotionConfig(size=self.flow_size))

    def _strokes(
        self, output: NDArray[np.float32], source: NDArray[np.float32], flows: Mapping[int, Flow]
    ) -> dict[str, float]:
        if STROKE_GAP not in flows:
            return {}
        before, flow = self.past[STROKE_GAP], flows[STROKE_GAP]
        rendered = stroke_motion(output, luma_levels(before.output), flow)
        own = stroke_motion(source, luma_levels(before.source), flow)
        if rendered is None or own is None:
            return {}
        values = {"follow_output": rendered.follow, "screen_output": rendered.screen}
        return {**values, "follow_source": own.follow, "screen_source": own.screen, "moving_area": own.area}

    def _pairs(self, flows: Mapping[int, Flow]) -> tuple[PairMeasurement, ...]:
        output, source = to_float(self.frame.output), to_float(self.frame.source)
        rows = []
        for gap in self.gaps:
            if gap in self.past:
                before = self.past[gap]
                error = FlowSampler.from_flow(flows[gap], *source.shape[:2]).pair_error
                rendered, own = error(output, to_float(before.output)), error(source, to_float(before.source))
                rows.append(PairMeasurement(gap, rendered.valid_share, rendered.mean_squared, own.mean_squared))
        return tuple(rows)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _gap_errors(rows: Sequence[FrameMeasurement], gap: int) -> GapErrors:
    pairs = [pair for row in rows for pair in row.pairs if pair.gap == gap]
    none = Comparison(None, None)
    if not pairs:
        return GapErrors(gap, 0, None, none, none, none)
    output = clip_errors([PairError(pair.output, pair.valid_share) for pair in pairs])
    source = clip_errors([PairError(pair.source, pair.valid_share) for pair in pairs])

    def compared(name: str) -> Comparison:
        return Comparison(_error(output, name), _error(source, name))

    share = fmean(pair.valid_share for pair in pairs)
    return GapErrors(gap, len(pairs), share, compared("ruder"), compared("huang"), compared("lai"))


def _error(errors: ClipErrors, name: str) -> float:
    return float(getattr(errors, name))


def _weighted(rows: Sequence[FrameMeasurement], name: str, area: str) -> Comparison:
    """The mean over all pixels of the clip that count: each frame is weighted by its number of them."""

    def mean(whose: str) -> float | None:
        values = [(getattr(row, area) or 0.0, getattr(row, f"{name}_{whose}")) for row in rows]
        weighted = [(share, value) for share, value in values if value is not None]
        total = sum(share for share, _ in weighted)
        return sum(share * value for share, value in weighted) / total if total else None

    return Comparison(mean("output"), mean("source"))


def _drift(shots: Sequence[Sequence[FrameMeasurement]]) -> Comparison:
    output = slope_per_100([[row.luma_output for row in rows] for rows in shots])
    return Comparison(output, slope_per_100([[row.luma_source for row in rows] for rows in shots]))


def _drift_difference(shots: Sequence[Sequence[FrameMeasurement]]) -> float | None:
    return slope_per_100([[row.luma_output - row.luma_source for row in rows] for rows in shots])


def _staleness(shots: Sequence[Sequence[FrameMeasurement]]) -> Staleness | None:
    known = [[(row.frame, row.staleness) for row in rows if row.staleness is not None] for rows in shots]
    mean = _mean(value for points in known for _, value in points)
    return None if mean is None else Staleness(mean, trend_per_100(known))


def _key_errors(rows: Sequence[FrameMeasurement]) -> KeyFrameErrors:
    """A pair of neighbours touches a key frame if either of the two is one."""
    groups: dict[bool, list[PairMeasurement]] = {True: [], False: []}
    for before, row in pairwise(rows):
        groups[before.key or row.key] += [pair for pair in row.pairs if pair.gap == 1]
    at_keys, elsewhere = (
        Comparison(_mean(pair.output for pair in groups[key]), _mean(pair.source for pair in groups[key]))
        for key in (True, False)
    )
    return KeyFrameErrors(at_keys, elsewhere, len(groups[True]), len(groups[False]))
