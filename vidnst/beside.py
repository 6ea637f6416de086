"""Two clips streamed side by side through a meter, as many frames at once as there are cores."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from vidnst.ahead import in_order, side_by_side
from vidnst.config import RenderConfig
from vidnst.errors import CancelledError, OutputError
from vidnst.events import Cancelled, OnEvent, Stage, ignore
from vidnst.frames import ClipInfo, Pixels, Shot, SourceKind
from vidnst.meter import PIXEL_BYTES, Meter
from vidnst.steadiness import FrameRow, Measurement

if TYPE_CHECKING:  # it brings cv2
    from vidnst.media.adjust import Adjustments

_ROOM_BYTES = 2 << 30
"""For frames that are measured side by side."""

Losses: TypeAlias = Callable[[int, Pixels, Pixels], Mapping[str, float]]
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
    losses: Losses,
    adjustments: "Adjustments | None" = None,
    evaluations: int | None = None,
    on_event: OnEvent = ignore,
    cancelled: Cancelled | None = None,
) -> Measurement:
    """Stream two clips side by side through a meter; source frames are brought to the output's size.

    Frames are measured by as many threads as there are cores, as far as memory suffices; the numbers do not depend on
    how many. The source is decoded, and losses are evaluated, in the caller's.

    Args:
        start, end: the source's frames that the output shows, `start <= index < end`.
        shots: of that range.
        meter: knows the same shots, and the key frames.
        config: says what to do with source frames that do not decode.
        losses: of each frame.
        adjustments: what was done to the source's frames before they were rendered.
        evaluations: that the render took, where known.

    Raises:
        OutputError: the output has another number of frames, or other proportions.
        BadFrameError: a frame does not decode.
        CancelledError: `cancelled` said so.
    """
    from vidnst.media.adjust import Adjuster
    from vidnst.media.frame_cache import FrameCache
    from vidnst.motion.threads import one_thread_each

    shown = (source.width, source.height) if adjustments is None else adjustments.size(source, None)
    check_comparable(source, output, start, end, size=shown)
    size, policy, total = (output.width, output.height), config.input.on_bad_frame, end - start
    adjuster = None if adjustments is None else Adjuster(adjustments, source, size)
    places = [(number, index) for number, shot in enumerate(shots) for index in range(shot.start, shot.end)]
    threads = side_by_side(output.width * output.height * PIXEL_BYTES, _ROOM_BYTES)
    on_event(Stage("measuring", 0, total))
    with (
        one_thread_each(),
        ThreadPoolExecutor(threads) as pool,
        closing(FrameCache(source, shots, size=size, on_bad_frame=policy, adjuster=adjuster, frames=4)) as frames,
        closing(_pictures(output, pool, ahead=threads)) as outputs,
    ):

        def pieces() -> Iterator[Callable[[], FrameRow]]:
            for (number, index), after in zip(places, outputs, strict=True):
                before = frames.get(number, index)
                yield meter.take(index, before, after, losses(index, before, after))

        with closing(in_order(pieces(), pool, ahead=threads)) as rows:
            for done, row in enumerate(rows, start=1):
                if cancelled is not None and cancelled():
                    raise CancelledError("the measurement was stopped")
                meter.keep(row)
                on_event(Stage("measuring", done, total))
    return meter.result(evaluations=evaluations)


def _pictures(clip: ClipInfo, pool: Executor, *, ahead: int) -> Generator[Pixels, None, None]:
    """The pixels of a clip's frames in order: files of pictures read side by side, a video decoded by itself."""
    from vidnst.media.decode import FrameReader

    def read(index: int) -> Pixels:
        with FrameReader(clip) as reader:
            return reader.read(index).pixels

    if clip.kind is SourceKind.PICTURES:
        pieces = (partial(read, index) for index in range(clip.frame_count))
        with closing(in_order(pieces, pool, ahead=ahead)) as found:
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
