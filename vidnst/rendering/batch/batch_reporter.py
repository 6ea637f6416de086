"""Reports the progress of a batch over all its clips."""

import time
from collections.abc import Callable
from contextlib import ExitStack

from vidnst.events import BatchProgress
from vidnst.farm.interfaces import NodeEvent, NodeEventKind
from vidnst.farm.plan import FlowId
from vidnst.rendering.batch.batch_pace import BatchPace
from vidnst.rendering.batch.clip import BatchClip
from vidnst.rendering.batch.job_states import FINAL_STATES, JobState
from vidnst.rendering.batch.stages import BatchState
from vidnst.rendering.early_forecast import EarlyForecast, Forecaster
from vidnst.rendering.node_reporter import seconds_of
from vidnst.rendering.node_times import SecondsOf

_REPORT_SECONDS = 1.0
"""Least time between two reports."""


class BatchReporter:
    """Counts the work of all clips, and reports it. Only the thread that drives the scheduler uses it.

    Args:
        state: the clips and their jobs.
        forecaster: estimates what the nodes of the first clip take, before any is done.
        clock: a monotonic clock in seconds.
    """

    def __init__(
        self, state: BatchState, forecaster: Forecaster | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._state = state
        self._clock = clock
        self._pace = BatchPace(1, clock=clock)
        self._known: dict[JobState, BatchClip] = {}
        self._over: set[JobState] = set()
        self._began: float | None = None
        self._painted = 0
        self._frames_failed = 0
        self._reported: float | None = None
        self._latest: BatchProgress | None = None
        self._forecaster = forecaster
        self._forecasts = ExitStack()
        self._foreseen: tuple[str, SecondsOf] | None = None
        """The forecast for a clip, which a thread leaves here."""

    def expect(self, workers: int) -> None:
        """Say how many workers there will be, for a time left before they have started."""
        self._pace.expect(workers)

    def start(self, workers: int) -> None:
        """Begin to measure the rate, now that there are workers."""
        self._began = self._clock()
        self._pace.start(workers)

    def hear(self, clip: BatchClip, event: NodeEvent) -> None:
        """Count what the scheduler did with a node of a clip."""
        name = self._learn(clip)
        if event.kind is NodeEventKind.GIVEN_UP:
            self._pace.node_dropped(name, event.node)
            self._frames_failed += event.node.final
        elif event.kind is NodeEventKind.DONE and not isinstance(event.node.id, FlowId):
            self._pace.node_done(name, event.node, *seconds_of(event))
            self._painted += event.node.final

    def renew(self, clip: BatchClip) -> None:
        """Count again what is left of a clip: it begins another round, or some of its results were lost."""
        self._known.pop(clip.job, None)
        self._learn(clip)

    def tick(self, *, now: bool = False) -> None:
        """Report the progress if it has changed and is due, or in any case at once."""
        if not now and self._reported is not None and self._clock() - self._reported < _REPORT_SECONDS:
            return
        progress = self._progress()
        self._reported = self._clock()
        if progress != self._latest:
            self._latest = progress
            self._state.report(progress)

    def close(self) -> None:
        """End the forecast."""
        self._forecasts.close()

    def _foresee(self, clip: BatchClip) -> None:
        """Have a forecast made of the first clip that is known."""
        forecaster, self._forecaster = self._forecaster, None
        forecast = self._forecasts.enter_context(EarlyForecast(forecaster, clip.render.checked))

        def keep(seconds_of: SecondsOf) -> None:
            self._foreseen = clip.job.spec.name, seconds_of

        forecast.then(keep)

    def _learn(self, clip: BatchClip) -> str:
        """Make the work of a clip known to the pace, and return its name there."""
        name, job = clip.job.spec.name, clip.job
        if self._known.get(job) is not clip:
            self._known[job] = clip
            self._over.discard(job)
            render = clip.render
            self._pace.add(
                name,
                clip.nodes_ahead(),
                config=render.config,
                size=render.size,
                source=job.spec.source,
                done=clip.done,
            )
            if self._forecaster is not None:
                self._foresee(clip)
        return name

    def _progress(self) -> BatchProgress:
        """Count jobs and frames, and what the pace says of them."""
        with self._state.jobs.lock:
            opened = (*self._state.ready, *self._state.rendering)
        for clip in opened:
            self._learn(clip)
        if self._foreseen is not None and not self._pace.is_measured:
            self._pace.foresee(*self._foreseen)
        with self._state.jobs.lock:
            jobs = self._state.jobs.all
            for job in jobs:
                if job in self._known and job not in self._over and job.state in (*FINAL_STATES, "encoding"):
                    self._over.add(job)
                    self._pace.clip_over(job.spec.name)
            unopened = [job for job in jobs if job not in self._known and job.state not in FINAL_STATES]
            before = [job.spec.source for job in jobs if job not in self._known and job.state == "done"]
            paused = {job.spec.name for job in jobs if job.paused}
            frames, frames_done = sum(job.frames for job in jobs), sum(job.frames_done for job in jobs)
            states = [job.state for job in jobs]
        seconds = 0.0 if self._began is None else self._clock() - self._began
        unknown = [job.spec.source for job in unopened if not job.paused]
        return BatchProgress(
            clips=len(jobs),
            clips_done=states.count("done"),
            clips_failed=states.count("failed"),
            clips_unopened=len(unopened),
            frames=frames,
            frames_done=frames_done,
            frames_failed=self._frames_failed,
            share=self._pace.share(unknown=unknown, done=before),
            frames_per_second=self._painted / seconds if self._painted and seconds > 0 else None,
            seconds_left=self._pace.seconds_left(unknown=unknown, paused=paused),
            is_forecast=not self._pace.is_measured,
        )
