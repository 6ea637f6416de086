"""Decides which shot of a batch the scheduler gets next: by priority, then by position in the job file."""

from collections.abc import Callable, Iterator, Sequence

from vidnst.errors import VidnstError
from vidnst.events import Warned
from vidnst.farm.interfaces import Component
from vidnst.rendering.batch.clip import BatchClip
from vidnst.rendering.batch.job_states import JobState
from vidnst.rendering.batch.stages import BatchState
from vidnst.rendering.batch.tail_balancing import is_near
from vidnst.rendering.run_setup import record_threads, record_training_threads, recorded_threads
from vidnst.rendering.source_frames import CACHE_BYTES
from vidnst.rendering.style_cache import StyleCache

_MOST_SHOTS_AT_END = 3
"""Shots per worker that are open at once near the end, when all are to begin."""
_MOST_SHOTS_URGENT = 4
"""Shots per worker that are open at once when urgent ones come, which leaves one of those for each worker."""
_PLACES = 1 << 20
"""More than the positions in any job file, so that a priority outweighs every position."""


class ShotQueue:
    """An iterator of shots for the scheduler. It ends while no clip is ready, and may continue later.

    Args:
        state: the clips that are ready and rendering.
        styles: hands styles and weights to the workers.
        workers: names of the stylizing workers.
    """

    def __init__(self, state: BatchState, styles: StyleCache, workers: Sequence[str]) -> None:
        self.workers = tuple(workers)
        self.state = state
        self._styles = styles
        self._near_end = False
        """True if all shots are to begin, and position in the job file no longer counts."""

    def __iter__(self) -> Iterator[Component]:
        return self

    def __next__(self) -> Component:
        """Return the next shot of the most urgent clip that is ready.

        Raises:
            StopIteration: none is ready now.
        """
        while (clip := self._first_ready()) is not None:
            try:
                if clip.host is None:
                    self._begin_rendering(clip)
                component = clip.next_component(self._order_of(clip.job))
            except VidnstError as error:
                self.state.end(clip, error)
                continue
            if clip.is_handed_out:
                with self.state.jobs.lock:
                    self.state.ready.remove(clip)
            return component
        raise StopIteration

    def is_eager(self, shots: int) -> bool:
        """Return True if the next shot should begin although workers have work: near the end, or if it is more urgent.

        Args:
            shots: number of shots that are rendering; it is limited, since each takes memory.
        """
        if shots >= _MOST_SHOTS_URGENT * len(self.workers) or (clip := self._first_ready()) is None:
            return False
        if self._near_end and shots < _MOST_SHOTS_AT_END * len(self.workers):
            return True
        priority = clip.job.spec.priority
        return any(other.job.spec.priority < priority for other in self.state.rendering if not other.is_settled)

    def look_ahead(self) -> None:
        """Find out if the end is near; once all shots have begun, the answer stays as it was."""
        with self.state.jobs.lock:
            ready = [clip for clip in self.state.ready if not clip.job.paused]
            known = {*ready, *(clip for clip in self.state.rendering if not clip.job.paused)}
            jobs = [job for job in self.state.jobs.all if not job.paused]
            coming = sum(job.state in ("queued", "preparing") for job in jobs)
        if ready:
            self._near_end = is_near(
                left=sum(clip.work_left for clip in known),
                unknown=max(0, coming - sum(clip.host is None for clip in ready)),
                clips=len(known),
                longest_path=max(clip.longest_path for clip in ready),
                workers=len(self.workers),
            )

    def _first_ready(self) -> BatchClip | None:
        with self.state.jobs.lock:
            for clip in [clip for clip in self.state.ready if clip.job.cancelled and clip.host is None]:
                self.state.end(clip, None)
            able = [clip for clip in self.state.ready if not clip.job.paused]
            return min(able, key=lambda clip: clip.job.urgency, default=None)

    def _begin_rendering(self, clip: BatchClip) -> None:
        sharing = max(1, min(len(self.workers), len(self.state.jobs.by_name)), len(self.state.rendering) + 1)
        record_training_threads(clip.render, self.state.jobs.threads or 1)  # other clips keep the other cores busy
        clip.open(self._styles, workers=self.workers, cache_bytes=CACHE_BYTES // sharing)
        store = clip.render.store
        before, now = recorded_threads(store), self.state.jobs.threads
        if before is not None and before != now:
            note = f"its first frames were made with {before} threads and the others are with {now}: bytes may differ"
            clip.render.recorder(Warned(note))
        record_threads(store, now)
        self.state.rendering.append(clip)
        self.state.jobs.change(clip.job, "rendering")

    def _order_of(self, job: JobState) -> Callable[[], int]:
        """Order by priority, then position; near the end by priority alone, so that the frames' progress decides."""
        return lambda: (0 if self._near_end else job.order) - job.spec.priority * _PLACES
