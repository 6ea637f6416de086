"""The whole story of a render, from a request to a checked output."""

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vidnst.errors import CancelledError, LostValueError, UnmeasuredError
from vidnst.events import Cancelled, Event, OnEvent, RunFinished, Stage, Warned, ignore, stop_if_asked
from vidnst.farm.component_window import default_window
from vidnst.farm.failure_policy import STOP_PATIENCE_SECONDS
from vidnst.farm.plan import Lane, NetworkId
from vidnst.farm.provisioning import choose_worker_counts
from vidnst.farm.scheduler import run_plan
from vidnst.media.output.encode import encode
from vidnst.processes.parallel import local_cores
from vidnst.rendering.early_forecast import EarlyForecast, Forecaster
from vidnst.rendering.early_workers import EarlyWorkers, WorkersAsked
from vidnst.rendering.effects_pass import finish_frames
from vidnst.rendering.measure_file import measure_file
from vidnst.rendering.measure_output import measure_render, measured_event
from vidnst.rendering.overlapped_output import OverlappedOutput
from vidnst.rendering.prepared_render import PreparedRender
from vidnst.rendering.run_opening import removing_refused
from vidnst.rendering.run_setup import prepare_render, record_threads, record_training_threads, recorded_threads
from vidnst.rendering.source_alpha import source_alpha
from vidnst.rendering.stopped_render import naming_continuation
from vidnst.report.key_coverage import read_key_coverage
from vidnst.report.measure.measurement import Measurement
from vidnst.report.write_report import report_run, reported_failure
from vidnst.runs import RunLog
from vidnst.runs.layout import RunLayout
from vidnst.runs.redo import report_suspects
from vidnst.runs.request import Request

if TYPE_CHECKING:  # it brings torch
    from vidnst.rendering.clip_render import ClipRender


MOST_LOSSES = 10
"""Times that a render goes on after results were lost: a cluster that loses machines faster than that is no use."""


@dataclass(frozen=True, slots=True)
class RenderResult:
    """The result of a finished render."""

    output: Path
    run_folder: Path
    frames: int
    """Number of frames in the output."""
    seconds: float
    """Time that this session took."""
    measurement: Measurement | None
    """Steadiness and losses of the output; None if it was not measured."""
    warnings: tuple[str, ...]
    """The warnings of this session."""
    suspects: Mapping[int, str]
    """Frames that look wrong although they were rendered again, and why."""


def run(
    request: Request,
    *,
    overwrite: bool = False,
    restart: bool = False,
    redo: Sequence[int] = (),
    redo_keys: Mapping[int, Path] | None = None,
    redo_only: bool = False,
    on_event: OnEvent = ignore,
    cancelled: Cancelled | None = None,
    forecaster: Forecaster | None = None,
) -> RenderResult:
    """Render a request, or resume it from what an earlier session has left.

    Args:
        request: source, styles, output and settings.
        overwrite: replace an output that exists, and start over where its earlier run is of another render.
        restart: discard what an earlier session left.
        redo: frames of the source to render again although an earlier session finished them.
        redo_keys: painted keys, by their frames, that replace those of the run; what depends on them is rendered again.
        redo_only: render these frames alone again, from their neighbours as they are.
        on_event: hears of the progress.
        cancelled: asked several times a second; True stops the render.
        forecaster: estimates what nodes take, for a time left before the first is done.

    Raises:
        FramesFailedError: some frames failed; all others are finished and kept, and nothing is encoded.
        VidnstError: another error, as the fitting subclass.
    """
    began = time.monotonic()
    warnings: list[str] = []

    def hear(event: Event) -> None:
        if isinstance(event, Warned):
            warnings.append(event.message)
        on_event(event)

    with naming_continuation(request, cancelled), EarlyWorkers(cancelled=cancelled) as workers:
        render = prepare_render(
            request,
            overwrite=overwrite,
            restart=restart,
            start_over=overwrite,
            redo=redo,
            redo_keys=redo_keys or {},
            redo_only=redo_only,
            on_usable=workers.begin,
            on_event=hear,
            cancelled=cancelled,
        )
        with (
            removing_refused(render.store, cancelled),
            render.store,
            render.sound,
            reported_failure(render.config, render.clip, render.store),
            render.recorder.watching(),
            OverlappedOutput(render) as overlapped,
        ):
            stylize_frames(render, cancelled, workers, overlapped, forecaster)
            measurement = finish(render, cancelled, overlapped)
            suspects = dict(sorted(RunLog.read(render.store.folder).suspects.items()))
    seconds = time.monotonic() - began
    ratio, *flicker = measurement.shown_numbers if measurement else (None, None, None)
    report = str(RunLayout(request.folder).report) if render.config.has_report else ""
    on_event(RunFinished(str(request.output), render.frames, seconds, ratio, report, *flicker))
    return RenderResult(request.output, request.folder, render.frames, seconds, measurement, tuple(warnings), suspects)


