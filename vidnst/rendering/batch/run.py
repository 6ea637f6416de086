"""Renders all jobs of a file on one pool: clips are prepared ahead and encoded behind, so that no worker waits."""

import logging
import shlex
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidnst.config import FarmConfig
from vidnst.errors import CancelledError, ConfigError, FarmError, LostValueError, VidnstError
from vidnst.events import Cancelled, OnEvent, Warned, ignore
from vidnst.farm.component_window import default_window
from vidnst.farm.failure_policy import STOP_PATIENCE_SECONDS
from vidnst.farm.interfaces import NodeEvent
from vidnst.farm.jobs import SharingPool
from vidnst.farm.local_gpus import check_gpus
from vidnst.farm.plan import Lane
from vidnst.farm.provisioning import WorkerCounts, choose_worker_counts, start_workers
from vidnst.farm.scheduler import run_plan
from vidnst.processes.parallel import local_cores
from vidnst.rendering.batch.batch_reporter import BatchReporter
from vidnst.rendering.batch.clip import BatchClip
from vidnst.rendering.batch.job_file import read_jobs
from vidnst.rendering.batch.job_states import JobStates
from vidnst.rendering.batch.shot_queue import ShotQueue
from vidnst.rendering.batch.stages import BatchState, Preparer, encode_clips
from vidnst.rendering.early_forecast import Forecaster
from vidnst.rendering.early_workers import EarlyWorkers, StartWorkers, WorkersAsked
from vidnst.rendering.pipeline import MOST_LOSSES
from vidnst.rendering.style_cache import StyleCache

