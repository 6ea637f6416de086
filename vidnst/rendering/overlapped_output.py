"""Encodes and measures final frames while others are still being painted."""

import os
import sys
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from threading import Condition
from types import TracebackType
from typing import Any, Self, overload

from vidnst.errors import CancelledError
from vidnst.events import Cancelled, Event, FrameDone, OnEvent
from vidnst.media.output.encode import encode_part
from vidnst.media.output.formats import OutputKind, choose_format
from vidnst.rendering.measure_output import measure_coming
from vidnst.rendering.prepared_render import PreparedRender
from vidnst.rendering.run_opening import disk_bytes
from vidnst.rendering.source_alpha import source_alpha
from vidnst.report.measure.clip_pair import PendingFrames
from vidnst.report.measure.meter import Meter
from vidnst.runs.disk_space import free_bytes, host_bytes

_MEASURED_AT_ONCE = 2
"""Frames that are measured in parallel while others are painted."""
_NICENESS = 5
"""Niceness of the threads here and of their ffmpeg, so that they yield to the painting threads."""
_PIXEL_BYTES = 700
"""Memory per pixel of a frame: fifteen pairs that the meter remembers, two being measured, and the encoder."""
_MEMORY_SHARE = 4
"""The machine must have this many times the memory free."""
_POLL_SECONDS = 0.1
_STOPPED = "stopped while ffmpeg was running"
_DISCARDED = "the work done ahead is discarded"