def stylize_frames(
    render: PreparedRender,
    cancelled: Cancelled | None,
    workers: EarlyWorkers,
    overlapped: OverlappedOutput | None = None,
    forecaster: Forecaster | None = None,
) -> None:
    """Paint every frame of the range that is not in the run folder yet.

    Args:
        render: what is rendered.
        cancelled: asked several times a second; True stops the render.
        workers: may have been started already.
        overlapped: encodes and measures frames as they are finished.
        forecaster: see `run`.

    Raises:
        FramesFailedError: some frames failed for good; all others are finished.
        SourceError: a source frame cannot be read; shots without such a frame are finished.
        VidnstError: another error that ended the render.
    """
    from vidnst.rendering.clip_render import ClipRender

    clip = ClipRender(render)
    if not clip.is_rendered:
        _run_rounds(clip, cancelled, workers, overlapped, forecaster)


def train_network(
    render: PreparedRender, cancelled: Cancelled | None, workers: EarlyWorkers, forecaster: Forecaster | None = None
) -> NDArray[np.float32]:
    """Train the network of a clip that the run folder does not hold yet, and return it.

    Raises:
        FramesFailedError: the training failed.
        VidnstError: another error that ended it.
    """
    from vidnst.rendering.clip_render import ClipRender

    clip = ClipRender(render)
    if clip.is_training:
        _run_rounds(clip, cancelled, workers, forecaster=forecaster, training_only=True)
    return render.store.read_network(NetworkId(render.start, render.schedule.training.stages))


def _run_rounds(
    clip: "ClipRender",
    cancelled: Cancelled | None,
    early_workers: EarlyWorkers,
    overlapped: OverlappedOutput | None = None,
    forecaster: Forecaster | None = None,
    *,
    training_only: bool = False,
) -> None:
    from vidnst.rendering.style_cache import StyleCache

    render = clip.render
    farm, schedule = render.config.farm, render.schedule
    stop_if_asked(cancelled)
    width = len(render.shots) if schedule.kind == "chain" else render.frames
    asked = WorkersAsked(
        farm,
        width,
        threads=recorded_threads(render.store),
        raft=render.checked.raft is not None,
        inline=not (render.config.stylizes or render.sound.tracks),  # passing frames through needs no process
    )
    expected = choose_worker_counts(farm, width=width, cores=local_cores(), gpus=0.0)
    foresee = partial(clip.foresee, workers=expected.style)
    with (
        closing(clip),
        EarlyForecast(forecaster, render.checked, foresee) as forecast,
        early_workers.started(asked) as (pool, workers),
        render.recorder.watching(),  # a stop is on record before the workers have ended, which may take seconds
    ):
        stop_if_asked(cancelled)
        for note in workers.notes:
            render.recorder(Warned(note))
        record_threads(render.store, workers.threads)
        record_training_threads(render, local_cores())
        follow = overlapped.follow if overlapped else None
        clip.open(StyleCache(pool, workers), workers=pool.workers(Lane.STYLE), follow=follow)
        forecast.then(foresee)
        losses = MOST_LOSSES
        while True:
            try:
                run_plan(
                    clip.components(),
                    pool,
                    window=farm.window
                    or default_window(workers.style, groups=schedule.spacing, prefetch=workers.prefetch),
                    prefetch=workers.prefetch,
                    attempts=farm.attempts,
                    listener=clip.report,
                    cancelled=lambda: clip.has_ended or (cancelled is not None and cancelled()),
                    patience_seconds=STOP_PATIENCE_SECONDS,
                )
            except CancelledError:
                if not clip.has_ended:
                    raise
            except LostValueError:
                if (losses := losses - 1) < 0:
                    raise
                pool.settle()
                clip.resume_round()
                continue
            if training_only:
                clip.flush()
                break
            if not clip.begin_round():
                break
    if clip.failure is not None:
        raise clip.failure