CONTROL_SECONDS = 0.5
"""Time between two looks at control files and at the job file."""
_MOST_AHEAD = 32
"""Clips prepared ahead: short ones begin and end in waves, and then each worker may want another."""
_PREPARERS = 2
_PAUSE_SECONDS = 0.05
_WIDTH = 1 << 20
"""Nodes that can run at once: there is always another clip."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BatchSummary:
    """The numbers of jobs that a batch ended with."""

    done: int
    failed: int
    cancelled: int
    failures: tuple[tuple[str, str], ...] = ()
    """Name and reason of each job that failed, in the order of the file."""


def run_batch(
    jobs: Path,
    *,
    farm: Mapping[str, Any] | None = None,
    on_event: OnEvent = ignore,
    cancelled: Cancelled | None = None,
    start: StartWorkers = start_workers,
    schedule: Callable[..., object] = run_plan,
    forecaster: Forecaster | None = None,
) -> BatchSummary:
    """Render the jobs of a file; what an earlier call has finished is not rendered again.

    Args:
        jobs: the file, see `read_jobs`. It is read again when it changes.
        farm: settings of the `farm` section that override the file's.
        on_event: hears of every job's changes, one call at a time, from several threads.
        cancelled: asked several times a second; True stops the batch.
        start: starts the workers, with the signature of `start_workers`.
        schedule: runs the nodes, with the signature of `run_plan`.
        forecaster: estimates what nodes take, for a time left before the first is done.

    Raises:
        ConfigError: the file is wrong; names the place.
        RunError: another process renders this batch.
        FarmError: the workers cannot be had, or are all lost.
        DiskFullError: no space left.
        CancelledError: `cancelled` said so; what is finished is kept, and the same call resumes the batch.
    """
    asked = read_jobs(jobs, farm=farm)
    if any(clip.request.config.stylizes for clip in asked.clips):
        check_gpus(asked.farm)
    states = JobStates(jobs, on_event)
    try:
        states.update(asked.clips)
        batch = _Batch(jobs, states, asked.farm, farm, on_event, cancelled or (lambda: False), forecaster)
        return batch.run(start, schedule)
    except (CancelledError, FarmError) as error:
        if isinstance(error, FarmError) and not (cancelled is not None and cancelled()):
            raise
        # A terminal that is closed, or Ctrl-C, may have ended workers before this process.
        what = error.what if isinstance(error, CancelledError) else "stopped"
        raise CancelledError(what, f"continue with: vidnst batch {shlex.quote(str(jobs))}") from error
    finally:
        states.close()


class _Batch:
    """One call of `run_batch`.

    Three kinds of threads work on a clip, one after the other: some prepare it, the caller's has it rendered, others
    encode and measure it.
    """

    def __init__(
        self,
        path: Path,
        jobs: JobStates,
        farm: FarmConfig,
        farm_overrides: Mapping[str, Any] | None,
        on_event: OnEvent,
        cancelled: Cancelled,
        forecaster: Forecaster | None,
    ) -> None:
        self._path = path
        self._jobs = jobs
        self._farm = farm
        self._farm_overrides = farm_overrides
        self._cancelled = cancelled
        self._state = BatchState(jobs, on_event)
        self._reporter = BatchReporter(self._state, forecaster)
        self._shots: ShotQueue | None = None
        """None until there are workers."""
        self._losses = 0
        self._prefetch = 1
        """Nodes that each worker is given ahead, once there are workers."""
        self._controlled = time.monotonic()
        self._stamp = _stamp(path)

    def run(self, start: StartWorkers, schedule: Callable[..., object]) -> BatchSummary:
        """Work until every job is over."""
        self._jobs.obey()  # earlier commands may decide whether anything is left to do
        self._jobs.write(now=True)
        threads = self._start_threads()
        waits = True
        try:
            with ExitStack() as stack, closing(self._reporter):
                self._drive(stack, start, schedule)
        except (CancelledError, KeyboardInterrupt) as error:
            # A second interrupt while the batch stops waits for nothing.
            waits = not isinstance(error.__cause__ or error, KeyboardInterrupt)
            raise
        finally:
            self._state.closing.set()
            self._dismiss(threads, waits=waits)
        self._reporter.tick(now=True)
        states = [job.state for job in self._jobs.all]
        failures = tuple((job.spec.name, job.message) for job in self._jobs.all if job.state == "failed")
        return BatchSummary(states.count("done"), states.count("failed"), states.count("cancelled"), failures)

    def _start_threads(self) -> list[threading.Thread]:
        preparer, encoders = Preparer(self._state), max(1, min(4, local_cores() // 2))
        threads = [
            *(threading.Thread(target=preparer.run, name=f"prepare-{n}", daemon=True) for n in range(_PREPARERS)),
            *(
                threading.Thread(target=encode_clips, args=[self._state], name=f"encode-{n}", daemon=True)
                for n in range(encoders)
            ),
        ]
        for thread in threads:
            thread.start()
        return threads

    def _drive(self, stack: ExitStack, start: StartWorkers, schedule: Callable[..., object]) -> None:
        early_workers = stack.enter_context(EarlyWorkers(start, self._cancelled))
        asked: WorkersAsked | None = None
        pool: SharingPool | None = None
        while not self._jobs.over:
            if self._tick():
                raise CancelledError("stopped")
            has_work = self._has_work()
            if asked is None and (has_work or self._state.wants_workers):
                asked = self._asked_workers()
                early_workers.ask(asked)
            if asked is None or not has_work or not early_workers.are_ready:
                time.sleep(_PAUSE_SECONDS)
                continue
            if pool is None or self._shots is None:
                pool, workers = stack.enter_context(early_workers.started(asked))
                self._shots = self._open_queue(pool, workers)
            self._run_shots(schedule, pool, self._shots)

    def _asked_workers(self) -> WorkersAsked:
        """What workers the batch needs; tells the reporter how many there will be."""
        expected = choose_worker_counts(self._farm, width=_WIDTH, cores=local_cores(), gpus=0.0)
        self._reporter.expect(expected.style)
        raft = any(job.spec.request.config.motion.method == "raft" for job in self._jobs.all)
        return WorkersAsked(self._farm, _WIDTH, threads=self._jobs.threads, raft=raft)

    def _run_shots(self, schedule: Callable[..., object], pool: SharingPool, shots: ShotQueue) -> None:
        """Have the shots that are ready rendered, and their successors."""
        try:
            schedule(
                shots,
                pool,
                window=self._farm.window or default_window(len(shots.workers), prefetch=self._prefetch),
                prefetch=self._prefetch,
                attempts=self._farm.attempts,
                listener=self._report,
                cancelled=self._tick,
                eager=shots.is_eager,
                patience_seconds=STOP_PATIENCE_SECONDS,
            )
        except LostValueError:
            if (losses := self._losses + 1) > MOST_LOSSES:
                raise
            self._losses = losses
            pool.settle()
            self._resume_clips()
            return
        self._finish_stuck()

    def _resume_clips(self) -> None:
        """Queue again what is left of the clips in work, after results were lost with a machine."""
        for clip in self._state.rendering:
            clip.resume_round()
            self._reporter.renew(clip)
            with self._jobs.lock:
                clip.job.frames_done = len(clip.frames_finished)
                if clip not in self._state.ready:
                    self._state.ready.append(clip)

    def _open_queue(self, pool: SharingPool, workers: WorkerCounts) -> ShotQueue:
        names = pool.workers(Lane.STYLE)
        _log.info("the batch renders on %d workers", len(names))
        self._state.prepare_ahead = min(_MOST_AHEAD, 2 + len(names))
        for note in workers.notes:
            self._state.report(Warned(note))
        self._jobs.threads = workers.threads
        self._prefetch = workers.prefetch
        self._jobs.write(now=True)
        self._reporter.start(len(names))
        return ShotQueue(self._state, StyleCache(pool, workers), names)

    def _report(self, event: NodeEvent) -> None:
        for clip in self._state.rendering:
            if clip.host is event.host:
                clip.report(event)
                self._reporter.hear(clip, event)

    def _has_work(self) -> bool:
        with self._jobs.lock:
            return any(not clip.job.paused for clip in self._state.ready)

    def _tick(self) -> bool:
        """Do what is due now and then in the caller's thread; return True to stop."""
        if self._state.fatal is not None:
            raise self._state.fatal
        for clip in list(self._state.rendering):
            if clip.host is not None:
                clip.host.dropped |= clip.job.cancelled
                if clip.is_settled and clip.is_handed_out:
                    self._finish_round(clip)
        if self._shots is not None:
            self._shots.look_ahead()
        if time.monotonic() - self._controlled >= CONTROL_SECONDS:
            self._controlled = time.monotonic()
            self._jobs.obey()
            self._reread_jobs()
            self._jobs.write()
        self._reporter.tick()
        return self._cancelled()

    def _finish_round(self, clip: BatchClip) -> None:
        """Send a clip on whose frames are all rendered, or never will be; or start another round of uneven shots."""
        assert clip.host is not None
        try:
            again = clip.is_settled and clip.begin_round()
        except VidnstError as error:
            clip.host.fail(error)
        else:
            if again:
                self._reporter.renew(clip)
                with self._jobs.lock:
                    clip.job.frames_done = len(clip.frames_finished)
                    self._state.ready.append(clip)
                return
        self._state.rendering.remove(clip)
        clip.close()
        if clip.job.cancelled or clip.failure is not None:
            self._state.end(clip, None)
        else:
            self._jobs.change(clip.job, "encoding")
            self._state.rendered.put(clip)

    def _finish_stuck(self) -> None:
        """Send on the clips that are not settled although nothing runs any more: they never will be."""
        for clip in [clip for clip in self._state.rendering if clip.is_handed_out]:
            assert clip.host is not None
            if not clip.is_settled and clip.failure is None:
                clip.host.failure = FarmError("some frames could not be rendered")
            self._finish_round(clip)

    def _reread_jobs(self) -> None:
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._jobs.update(read_jobs(self._path, farm=self._farm_overrides).clips)
        except ConfigError as error:
            self._state.report(
                Warned(f"{self._path} has changed and cannot be used, so the jobs stay as they were: {error}")
            )

    def _dismiss(self, threads: Sequence[threading.Thread], *, waits: bool) -> None:
        """Let the threads end, each after what it is working on, and put back what none is working on."""
        for _ in threads if waits else ():
            self._state.rendered.put(None)
        for thread in threads if waits else ():
            thread.join()
        self._put_back()
        for _ in () if waits else threads:
            self._state.rendered.put(None)

    def _put_back(self) -> None:
        """Close the clips in work; their jobs are queued for the next call."""
        while not self._state.rendered.empty():
            if (clip := self._state.rendered.get()) is not None:
                self._state.end(clip, None)
        for clip in {*self._state.rendering, *self._state.ready}:
            with suppress(VidnstError):  # it must not hide the reason for the end
                self._state.end(clip, None)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
