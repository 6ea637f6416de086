"""The stages of a clip in a batch: prepared and encoded in threads of their own, rendered in between.

    queued -> preparing -> (ready) -> rendering -> encoding -> done

`BatchState` holds the clips between the stages. `Preparer` and `encode_clips` run in threads; the caller's thread
drives the scheduler, see `run`.
"""

import os
import queue
import threading
from dataclasses import replace
from typing import Any

from vidnst.config.loader import build_config
from vidnst.config.style import Style, as_style
from vidnst.errors import CancelledError, DiskFullError, UnmeasuredError, VidnstError
from vidnst.events import (
    Cancelled,
    Event,
    FrameDone,
    NodeFailed,
    OnEvent,
    Suspected,
    Warned,
    WorkerDied,
    WorkerQuarantined,
    WorkerReinstated,
)
from vidnst.lru_cache import LruCache
from vidnst.rendering.batch.clip import BatchClip
from vidnst.rendering.batch.job_file import ClipSpec
from vidnst.rendering.batch.job_states import JobState, JobStates, JobStatus
from vidnst.rendering.early_workers import needs_workers
from vidnst.rendering.pipeline import finish
from vidnst.rendering.prepare import with_file_bits
from vidnst.rendering.prepared_render import PreparedRender
from vidnst.rendering.run_setup import prepare_render
from vidnst.rendering.sound_check import style_path
from vidnst.rendering.style_cache import STYLES_KEPT, digest
from vidnst.runs import Manifest, RunLog, RunPlan, holds_run
from vidnst.runs.request import Request

_IDLE_SECONDS = 0.05


class BatchState:
    """The clips that a batch is working on, shared by its threads.

    Args:
        jobs: states of the batch's jobs; its lock guards the lists here.
        on_event: hears of jobs and of the clips' warnings, one call at a time.
    """

    def __init__(self, jobs: JobStates, on_event: OnEvent) -> None:
        self.jobs = jobs
        self.ready: list[BatchClip] = []
        """Prepared clips with shots that the scheduler does not have yet."""
        self.rendering: list[BatchClip] = []
        """Clips that the scheduler is rendering."""
        self.rendered: queue.SimpleQueue[BatchClip | None] = queue.SimpleQueue()
        """Clips to encode; None ends an encoding thread."""
        self.closing = threading.Event()
        self.fatal: VidnstError | None = None
        """The error that ends the whole batch."""
        self.wants_workers = False
        """True once a clip that has frames to paint is found usable."""
        self.prepare_ahead = 2
        """Number of clips that are prepared before the scheduler asks for them."""
        self._on_event = on_event

    def end(self, clip: BatchClip, error: BaseException | None) -> None:
        """Take a clip out of the batch, unfinished."""
        with self.jobs.lock:
            for clips in (self.ready, self.rendering):
                if clip in clips:
                    clips.remove(clip)
            failure = error or clip.failure
            clip.end("stopped" if failure is None else str(failure), failed=failure is not None)
            self.settle(clip.job, None if failure is None else str(failure))

    def settle(self, job: JobState, failure: str | None) -> None:
        """Set the state of a job that nothing is working on any more."""
        state: JobStatus = "cancelled" if job.cancelled else "queued" if failure is None else "failed"
        self.jobs.change(job, state, failure or "")

    def want_workers(self, request: Request) -> None:
        """Have workers started, if the request of a clip needs some."""
        self.wants_workers |= needs_workers(request)

    def stopper(self, job: JobState) -> Cancelled:
        """Return a function that says if work at a job should stop."""
        return lambda: self.closing.is_set() or job.cancelled

    def listener(self, job: JobState) -> OnEvent:
        """Return a listener for the events of a job's clip."""

        def hear(event: Event) -> None:
            match event:
                case FrameDone():
                    self.jobs.count_frame(job)
                case NodeFailed() | WorkerDied() | WorkerQuarantined() | WorkerReinstated() | Suspected() | Warned():
                    self.report(Warned(f"{job.spec.name}: {event}"))
                case _:
                    pass

        return hear

    def report(self, event: Event) -> None:
        """Pass an event on, one at a time."""
        with self.jobs.lock:
            self._on_event(event)


