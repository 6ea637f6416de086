"""The whole story of a render, from a request to a checked output."""

import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vidnst.config import RenderConfig
from vidnst.errors import CancelledError
from vidnst.events import Cancelled, OnEvent, RunFinished, RunStarted, Stage, Warned, ignore
from vidnst.farm.plan import Lane, Node, StateId, by_shot
from vidnst.frames import Shot
from vidnst.rendering.effects_pass import colour_styles, filter_input, final_frames, finish_frames
from vidnst.rendering.overlapped_output import OverlappedOutput
from vidnst.rendering.prepare import Job, prepare
from vidnst.rendering.run_setup import open_run, plan_shots, record_threads, recorded_threads, schedule_of, study_input
from vidnst.rendering.source_frames import open_frames, report_repeated
from vidnst.rendering.styles.guidance_builder import direct, follow_regions
from vidnst.report.write_report import report_run, reported_failure
from vidnst.runs import RunLog, RunStore, Writer
from vidnst.runs.event_recorder import EventRecorder
from vidnst.runs.redo import frames_failed, redo_frames, report_suspects
from vidnst.runs.request import Request

if TYPE_CHECKING:
    from vidnst.farm.jobs import Pool
    from vidnst.rendering.node_jobs import RenderHost
    from vidnst.rendering.shot_memory import ShotMemory


def render(
    source: str | Path | Sequence[str | Path],
    *,
    style: str | Path | Sequence[str | Path],
    output: str | Path,
    config: RenderConfig | None = None,
    work_dir: str | Path | None = None,
    overwrite: bool = False,
    restart: bool = False,
    on_event: OnEvent = ignore,
    cancelled: Cancelled | None = None,
) -> Path:
    """Stylize a clip.

    Args:
        source: a video, a folder, a glob, a printf pattern, or several pictures.
        style: one or several style pictures or clips, each optionally with a weight (`a.jpg:100`), a moment or shot
            from which it holds (`@10s`, `@shot2`), and a region (`#sky`).
        output: a video, an animation, a picture, or a folder for PNG frames.
        config: settings; None takes the defaults.
        work_dir: the run folder; None puts it beside the output.
        overwrite: replace an output that exists.
        restart: throw away what an earlier run left.
        on_event: hears of what happens.
        cancelled: asked several times a second whether to stop.

    Returns:
        The output's path.

    Raises:
        VidnstError: of the kind that fits; what is finished stays in the run folder, and the same call goes on.
    """
    styles = (style,) if isinstance(style, (str, Path)) else tuple(style)
    folder = None if work_dir is None else Path(work_dir)
    request = Request(source, tuple(map(str, styles)), Path(output), config or RenderConfig(), folder)
    return run(request, overwrite=overwrite, restart=restart, on_event=on_event, cancelled=cancelled)


def run(
    request: Request,
    *,
    overwrite: bool = False,
    restart: bool = False,
    redo: Sequence[int] = (),
    on_event: OnEvent = ignore,
    cancelled: Cancelled | None = None,
) -> Path:
    """Render a request, or go on with what an earlier run of it has left.

    Args:
        redo: frames of the source that are to be made again although an earlier run finished them.

    Raises:
        FramesFailedError: some frames failed; all else is finished and kept, and nothing is encoded.
        VidnstError: of the kind that fits.
    """
    began = time.monotonic()
    try:
        begun = begin(request, overwrite=overwrite, restart=restart, redo=redo, on_event=on_event, cancelled=cancelled)
        with (
            begun.store,
            reported_failure(begun.job.config, begun.job.clip, begun.store),
            begun.recorder.watching(),
            OverlappedOutput(begun.job, begun.store, begun.shots) as early,
        ):
            stylize_frames(begun.job, begun.store, begun.shots, begun.recorder, cancelled, early)
            finish(begun, cancelled, early)
    except CancelledError as error:
        again = f"go on with: vidnst resume {shlex.quote(str(request.folder))}"
        raise CancelledError(error.what, again) from error
    on_event(RunFinished(str(request.output), begun.job.end - begun.job.start, time.monotonic() - began))
    return request.output


@dataclass(frozen=True, slots=True)
class PreparedRender:
    """A render whose frames can be made: all is read and checked, and its run folder is open; close that."""

    job: Job
    store: RunStore
    shots: list[Shot]
    recorder: EventRecorder
    """What is to hear of all that comes: it tells whoever listens, and keeps in the run's log what is to stay."""


