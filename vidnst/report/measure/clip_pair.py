"""Streams a source and its output through a meter, as many frames at once as there are cores."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

from vidnst.errors import CancelledError, OutputError
from vidnst.events import Cancelled, OnEvent, Stage, ignore
from vidnst.frames import ClipInfo, Pixels, Shot, SourceKind
from vidnst.media.adjust.adjustments import Adjuster, Adjustments
from vidnst.media.input.frame_cache import FrameCache
from vidnst.media.input.frame_reader import FrameReader
from vidnst.motion.opencv_threads import single_threaded_opencv
from vidnst.processes.parallel import ordered_results, thread_count
from vidnst.report.measure.measurement import FrameMeasurement, Measurement
from vidnst.report.measure.meter import PIXEL_BYTES, Meter

_MAX_MEMORY_BYTES = 2 << 30
"""For frames that are measured in parallel."""

LossFunction: TypeAlias = Callable[[int, Pixels, Pixels], Mapping[str, float]]
"""Evaluates style and content loss of a frame, from its index, its source pixels and its output pixels."""


def no_losses(index: int, source: Pixels, output: Pixels) -> Mapping[str, float]:
    """Evaluate nothing: the `LossFunction` for losses that are unknown."""
    return {}


@dataclass(frozen=True, slots=True)
class PendingFrames:
    """An output whose frames are still being made while it is measured."""

    wait: Callable[[int], object]
    """Returns once a frame, by its position in the output, has been written; what it raises ends the measurement."""
    ahead: Callable[[], int]
    """How many further frames may be measured in parallel to the first; asked for every frame."""
    owns_opencv: bool
    """True if OpenCV's threads may be limited: nothing else in this process uses OpenCV meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipPair:
    """A source and its output, and everything that is needed to measure one against the other.

    Raises:
        OutputError: the output has another number of frames, or other proportions.
    """

    source: ClipInfo
    output: ClipInfo
    shots: Sequence[Shot]
    """The shots of the source's range that the output shows, in order, without gaps."""
    on_bad_frame: Literal["error", "repeat"]
    """The reaction to source frames that do not decode."""
    adjustments: Adjustments | None = None
    """The adjustments of the source's frames before they were rendered."""
    losses: LossFunction = no_losses

    def __post_init__(self) -> None:
        source, adjustments = self.source, self.adjustments
        size = (source.width, source.height) if adjustments is None else adjustments.size(source, None)
        check_comparable(source, self.output, self.shots[0].start, self.shots[-1].end, size=size)

    def measure(
        self,
        meter: Meter,
        *,
        evaluations: int | None = None,
        staleness: Mapping[int, float] | None = None,
        on_event: OnEvent = ignore,
        cancelled: Cancelled | None = None,
    ) -> Measurement:
        """Measure the output; source frames are scaled to its size.

        Args:
            meter: one for the same shots.
            evaluations: loss evaluations that the render took, where known.
            staleness: of frames by their index, where known.
            on_event: receives the progress.
            cancelled: asked after each frame; True stops the measurement.

        Raises:
            CancelledError: `cancelled` returned True.
            BadFrameError: a frame does not decode.
        """
        total = self.output.frame_count
        on_event(Stage("measuring", 0, total))
        with closing(self.measure_frames(meter)) as rows:
            for done, row in enumerate(rows, start=1):
                if cancelled is not None and cancelled():
                    raise CancelledError("the measurement was stopped")
                meter.collect(row)
                on_event(Stage("measuring", done, total))
        return meter.result(evaluations=evaluations, staleness=staleness)

    def measure_frames(
        self, meter: Meter, *, pending: PendingFrames | None = None
    ) -> Generator[FrameMeasurement, None, None]:
        """Measure each frame, and yield its numbers in order, for `Meter.collect`; close it when leaving early.

        Frames are measured by as many threads as there are cores, as far as memory suffices; the numbers do not depend
        on how many. The source is decoded, and losses are evaluated, in the caller's thread.

        Args:
            meter: one for the same shots.
            pending: how to wait for frames of the output that are still being made.

        Raises:
            BadFrameError: a frame does not decode.
        """
        source, size = self.source, (self.output.width, self.output.height)
        positions = [(number, index) for number, shot in enumerate(self.shots) for index in shot.indices]
        threads = thread_count(self.output.width * self.output.height * PIXEL_BYTES, _MAX_MEMORY_BYTES)
        ahead = (lambda: threads) if pending is None else (lambda: min(threads, pending.ahead()))
        adjuster = None if self.adjustments is None else Adjuster(self.adjustments, source, size)
        policy = self.on_bad_frame
        with (
            single_threaded_opencv() if pending is None or pending.owns_opencv else nullcontext(),
            ThreadPoolExecutor(threads) as pool,
            closing(
                FrameCache(source, self.shots, size=size, on_bad_frame=policy, adjuster=adjuster, frames=4)
            ) as cache,
            closing(_read_frames(self.output, pool, ahead=ahead, wait=pending.wait if pending else None)) as outputs,
        ):

            def tasks() -> Iterator[Callable[[], FrameMeasurement]]:
                for (number, index), rendered in zip(positions, outputs, strict=True):
                    original = cache.get(number, index)
                    yield meter.task(index, original, rendered, self.losses(index, original, rendered))

            with closing(ordered_results(tasks(), pool, ahead=ahead)) as rows:
                yield from rows


def _read_frames(
    clip: ClipInfo, pool: Executor, *, ahead: Callable[[], int], wait: Callable[[int], object] | None
) -> Generator[Pixels, None, None]:
    """The pixels of a clip's frames in order: image files are read in parallel, a video is decoded in one thread."""

    def read(index: int) -> Pixels:
        with FrameReader(clip) as reader:
            return reader.read(index).pixels

    def tasks() -> Iterator[Callable[[], Pixels]]:
        for index in range(clip.frame_count):
            if wait is not None:
                wait(index)
            yield partial(read, index)

    if clip.kind is SourceKind.PICTURES:
        with closing(ordered_results(tasks(), pool, ahead=ahead)) as images:
            yield from images
    else:
        with FrameReader(clip) as reader:
            yield from (frame.pixels for frame in reader)


def check_comparable(source: ClipInfo, output: ClipInfo, start: int, end: int, *, size: tuple[int, int]) -> None:
    """Make sure that an output can be a render of a range of a source, whose frames have `size` before scaling.

    Raises:
        OutputError: it has another number of frames, or other proportions (give or take two pixels).
    """
    if output.frame_count != end - start:
        raise OutputError(
            f"{output.source} has {output.frame_count} frames, but the range of {source.source} has {end - start}"
            f" ({start} to {end - 1})",
            "give --start and --end as they were for the render",
        )
    width, height = size
    if abs(output.width * height - output.height * width) > 2 * max(size):
        raise OutputError(
            f"{output.source} has {output.width}x{output.height} pixels, which are not the proportions of"
            f" {source.source} ({width}x{height})",
            "check that --source is what it was rendered from",
        )