class Preparer:
    """Prepares one clip after the other, the most urgent first. `run` may be called in several threads."""

    def __init__(self, state: BatchState) -> None:
        self._state = state
        self._shared_values = LruCache[str, Any](STYLES_KEPT)
        self._lock = threading.Lock()

    def run(self) -> None:
        """Prepare clips until the batch closes."""
        state = self._state
        while not state.closing.is_set():
            job = self._next()
            if job is None:
                state.closing.wait(_IDLE_SECONDS)
                continue
            try:
                self._prepare(job)
            except CancelledError:
                state.settle(job, None)
            except DiskFullError as error:
                state.fatal = error
                state.settle(job, str(error))
            except VidnstError as error:
                state.settle(job, str(error))
            except Exception as error:  # one clip must not end the others
                state.settle(job, f"{type(error).__name__}: {error}")

    def _next(self) -> JobState | None:
        """Return the most urgent queued job, if there is room; jobs of lower priority take no room from it."""
        jobs = self._state.jobs
        with jobs.lock:
            queued = [job for job in jobs.all if job.state == "queued" and not job.paused]
            job = min(queued, key=lambda job: job.urgency, default=None)
            if job is None:
                return None
            priority = job.spec.priority
            ahead = sum(other.state == "preparing" and other.spec.priority >= priority for other in jobs.all)
            if ahead >= self._state.prepare_ahead:
                return None
            jobs.change(job, "preparing")
            return job

    def _prepare(self, job: JobState) -> None:
        state, request = self._state, job.spec.request
        if (frames := frames_finished_before(job.spec)) is not None:
            job.frames = job.frames_done = frames
            state.jobs.change(job, "done", "finished before")
            return
        request.output.parent.mkdir(parents=True, exist_ok=True)
        render = prepare_render(
            request,
            on_usable=lambda usable, _: state.want_workers(usable),
            on_event=state.listener(job),
            cancelled=state.stopper(job),
        )
        try:
            clip = BatchClip(job, self._deduplicated(render))
        except BaseException:
            render.close()
            raise
        with state.jobs.lock:
            job.frames, job.frames_done = render.frames, len(clip.frames_finished)
            if clip.is_rendered:
                state.jobs.change(job, "encoding")
                state.rendered.put(clip)
            else:
                state.ready.append(clip)

    def _deduplicated(self, render: PreparedRender) -> PreparedRender:
        """Return the render with weights and style pictures replaced by equal ones that another clip holds already."""
        checked, marks = render.checked, render.checked.manifest.look
        features = self._shared(f"weights {marks.weights}", checked.features)
        raft = self._shared(f"flow weights {marks.flow_weights}", checked.raft)
        styles = tuple(
            replace(
                style, pixels=self._shared(f"style {digest(style.pixels.tobytes())} {style.pixels.shape}", style.pixels)
            )
            for style in render.styles
        )
        return replace(render, checked=replace(checked, features=features, raft=raft), styles=styles)

    def _shared(self, key: str, value: Any) -> Any:
        with self._lock:
            return self._shared_values.get(key, lambda: value)


def encode_clips(state: BatchState) -> None:
    """Encode and measure one rendered clip after the other, until None comes."""
    while (clip := state.rendered.get()) is not None:
        try:
            finish(clip.render, state.stopper(clip.job))
        except UnmeasuredError:
            clip.end()
            state.jobs.change(clip.job, "done", "not measured")
        except CancelledError:
            state.end(clip, None)
        except Exception as error:
            if isinstance(error, DiskFullError):
                state.fatal = error
            state.end(clip, error)
        else:
            clip.end()
            state.jobs.change(clip.job, "done")


def frames_finished_before(spec: ClipSpec) -> int | None:
    """Return how many frames a clip has if an earlier run finished its output as the job file asks for it, else None.

    Neither source nor styles are opened, since they may be gone: a source that was replaced under its old name needs a
    new output.
    """
    request = spec.request
    folder, output = request.folder, request.output
    if not holds_run(folder) or not RunLog.read(folder).complete:
        return None
    plan = RunPlan.read(folder)
    files = plan.output_files(output) if plan else None
    exists = output.is_file() or (output.is_dir() and any(output.iterdir()))
    if not (all(file.is_file() for file in files) if files else exists):
        return None
    if not _is_same(Manifest.read(folder), request):
        return None
    return plan.end - plan.start if plan else 0


def _is_same(manifest: Manifest, request: Request) -> bool:
    """Return True if a run is of this request, as far as that shows without opening its files."""
    recorded = [mark.style for mark in manifest.look.styles]
    request = with_file_bits(request)
    return (
        recorded == [_absolute(as_style(style)) for style in request.styles]
        and manifest.sources == (os.path.abspath(str(request.source)),)
        and build_config(manifest.config).look() == request.config.look()
        and style_path(build_config(manifest.config)) == style_path(request.config)
    )


def _absolute(style: Style) -> Style:
    return replace(style, path=os.path.abspath(style.path))