def begin(
    request: Request,
    *,
    overwrite: bool = False,
    restart: bool = False,
    redo: Sequence[int] = (),
    on_event: OnEvent = ignore,
    cancelled: Cancelled | None = None,
) -> PreparedRender:
    """All that comes before rendering: the source looked through, filtered, its shots found, its masks followed."""
    # What a run was killed over, it may have put into its place just before.
    own = not restart and RunLog.read(request.folder).was_writing(request.output)
    on_event = recorder = EventRecorder(on_event)
    job = prepare(request, overwrite=overwrite or own, on_event=on_event)
    store = open_run(job, restart=restart, redo=bool(redo))
    try:
        with recorder.watching():
            recorder.keep_in(store)
            job, shots = _study(job, store, redo, on_event, cancelled)
    except BaseException:
        store.close()
        raise
    return PreparedRender(job, store, shots, recorder)


def _study(
    job: Job, store: RunStore, redo: Sequence[int], on_event: OnEvent, cancelled: Cancelled | None
) -> tuple[Job, list[Shot]]:
    """What the run folder keeps of the source: its shots, its measures, its filtered frames, its masks."""
    shots = plan_shots(job, store, on_event)
    if redo:
        plans = by_shot(schedule_of(job), shots)
        redo_frames(store, plans, redo, start=job.start, end=job.end, on_event=on_event)
    job = study_input(job, store, shots, on_event, cancelled)
    job = filter_input(job, store, shots, on_event, cancelled)
    job = colour_styles(job, store, shots)
    follow_regions(job, store, shots, on_event, cancelled)
    return job, shots


def finish(begun: PreparedRender, cancelled: Cancelled | None = None, early: OverlappedOutput | None = None) -> None:
    """All that comes after rendering: pictures worked on further, the output packed, checked and measured.

    Args:
        early: has done part of it while frames were painted.
    """
    job, store, shots, on_event = begun.job, begun.store, begun.shots, begun.recorder
    report_suspects(store.folder, on_event)
    finish_frames(job, store, shots, on_event, cancelled)
    encode_output(job, store, on_event, cancelled, early)
    if job.is_measured:
        measure_frames(job, store, shots, on_event, cancelled, early)
    report_run(job.config, job.clip, store, on_event)
    store.finish(keep=job.config.output.keep_frames)


def stylize_frames(
    job: Job,
    store: RunStore,
    shots: Sequence[Shot],
    on_event: OnEvent = ignore,
    cancelled: Cancelled | None = None,
    early: OverlappedOutput | None = None,
) -> None:
    """Run the plan: every frame of the range is in the run folder afterwards.

    Args:
        early: is to follow the frames as they are finished.

    Raises:
        FramesFailedError: some are not, because they failed for good; all others are there.
        SourceError: some are not, because a frame of the source cannot be read; shots without such a frame are there.
    """
    from vidnst.farm.component_window import default_window
    from vidnst.farm.provisioning import hire
    from vidnst.farm.workers import StyleWorkerFactory
    from vidnst.rendering.node_jobs import RenderHost
    from vidnst.rendering.shot_memory import ShotMemory

    schedule = schedule_of(job)
    shot_memory = ShotMemory(job.config, store, on_event)
    shot_memory.even_out(by_shot(schedule, shots))
    done, there = finished_before(job, store, shots)
    frames_done = len(there)
    if schedule.loop and len(shots) > 1:
        on_event(Warned(f"the clip has {len(shots)} shots, so it begins with a cut when it is played round: no loop"))
    if frames_done == job.end - job.start:
        return
    size = (job.width, job.height)
    frames = open_frames(job, shots, on_repeated=lambda index: report_repeated(store, on_event, index))
    width = len(shots) if schedule.kind == "chain" else job.end - job.start
    factory = StyleWorkerFactory(job.config, job.features, [(style.pixels, style.weight) for style in job.styles])
    director = direct(job, store, shots)
    with (
        frames as cache,
        closing(director) if director else nullcontext(),
        Writer(store) as writer,
        hire(factory, raft=job.raft, width=width, threads=recorded_threads(store)) as (pool, staff),
    ):
        record_threads(store, staff.threads)
        host = RenderHost(
            job.config, store, cache, writer=writer, size=size, done=done, shot_memory=shot_memory, direct=director
        )
        started = RunStarted(
            folder=str(store.folder),
            output=str(job.request.output),
            frames=job.end - job.start,
            frames_done=frames_done,
            shots=len(shots),
            workers=tuple(pool.workers(Lane.STYLE)),
            seconds_per_frame=store.seconds_per_frame,
        )
        on_event(started)
        on_event = early.following(there, on_event) if early else on_event
        window = job.config.farm.window or default_window(staff.style, groups=schedule.spacing)
        rounds = _Rounds(job, store, shots, shot_memory, host, writer, on_event)
        rounds.run(pool, window=window, frames_done=frames_done, cancelled=cancelled)
    if host.source_error is not None:
        raise host.source_error
    if host.given_up:
        raise frames_failed(host.given_up, store.folder, frames=job.end - job.start)


