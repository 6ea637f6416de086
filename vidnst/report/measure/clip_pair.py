"""Two clips streamed side by side through a meter, as many frames at once as there are cores."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from vidnst.config import RenderConfig
from vidnst.errors import CancelledError, OutputError
from vidnst.events import Cancelled, OnEvent, Stage, ignore
from vidnst.frames import ClipInfo, Pixels, Shot, SourceKind
from vidnst.parallel import ordered_results, thread_count
from vidnst.report.measure.meter import PIXEL_BYTES, Meter
from vidnst.report.measure.result import FrameRow, Measurement

if TYPE_CHECKING:  # it brings cv2
    from vidnst.media.adjust.adjustments import Adjustments

_ROOM_BYTES = 2 << 30
"""For frames that are measured side by side."""

LossFunction: TypeAlias = Callable[[int, Pixels, Pixels], Mapping[str, float]]
"""Style and content loss of a frame, from its index, its source pixels and its output pixels."""


def measure_clips(
    source: ClipInfo,
    output: ClipInfo,
    *,
    start: int,
    end: int,
    shots: Sequence[Shot],
    meter: Meter,
    config: RenderConfig,
    losses: LossFunction,
    adjustments: "Adjustments | None" = None,
    evaluations: int | None = None,
    on_event: OnEvent = ignore,
    cancelled: Cancelled | None = None,
) -> Measurement:
    """Stream two clips side by side through a meter; source frames are brought to the output's size.

    Args:
        evaluations: that the render took, where known.
        cancelled: asked after each frame.
        source, output, start, end, shots, meter, config, losses, adjustments: as for `measured_rows`.

    Raises:
        CancelledError: `cancelled` said so.
        OutputError, BadFrameError: as `measured_rows`.
    """
    found = measured_rows(
        source,
        output,
        start=start,
        end=end,
        shots=shots,
        meter=meter,
        config=config,
        losses=losses,
        adjustments=adjustments,
    )
    on_event(Stage("measuring", 0, end - start))
    with closing(found) as rows:
        for done, row in enumerate(rows, start=1):
            if cancelled is not None and cancelled():
                raise CancelledError("the measurement was stopped")
            meter.keep(row)
            on_event(Stage("measuring", done, end - start))
    return meter.result(evaluations=evaluations)


@dataclass(frozen=True, slots=True)
class FrameAvailability:
    """How to measure an output whose pictures are still being made."""

    wait: Callable[[int], object]
    """Returns when a picture, by its place in the output, is there; what it raises ends the measurement."""
    ahead: Callable[[], int]
    """How many frames may be measured at once beside the first of them; asked again and again."""
    alone: bool
    """Whether OpenCV's threads may be had: not where those who make the pictures use them in this process."""


def measured_rows(
    source: ClipInfo,
    output: ClipInfo,
    *,
    start: int,
    end: int,
    shots: Sequence[Shot],
    meter: Meter,
    config: RenderConfig,
    losses: LossFunction,
    adjustments: "Adjustments | None" = None,
    coming: FrameAvailability | None = None,
) -> Generator[FrameRow, None, None]:
    """What a meter finds for each frame, in order, for its `keep`; close it where it is left early.

    Frames are measured by as many threads as there are cores, as far as memory suffices; the numbers do not depend on
    how many. The source is decoded, and losses are evaluated, in the caller's.

    Args:
        start, end: the source's frames that the output shows, `start <= index < end`.
        shots: of that range.
        meter: knows the same shots, and the key frames.
        config: says what to do with source frames that do not decode.
        losses: of each frame.
        adjustments: what was done to the source's frames before they were rendered.
        coming: where the output's pictures are not all there.

    Raises:
        OutputError: the output has another number of frames, or other proportions.
        BadFrameError: a frame does not decode.
    """
    shown = (source.width, source.height) if adjustments is None else adjustments.size(source, None)
    check_comparable(source, output, start, end, size=shown)
    return _rows(source, output, shots, meter, config, losses, adjustments, coming)


def _rows(
    source: ClipInfo,
    output: ClipInfo,
    shots: Sequence[Shot],
    meter: Meter,
    config: RenderConfig,
    losses: LossFunction,
    adjustments: "Adjustments | None",
    coming: FrameAvailability | None,
) -> Generator[FrameRow, None, None]:
    from vidnst.media.adjust.adjustments import Adjuster
    from vidnst.media.input.frame_cache import FrameCache
    from vidnst.motion.opencv_threads import single_threaded_opencv

    size, policy = (output.width, output.height), config.input.on_bad_frame
    adjuster = None if adjustments is None else Adjuster(adjustments, source, size)
    places = [(number, index) for number, shot in enumerate(shots) for index in range(shot.start, shot.end)]
    threads = thread_count(output.width * output.height * PIXEL_BYTES, _ROOM_BYTES)
    ahead = (lambda: threads) if coming is None else (lambda: min(threads, coming.ahead()))
    with (
        single_threaded_opencv() if coming is None or coming.alone else nullcontext(),
        ThreadPoolExecutor(threads) as pool,
        closing(FrameCache(source, shots, size=size, on_bad_frame=policy, adjuster=adjuster, frames=4)) as frames,
        closing(_pictures(output, pool, ahead=ahead, wait=coming.wait if coming else None)) as outputs,
    ):

        def pieces() -> Iterator[Callable[[], FrameRow]]:
            for (number, index), after in zip(places, outputs, strict=True):
                before = frames.get(number, index)
                yield meter.take(index, before, after, losses(index, before, after))

        with closing(ordered_results(pieces(), pool, ahead=ahead)) as rows:
            yield from rows


def _pictures(
    clip: ClipInfo, pool: Executor, *, ahead: Callable[[], int], wait: Callable[[int], object] | None
) -> Generator[Pixels, None, None]:
    """The pixels of a clip's frames in order: files of pictures read side by side, a video decoded by itself."""
    from vidnst.media.input.frame_reader import FrameReader

    def read(index: int) -> Pixels:
        with FrameReader(clip) as reader:
            return reader.read(index).pixels

    def pieces() -> Iterator[Callable[[], Pixels]]:
        for index in range(clip.frame_count):
            if wait is not None:
                wait(index)
            yield partial(read, index)

    if clip.kind is SourceKind.PICTURES:
        with closing(ordered_results(pieces(), pool, ahead=ahead)) as found:
            yield from found
    else:
        with FrameReader(clip) as reader:
            yield from (frame.pixels for frame in reader)


def check_comparable(source: ClipInfo, output: ClipInfo, start: int, end: int, *, size: tuple[int, int]) -> None:
    """Make sure that an output can be a render of a range of a source, whose frames have `size` before scaling.

    Raises:
        OutputError: it has another number of frames, or other proportions (give or take two pixels).
    """
    if output.frame_count == 1 < end - start and output.paths[0].suffix.lower() == ".webp":
        raise OutputError(
            f"animated WebP ({output.source}) cannot be read", "measure another format, or the run folder"
        )
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
