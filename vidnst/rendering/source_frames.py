"""The source's frames as they are rendered: read, sized, adjusted, filtered."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from vidnst.events import OnEvent, Warned
from vidnst.frames import Pixels, Shot, shot_number, spread_over
from vidnst.rendering.prepare import Job
from vidnst.runs import RunStore

if TYPE_CHECKING:  # it brings OpenCV
    from vidnst.media.input.frame_cache import FrameCache

CACHE_BYTES = 1 << 30
"""Of decoded frames that are remembered."""


@contextmanager
def open_frames(
    job: Job,
    shots: Sequence[Shot],
    *,
    on_repeated: Callable[[int], None] | None = None,
    room_bytes: int = CACHE_BYTES,
) -> Iterator["FrameCache"]:
    """The frames of a job by shot and index: from the run folder where they were filtered, else from the source."""
    from vidnst.media.adjust.adjustments import Adjuster
    from vidnst.media.input.frame_cache import FrameCache

    size = (job.width, job.height)
    adjusts = job.adjustments is not None and job.filtered is None
    cache = FrameCache(
        job.filtered or job.clip,
        shots,
        size=size,
        on_bad_frame="error" if job.filtered else job.config.input.on_bad_frame,
        on_repeated=on_repeated,
        adjuster=Adjuster(job.adjustments, job.clip, size) if adjusts and job.adjustments else None,
        frames=cached_frames(job.width, job.height, room_bytes=room_bytes),
    )
    with closing(cache):
        yield cache


def cached_frames(width: int, height: int, *, room_bytes: int = CACHE_BYTES) -> int:
    """How many frames of a size are kept while they are rendered."""
    return max(16, min(256, room_bytes // (width * height * 3)))


def report_repeated(store: RunStore, on_event: OnEvent, index: int) -> None:
    """Record and tell that a frame does not decode."""
    store.record("repeated", frame=index)
    on_event(Warned(f"frame {index} does not decode; the frame before it is repeated"))


def some_frames(job: Job, shots: Sequence[Shot], count: int) -> list[Pixels]:
    """Frames spread over a job's range, as they are rendered."""
    wanted = spread_over(job.start, job.end, count)
    with open_frames(job, shots) as frames:
        return [frames.get(shot_number(shots, index), index) for index in wanted]