class AwaitedPaths(Sequence[Path]):
    """A sequence of files that are still being made: reading a path waits until its file is complete.

    Args:
        paths: paths of all files, in order.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._complete = bytearray(len(paths))
        self._changed = Condition()
        self.missing = len(paths)
        """Number of files that are not complete yet."""
        self.closed = False
        """True if no reader is to wait any more."""

    def __len__(self) -> int:
        return len(self._paths)

    @overload
    def __getitem__(self, place: int) -> Path: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Path]: ...

    def __getitem__(self, place: int | slice) -> Path | Sequence[Path]:
        """Return a path, or several, once the files are complete.

        Raises:
            CancelledError: the sequence was closed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.closed or self._has(place))
            if self.closed:
                raise CancelledError(_DISCARDED)
        return self._paths[place]

    def _has(self, place: int | slice) -> bool:
        return all(self._complete[place]) if isinstance(place, slice) else bool(self._complete[place])

    def add(self, place: int) -> None:
        """Mark a file as complete; if it was complete already, it has been made again, and the sequence is closed."""
        with self._changed:
            self.closed = self.closed or bool(self._complete[place])
            self.missing -= not self._complete[place]
            self._complete[place] = True
            self._changed.notify_all()

    def close(self) -> None:
        """End all waits."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()


class OverlappedOutput:
    """Encodes and measures the frames of a render as they are finished, with the same result as afterwards.

    It works only if frames are final when they are painted, if ffmpeg encodes the output without a GPU, and if disk and
    memory have ample room. If anything fails here, or a finished frame is made again, its work is discarded and the
    caller does it in the ordinary way. Leaving the `with` block ends the work under way.

    The encoded output is a hidden part file in the run folder, which the next session removes if this one is killed.
    Only `name_output` gives it its name.

    Args:
        render: whose frames are followed; its run folder is closed after this.
    """

    def __init__(self, render: PreparedRender) -> None:
        self._render = render
        self._parts = render.store.part_maker(render.request.output)
        self._part: Path | None = None
        self._frames = AwaitedPaths(())
        self._threads: ThreadPoolExecutor | None = None
        self._encoding: Future[None] | None = None
        self._measuring: Future[Meter] | None = None
        self._frames_encoded = 0
        self._frames_measured = 0

    def follow(self, finished: Collection[int], on_event: OnEvent) -> OnEvent:
        """Start working if the render suits, and return the listener that must hear of finished frames.

        Args:
            finished: frames of the source that earlier sessions have finished.
            on_event: the listener that hears of every event afterwards.
        """
        if not self._suits():
            return on_event
        self._frames = AwaitedPaths(self._render.final_frames())
        for frame in finished:
            self._frames.add(frame - self._render.start)
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="overlapped", initializer=_lower_priority)
        with suppress(RuntimeError):  # no memory for a thread
            self._encoding = self._threads.submit(self._encode)
            self._measuring = self._threads.submit(self._measure) if self._render.checked.is_measured else None

        def hear(event: Event) -> None:
            if isinstance(event, FrameDone):
                self._frames.add(event.frame - self._render.start)
            on_event(event)

        return hear

    def name_output(self, report: Callable[[int], object], cancelled: Cancelled | None = None) -> bool:
        """Give the output its name when it is encoded and checked; return False if the caller must encode it.

        Args:
            report: called with the number of frames encoded so far, whenever it grows.
            cancelled: asked several times a second; True stops.

        Raises:
            CancelledError: `cancelled` said so.
        """
        if not self._ended(self._encoding, lambda: self._frames_encoded, report, cancelled, _STOPPED):
            return False
        assert self._part is not None
        try:
            self._part.replace(self._render.request.output)
        except OSError:
            return False
        return True

    def measured(self, report: Callable[[int], object], cancelled: Cancelled | None = None) -> Meter | None:
        """Return the meter of all frames for `measure_render`; None if the caller must measure. Like `name_output`."""
        stopped = "the measurement was stopped"
        if not self._ended(self._measuring, lambda: self._frames_measured, report, cancelled, stopped):
            return None
        assert self._measuring is not None
        return self._measuring.result()

    def _ended(
        self,
        work: Future[Any] | None,
        count: Callable[[], int],
        report: Callable[[int], object],
        cancelled: Cancelled | None,
        stopped: str,
    ) -> bool:
        """Wait for the work to end, and return True if it succeeded."""
        if work is None or self._frames.missing or self._frames.closed:
            self.close()
            return False
        reported = 0
        while True:
            over = work.done()
            if (now := count()) > reported:
                report(now)
                reported = now
            if cancelled is not None and cancelled():
                raise CancelledError(stopped)
            if over:
                return work.exception() is None
            wait([work], timeout=_POLL_SECONDS)

    def close(self) -> None:
        """End the work under way, and remove the part file."""
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
        render, settings = self._render, self._render.config.output
        width, height = render.size
        target = choose_format(render.request.output, settings, frames=render.frames, width=width, height=height)
        if (
            render.config.finishes
            or render.sound.tracks  # put together when all of it is restyled
            or target.kind not in (OutputKind.VIDEO, OutputKind.ANIMATION)
            or target.hardware != "none"
        ):
            return False
        pixels = width * height
        raw = render.frames * pixels * 3 * settings.picture_bits // 8  # no painting compresses to more
        try:
            room = free_bytes(self._parts.folder or render.request.output.parent)
        except OSError:
            return False
        return (
            room >= disk_bytes(render.checked, render.size) + raw
            and (host_bytes() or 0) >= _MEMORY_SHARE * _PIXEL_BYTES * pixels
        )

    def _encode(self) -> None:
        render = self._render
        try:
            self._part = self._parts.file(render.request.output)
            encode_part(
                self._frames,
                self._part,
                clip=render.clip,
                start=render.start,
                end=render.end,
                settings=render.config.output,
                alpha=source_alpha(render),
                on_progress=self._count_encoded,
                cancelled=lambda: self._frames.closed,
            )
        except BaseException:
            self._remove_part()  # at once: the disk may be full while frames are still painted
            raise
        self._frames_encoded = len(self._frames)  # ffmpeg may not have reported the last ones

    def _measure(self) -> Meter:
        coming = PendingFrames(
            self._frames.__getitem__, self._ahead, owns_opencv=self._render.config.farm.executor != "inline"
        )
        return measure_coming(self._render, coming, on_frame=self._count_measured)

    def _ahead(self) -> int:
        return _MEASURED_AT_ONCE - 1 if self._frames.missing else sys.maxsize

    def _count_encoded(self, done: int) -> None:
        self._frames_encoded = done

    def _count_measured(self) -> None:
        if self._frames.closed:
            raise CancelledError(_DISCARDED)
        self._frames_measured += 1

    def _remove_part(self) -> None:
        if self._part is not None:
            with suppress(OSError):
                self._part.unlink(missing_ok=True)


def _lower_priority() -> None:
    """Lower the priority of this thread and of the processes it starts; only Linux has a niceness per thread."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.nice(_NICENESS)