@dataclass(frozen=True, slots=True)
class _Rounds:
    """All shots of a render on their way through the scheduler; once more those whose frames came out unlike."""

    job: Job
    store: RunStore
    shots: Sequence[Shot]
    shot_memory: "ShotMemory"
    host: "RenderHost"
    writer: Writer
    on_event: OnEvent

    def run(self, pool: "Pool", *, window: int, frames_done: int, cancelled: Cancelled | None) -> None:
        """Until every shot is even, or has failed."""
        from vidnst.farm.interfaces import Component
        from vidnst.farm.scheduler import run_plan
        from vidnst.rendering.node_jobs import Reporter

        left = set(range(len(self.shots)))
        while left:
            run_plan(
                (Component(nodes, self.host) for shot, nodes in enumerate(self._plans()) if shot in left),
                pool,
                window=window,
                attempts=self.job.config.farm.attempts,
                listener=Reporter(self.store, self.on_event, frames_done=frames_done),
                cancelled=cancelled,
            )
            self.writer.flush()
            left = self.shot_memory.even_out(self._plans(), without=self.host.failed_shots)
            if left:
                done, there = finished_before(self.job, self.store, self.shots)
                frames_done = len(there)
                self.host.begin_again(done)

    def _plans(self) -> Iterator[Iterator[Node]]:
        return by_shot(schedule_of(self.job), self.shots)


def finished_before(job: Job, store: RunStore, shots: Sequence[Shot]) -> tuple[set[StateId], list[int]]:
    """States that earlier sessions of the run have left no work for, and the frames of those that are final."""
    done: set[StateId] = set()
    finals: list[StateId] = []

    def noted(nodes: Iterator[Node]) -> Iterator[Node]:
        for node in nodes:
            if node.final and isinstance(node.id, StateId):
                finals.append(node.id)
            yield node

    for nodes in by_shot(schedule_of(job), shots):
        done |= store.finished_states(noted(nodes))
    return done, [state.frame for state in finals if state in done]


def encode_output(
    job: Job,
    store: RunStore,
    on_event: OnEvent = ignore,
    cancelled: Cancelled | None = None,
    early: OverlappedOutput | None = None,
) -> None:
    """Pack the frames, with the source's time stamps, audio and metadata, and check the result."""
    from vidnst.media.output.encode import encode

    total = job.end - job.start
    on_event(Stage("encoding", 0, total))
    with store.writing_output(job.request.output):
        if early and early.name_output(lambda done: on_event(Stage("encoding", done, total)), cancelled):
            return
        encode(
            final_frames(job, store),
            job.request.output,
            clip=job.clip,
            start=job.start,
            end=job.end,
            settings=job.config.output,
            on_progress=lambda done: on_event(Stage("encoding", done, total)),
            cancelled=cancelled,
        )


def measure_frames(
    job: Job,
    store: RunStore,
    shots: Sequence[Shot],
    on_event: OnEvent = ignore,
    cancelled: Cancelled | None = None,
    early: OverlappedOutput | None = None,
) -> None:
    """Measure how steady the frames are, into the run folder; whatever goes wrong is told, and fails nothing."""
    from vidnst.rendering.measure_output import measure_render, measured_event

    total = job.end - job.start
    try:
        meter = None
        if early:
            meter = early.measured(lambda done: on_event(Stage("measuring", done, total)), cancelled)
        found = measure_render(job, store, shots, meter=meter, on_event=on_event, cancelled=cancelled)
        wrong = {str(frame): why for frame, why in sorted(RunLog.read(store.folder).suspects.items())}
        event = measured_event(store.write_measure(found.to_dict() | {"suspects": wrong}), found)
    except Exception as error:  # the render is finished, and nothing about it is worse for a missing number
        on_event(Warned(f"the output is finished, but it could not be measured: {error}"))
    else:
        on_event(event)