def finish(
    render: PreparedRender, cancelled: Cancelled | None = None, overlapped: OverlappedOutput | None = None
) -> Measurement | None:
    """Apply the effects that follow painting, then encode, check, measure and report the output.

    Args:
        render: a render whose frames are all painted.
        cancelled: asked several times a second; True stops the work.
        overlapped: has done part of it while frames were painted.

    Raises:
        UnmeasuredError: it was stopped when the output was finished.
        VidnstError: another error, as the fitting subclass.
    """
    report_suspects(render.store.folder, render.recorder)
    finish_frames(render, cancelled)
    encode_output(render, cancelled, overlapped)
    try:
        measurement = measure_frames(render, cancelled, overlapped) if render.checked.is_measured else None
        advise_on_keys(render)
        report_run(render.config, render.clip, render.store, render.recorder)
    except CancelledError as error:
        render.store.finish(keep=render.config.output.keep_frames, output=render.request.output)
        raise UnmeasuredError(render.request.output) from error
    render.store.finish(keep=render.config.output.keep_frames, output=render.request.output)
    return measurement


def advise_on_keys(render: PreparedRender) -> None:
    """Say once where to paint one more key, if there are keys that cover too little."""
    if not render.checked.keys:
        return
    try:
        coverage = read_key_coverage(render.store.folder, render.config, render.shots)
    except Exception as error:  # the render is finished, and no worse without advice
        render.recorder(Warned(f"the output is finished, but what the painted keys cover is not known: {error}"))
        return
    if coverage is not None and coverage.advice:
        render.recorder(Warned(coverage.advice))


def encode_output(
    render: PreparedRender, cancelled: Cancelled | None = None, overlapped: OverlappedOutput | None = None
) -> None:
    """Encode the final frames with the source's time stamps, audio and metadata, and check the result."""

    def report(done: int) -> None:
        render.recorder(Stage("encoding", done, render.frames))

    report(0)
    with render.store.writing_output(render.request.output):
        if overlapped and overlapped.name_output(report, cancelled):
            return
        encode(
            render.final_frames(),
            render.request.output,
            clip=render.clip,
            start=render.start,
            end=render.end,
            settings=render.config.output,
            alpha=source_alpha(render),
            soundtrack=render.sound.assembled(render.store),
            parts=render.store.part_maker(render.request.output),
            on_progress=report,
            cancelled=cancelled,
        )


def measure_frames(
    render: PreparedRender, cancelled: Cancelled | None = None, overlapped: OverlappedOutput | None = None
) -> Measurement | None:
    """Measure how steady the frames are; if that fails, warn and return None.

    Raises:
        CancelledError: `cancelled` said so.
    """

    def report(done: int) -> None:
        render.recorder(Stage("measuring", done, render.frames))

    try:
        meter = overlapped.measured(report, cancelled) if overlapped else None
        measurement = measure_render(render, meter=meter, cancelled=cancelled)
        measurement = replace(measurement, file=measure_file(render, cancelled))
        wrong = {str(frame): why for frame, why in sorted(RunLog.read(render.store.folder).suspects.items())}
        file = render.store.write_measure(measurement.to_dict() | {"suspects": wrong})
    except Exception as error:  # the render is finished, and a missing number makes nothing of it worse
        stop_if_asked(cancelled)
        render.recorder(Warned(f"the output is finished, but it could not be measured: {error}"))
        return None
    render.recorder(measured_event(file, measurement))
    return measurement
