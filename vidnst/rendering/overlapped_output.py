"""Final frames packed and measured while others are still being painted."""

import os
import sys
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from threading import Condition
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, overload

from vidnst.atomic_write import part_path
from vidnst.errors import CancelledError
from vidnst.events import Cancelled, Event, FrameDone, OnEvent
from vidnst.frames import Shot
from vidnst.rendering.effects_pass import final_frames
from vidnst.rendering.prepare import Job
from vidnst.rendering.run_setup import disk_bytes
from vidnst.runs import RunStore
from vidnst.runs.disk_space import file_system, free_bytes

if TYPE_CHECKING:  # it brings OpenCV
    from vidnst.report.measure.meter import Meter

_BESIDE_PAINTING = 2
"""Frames that are measured at once while others are painted."""
_NICENESS = 5
"""By which threads here, and their ffmpeg, stand back behind those that paint."""
_PIXEL_BYTES = 700
"""Memory for each pixel of a frame: the fifteen pairs that are remembered, two being measured, and an encoder's."""
_MEMORY_PART = 4
"""Of the machine's free memory, no more than one part in so many is taken."""
_LOOK_SECONDS = 0.1
_STOPPED = "stopped while ffmpeg was running"
_THROWN_AWAY = "what was done early is thrown away"


class AwaitedPaths(Sequence[Path]):
    """Files in their order, of which each is given when it is there: until then whoever asks for it waits.

    Args:
        paths: of all of them.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._there = bytearray(len(paths))
        self._changed = Condition()
        self.missing = len(paths)
        """How many are still to come."""
        self.closed = False
        """Whether nobody is to wait any more."""

    def __len__(self) -> int:
        return len(self._paths)

    @overload
    def __getitem__(self, place: int) -> Path: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Path]: ...

    def __getitem__(self, place: int | slice) -> Path | Sequence[Path]:
        """The file at a place.

        Raises:
            CancelledError: it was closed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.closed or self._has(place))
            if self.closed:
                raise CancelledError(_THROWN_AWAY)
        return self._paths[place]

    def _has(self, place: int | slice) -> bool:
        return all(self._there[place]) if isinstance(place, slice) else bool(self._there[place])

    def add(self, place: int) -> None:
        """Take note that a file is there. One that was there already is another now: then all is closed."""
        with self._changed:
            self.closed = self.closed or bool(self._there[place])
            self.missing -= not self._there[place]
            self._there[place] = True
            self._changed.notify_all()

    def close(self) -> None:
        """Let nobody wait any more."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()


class OverlappedOutput:
    """Follows the frames of a render as they are finished; packs and measures them meanwhile, with the same result.

    That is done only where frames are final as they are painted, the output is one that ffmpeg encodes without a GPU,
    and disk and memory have ample room. What fails here is left to those who ask, who then do it in the ordinary way;
    so is all of it where a frame that was finished is made again. Leaving the `with` block ends what is under way.

    The packed output is a hidden part in the run folder, which the next session removes where this one was killed. Only
    `name_output` gives it its name.

    Args:
        job: of the render.
        store: its run folder; closed after this.
        shots: of its range.
    """

    def __init__(self, job: Job, store: RunStore, shots: Sequence[Shot]) -> None:
        self._job = job
        self._store = store
        self._shots = shots
        self._part = Path()
        self._frames = AwaitedPaths(())
        self._threads: ThreadPoolExecutor | None = None
        self._packing: Future[None] | None = None
        self._measuring: Future[Meter] | None = None
        self._frames_packed = 0
        self._frames_measured = 0

    def following(self, there: Collection[int], on_event: OnEvent) -> OnEvent:
        """Begin, where that suits the render; what is to hear of the frames that come.

        Args:
            there: frames of the source that earlier sessions have finished.
            on_event: is told all that this hears, afterwards.
        """
        if not self._suits():
            return on_event
        self._frames = AwaitedPaths(final_frames(self._job, self._store))
        for frame in there:
            self._frames.add(frame - self._job.start)
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="early", initializer=_stand_back)
        with suppress(RuntimeError):  # there is no room for a thread
            self._packing = self._threads.submit(self._pack)
            self._measuring = self._threads.submit(self._measure) if self._job.is_measured else None

        def hear(event: Event) -> None:
            if isinstance(event, FrameDone):
                self._frames.add(event.frame - self._job.start)
            on_event(event)

        return hear

    def name_output(self, tell: Callable[[int], object], cancelled: Cancelled | None = None) -> bool:
        """Give the output its name when all is packed and checked; False where somebody else must pack it.

        Args:
            tell: called with the number of frames packed so far, whenever that grows.
            cancelled: asked several times a second; true stops.

        Raises:
            CancelledError: `cancelled` said so.
        """
        if not self._ended(self._packing, lambda: self._frames_packed, tell, cancelled, _STOPPED):
            return False
        try:
            self._part.replace(self._job.request.output)
        except OSError:
            return False
        return True

    def measured(self, tell: Callable[[int], object], cancelled: Cancelled | None = None) -> "Meter | None":
        """What has measured all frames, for `measure_render`; None where somebody else must. As `name_output`."""
        stopped = "the measurement was stopped"
        if not self._ended(self._measuring, lambda: self._frames_measured, tell, cancelled, stopped):
            return None
        assert self._measuring is not None
        return self._measuring.result()

    def _ended(
        self,
        work: Future[Any] | None,
        count: Callable[[], int],
        tell: Callable[[int], object],
        cancelled: Cancelled | None,
        stopped: str,
    ) -> bool:
        """Whether the work came to a good end, for which this waits."""
        if work is None or self._frames.missing or self._frames.closed:
            self.close()
            return False
        told = 0
        while True:
            over = work.done()
            if (now := count()) > told:
                tell(now)
                told = now
            if cancelled is not None and cancelled():
                raise CancelledError(stopped)
            if over:
                return work.exception() is None
            wait([work], timeout=_LOOK_SECONDS)

    def close(self) -> None:
        """End what is under way, and remove what has no name yet."""
        self._frames.close()
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
            self._remove_part()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _suits(self) -> bool:
        from vidnst.media.output.formats import OutputKind, choose_format
        from vidnst.runs.disk_space import host_bytes

        job, settings, count = self._job, self._job.config.output, self._job.end - self._job.start
        target = choose_format(job.request.output, settings, frames=count, width=job.width, height=job.height)
        if (
            job.config.finishes
            or target.kind not in (OutputKind.VIDEO, OutputKind.ANIMATION)
            or target.hardware != "none"
        ):
            return False
        pixels = job.width * job.height
        raw = count * pixels * 3 * settings.bits // 8  # no painting compresses to more
        try:
            self._part = _part(job.request.output, self._store.folder)
            room = free_bytes(self._part.parent)
        except OSError:
            return False
        return room >= disk_bytes(job) + raw and (host_bytes() or 0) >= _MEMORY_PART * _PIXEL_BYTES * pixels

    def _pack(self) -> None:
        from vidnst.media.output.encode import encode_part

        job = self._job
        try:
            encode_part(
                self._frames,
                self._part,
                clip=job.clip,
                start=job.start,
                end=job.end,
                settings=job.config.output,
                on_progress=self._note_packed,
                cancelled=lambda: self._frames.closed,
            )
        except BaseException:
            self._remove_part()  # now: the disk may be full, and frames are still painted
            raise
        self._frames_packed = len(self._frames)  # ffmpeg need not have told of the last ones

    def _measure(self) -> "Meter":
        from vidnst.rendering.measure_output import measure_coming
        from vidnst.report.measure.clip_pair import FrameAvailability

        coming = FrameAvailability(
            self._frames.__getitem__, self._ahead, alone=self._job.config.farm.executor != "inline"
        )
        return measure_coming(self._job, self._store, self._shots, coming, on_frame=self._note_measured)

    def _ahead(self) -> int:
        return _BESIDE_PAINTING - 1 if self._frames.missing else sys.maxsize

    def _note_packed(self, done: int) -> None:
        self._frames_packed = done

    def _note_measured(self) -> None:
        if self._frames.closed:
            raise CancelledError(_THROWN_AWAY)
        self._frames_measured += 1

    def _remove_part(self) -> None:
        with suppress(OSError):
            self._part.unlink(missing_ok=True)


def _part(output: Path, folder: Path) -> Path:
    """Where an output is packed: in the run folder, or beside it where that is another disk, since it is renamed."""
    if file_system(folder) == file_system(output.parent):
        return part_path(folder / f"output{output.suffix}")
    return part_path(output)


def _stand_back() -> None:
    """Have this thread, and what it starts, give way to others: on Linux alone that is a thread's own matter."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.nice(_NICENESS)
