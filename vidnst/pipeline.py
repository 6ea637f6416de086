"""The whole story of a render, from a request to a checked output."""

import shlex
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vidnst.again import frames_failed, redo_frames, suspects, tell_suspects
from vidnst.chronicle import Chronicle
from vidnst.config import RenderConfig, ScheduleConfig
from vidnst.director import direct, follow_regions
from vidnst.errors import CancelledError, RunError
from vidnst.events import OnEvent, RunFinished, RunStarted, Stage, Warned, ignore
from vidnst.finishing import colour_styles, filter_input, final_frames, finish_frames
from vidnst.frames import Shot
from vidnst.plan import Lane, StateId, by_shot
from vidnst.prepare import Job, Request, adjusted, prepare, study_frames
from vidnst.reporting import report_run, reported_failure
from vidnst.source import open_frames, tell_repeated
from vidnst.store import RunStore, check_free_space, holds_run, reading_plan, required_bytes, was_writing
from vidnst.timeline import check_shots

Cancelled = Callable[[], bool]

_MOST_THREADS = 1024


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
    on_event = chronicle = Chronicle(on_event)
    try:
        begun = begin(request, overwrite=overwrite, restart=restart, redo=redo, on_event=on_event, cancelled=cancelled)
        with begun.store, reported_failure(begun.job, begun.store), chronicle.kept_in(begun.store):
            stylize_frames(begun.job, begun.store, begun.shots, on_event, cancelled)
            finish(begun, on_event, cancelled)
    except CancelledError as error:
        again = f"go on with: vidnst resume {shlex.quote(str(request.folder))}"
        raise CancelledError(error.what, again) from error
    on_event(RunFinished(str(request.output), begun.job.end - begun.job.start, time.monotonic() - began))
    return request.output


@dataclass(frozen=True, slots=True)
class Begun:
    """A render whose frames can be made: all is read and checked, and its run folder is open; close that."""

    job: Job
    store: RunStore
    shots: list[Shot]


def begin(
    request: Request,
    *,
    overwrite: bool = False,
    restart: bool = False,
    redo: Sequence[int] = (),
    on_event: OnEvent = ignore,
    cancelled: Cancelled | None = None,
) -> Begun:
    """All that comes before rendering: the source looked through, filtered, its shots found, its masks followed."""
    # What a run was killed over, it may have put into its place just before.
    own = not restart and was_writing(request.folder, request.output)
    job = prepare(request, overwrite=overwrite or own, on_event=on_event)
    store = open_run(job, restart=restart, redo=bool(redo))
    try:
        shots = plan_shots(job, store, on_event)
        if redo:
            plans = by_shot(schedule_of(job), shots)
            redo_frames(store, plans, redo, start=job.start, end=job.end, on_event=on_event)
        job = study_input(job, store, shots, on_event, cancelled)
        job = filter_input(job, store, shots, on_event, cancelled)
        job = colour_styles(job, store, shots)
        follow_regions(job, store, shots, on_event, cancelled)
    except BaseException:
        store.close()
        raise
    return Begun(job, store, shots)


def finish(begun: Begun, on_event: OnEvent = ignore, cancelled: Cancelled | None = None) -> None:
    """All that comes after rendering: pictures worked on further, the output packed, checked and measured."""
    job, store, shots = begun.job, begun.store, begun.shots
    tell_suspects(store.folder, on_event)
    finish_frames(job, store, shots, on_event, cancelled)
    encode_output(job, store, on_event, cancelled)
    if job.config.output.measure and (job.config.reworks or not job.passes_through):
        measure_frames(job, store, shots, on_event, cancelled)
    report_run(job, store, on_event)
    store.finish(keep=job.config.output.keep_frames)


def open_run(job: Job, *, restart: bool, redo: bool = False) -> RunStore:
    """The run folder: gone on with if it is of the same render, else begun, if the disk can hold it.

    Args:
        redo: whether frames of an earlier run are to be made again, so that there must be one that kept them.
    """
    folder = job.request.folder
    if redo and not holds_run(folder):
        raise RunError(f"{folder} is no run folder, so there are no frames to redo", "render without --redo")
    if holds_run(folder) and not restart:
        store = RunStore.open(folder)
        try:
            store.check_same(job.manifest)
        except RunError:
            store.close()
            if store.begun:
                raise
        else:
            if not store.complete or job.config.output.keep_frames:
                return store
            store.close()
            if redo:
                raise RunError(
                    f"the run in {folder} is finished and has kept no frames, so none of them can be redone by itself",
                    "render all of it again with --restart, and with --keep-frames to have them kept from then on",
                )
        restart = True  # nothing is lost: a finished run keeps no frames, and one that failed at the start has none
    check_disk(job)
    return RunStore.create(folder, job.manifest, restart=restart)


def check_disk(job: Job) -> None:
    """See that the run folder's disk can hold the run."""
    check_free_space(job.request.folder, disk_bytes(job))


def disk_bytes(job: Job, *, size: tuple[int, int] | None = None) -> int:
    """Bytes that the run folder may come to hold; `size` is another width and height than the job's."""
    frames, bits = job.end - job.start, job.config.frame_bits
    width, height = size or (job.width, job.height)
    more_bits = job.config.output.bits * job.config.finishes + job.clip.bit_depth * bool(job.config.filters.before)
    return required_bytes(
        frames=frames, width=width, height=height, states=_states_kept(job), bits=bits, more_bits=more_bits
    )


def _states_kept(job: Job) -> int:
    """How many states may lie in the run folder at once."""
    from vidnst.farm.scheduler import default_window
    from vidnst.farm.staff import local_cores

    schedule, frames = schedule_of(job), job.end - job.start
    if schedule.kind == "independent":
        return 0
    passes = max(1, schedule.passes) if schedule.kind == "keys" else 1
    if job.config.output.keep_frames:
        return frames * passes
    if schedule.kind == "chain":
        return 2 * local_cores()
    window = job.config.farm.window or default_window(job.config.farm.workers or local_cores(), groups=schedule.spacing)
    return min(frames * passes, 2 * window)  # of a frame, the last pass and the one before


def plan_shots(job: Job, store: RunStore, on_event: OnEvent = ignore) -> list[Shot]:
    """The shots of the range: as an earlier run found them, or found now and kept."""
    plan = store.read_plan()
    if plan is None:
        shots = find_shots_of(job, on_event)
        plan = {
            "range": [job.start, job.end],
            "size": [job.width, job.height],
            "rate": str(job.clip.rate),
            "schedule": job.config.schedule.kind,
            "shots": [[shot.start, shot.end] for shot in shots],
        }
        store.write_plan(plan)
    with reading_plan(store.folder):
        shots = [Shot(int(start), int(end)) for start, end in plan["shots"]]
        if [job.start, *(shot.end for shot in shots)] != [*(shot.start for shot in shots), job.end]:
            raise ValueError("its shots do not cover its range")
    return shots


def find_shots_of(job: Job, on_event: OnEvent = ignore) -> list[Shot]:
    """The shots of a job's range."""
    from vidnst.media.shots import find_shots

    total = job.end - job.start
    needed = not job.passes_through or job.config.input.adjusts or job.config.reworks
    method = job.config.input.shots if needed else "none"
    on_event(Stage("shots", 0, total))
    return find_shots(
        job.clip,
        start=job.start,
        end=job.end,
        method=method,
        on_progress=lambda done: on_event(Stage("shots", done, total)),
    )


def study_input(
    job: Job, store: RunStore, shots: Sequence[Shot], on_event: OnEvent = ignore, cancelled: Cancelled | None = None
) -> Job:
    """The job with what is done to its frames first, and the size that leaves: as an earlier run found it, or new."""
    from vidnst.media.adjust import Adjustments
    from vidnst.media.preflight import check_output

    if not job.config.input.adjusts:
        return job
    plan = store.read_plan() or {}
    if "adjustments" in plan:
        with reading_plan(store.folder):
            known = Adjustments.from_json(plan["adjustments"])
            known.check(job.clip, job.start, job.end)
        return adjusted(job, known)
    studied = study_frames(job, shots, on_event, cancelled)
    if (studied.width, studied.height) != (job.width, job.height):
        size, settings = (studied.width, studied.height), job.config.output
        # That the output may be replaced was settled when the job was prepared.
        check_output(
            job.request.output, settings, clip=job.clip, start=job.start, end=job.end, overwrite=True, size=size
        )
        check_disk(studied)
    assert studied.adjustments is not None
    found = {"size": [studied.width, studied.height], "adjustments": studied.adjustments.to_json()}
    store.write_plan(plan | found)
    return studied


def stylize_frames(
    job: Job, store: RunStore, shots: Sequence[Shot], on_event: OnEvent = ignore, cancelled: Cancelled | None = None
) -> None:
    """Run the plan: every frame of the range is in the run folder afterwards.

    Raises:
        FramesFailedError: some are not, because they failed for good; all others are there.
        SourceError: some are not, because a frame of the source cannot be read; shots without such a frame are there.
    """
    from vidnst.farm.host import Component
    from vidnst.farm.scheduler import default_window, run_plan
    from vidnst.farm.staff import hire
    from vidnst.farm.worker import StyleWorkerFactory
    from vidnst.host import RenderHost, Reporter

    schedule = schedule_of(job)
    done, frames_done = finished_before(job, store, shots)
    if schedule.loop and len(shots) > 1:
        on_event(Warned(f"the clip has {len(shots)} shots, so it begins with a cut when it is played round: no loop"))
    if frames_done == job.end - job.start:
        return
    size = (job.width, job.height)
    frames = open_frames(job, shots, on_repeated=lambda index: tell_repeated(store, on_event, index))
    width = len(shots) if schedule.kind == "chain" else job.end - job.start
    factory = StyleWorkerFactory(job.config, job.features, [(style.pixels, style.weight) for style in job.styles])
    director = direct(job, store, shots)
    with (
        frames as cache,
        closing(director) if director else nullcontext(),
        hire(factory, raft=job.raft, width=width, threads=recorded_threads(store)) as (pool, staff),
    ):
        record_threads(store, staff.threads)
        host = RenderHost(job.config, store, cache, size=size, done=done, direct=director)
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
        run_plan(
            (Component(nodes, host) for nodes in by_shot(schedule, shots)),
            pool,
            window=job.config.farm.window or default_window(staff.style, groups=schedule.spacing),
            attempts=job.config.farm.attempts,
            listener=Reporter(store, on_event, frames_done=frames_done),
            cancelled=cancelled,
        )
    if host.source_error is not None:
        raise host.source_error
    if host.given_up:
        raise frames_failed(host.given_up, store.folder, frames=job.end - job.start)


def finished_before(job: Job, store: RunStore, shots: Sequence[Shot]) -> tuple[set[StateId], int]:
    """States that earlier sessions of the run have left no work for, and how many of them are finished frames."""
    done: set[StateId] = set()
    for nodes in by_shot(schedule_of(job), shots):
        done |= store.settled(nodes)
    finals = sum(1 for nodes in by_shot(schedule_of(job), shots) for node in nodes if node.final and node.id in done)
    return done, finals


def schedule_of(job: Job) -> ScheduleConfig:
    """The schedule of a render; frames that only pass through need none."""
    return ScheduleConfig(kind="independent") if job.passes_through else job.config.schedule


def recorded_threads(store: RunStore) -> int | None:
    """Threads of each CPU worker in an earlier session of the run: other numbers round sums differently."""
    threads = (store.read_plan() or {}).get("threads")
    with reading_plan(store.folder):
        if threads is not None and not (type(threads) is int and 0 < threads <= _MOST_THREADS):
            raise ValueError(f"threads: {threads!r}")
    return threads


def record_threads(store: RunStore, threads: int | None) -> None:
    """Keep the workers' threads for later sessions of the run."""
    plan = store.read_plan() or {}
    if plan.get("threads") != threads:
        store.write_plan(plan | {"threads": threads})


def encode_output(job: Job, store: RunStore, on_event: OnEvent = ignore, cancelled: Cancelled | None = None) -> None:
    """Pack the frames, with the source's time stamps, audio and metadata, and check the result."""
    from vidnst.media.encode import encode

    total = job.end - job.start
    on_event(Stage("encoding", 0, total))
    with store.writing_output(job.request.output):
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
    job: Job, store: RunStore, shots: Sequence[Shot], on_event: OnEvent = ignore, cancelled: Cancelled | None = None
) -> None:
    """Measure how steady the frames are, into the run folder; whatever goes wrong is told, and fails nothing."""
    from vidnst.measure import measure_render, measured_event

    try:
        found = measure_render(job, store, shots, on_event=on_event, cancelled=cancelled)
        wrong = {str(frame): why for frame, why in suspects(store.folder).items()}
        event = measured_event(store.write_measure(found.plain() | {"suspects": wrong}), found)
    except Exception as error:  # the render is finished, and nothing about it is worse for a missing number
        on_event(Warned(f"the output is finished, but it could not be measured: {error}"))
    else:
        on_event(event)


def outline(request: Request, *, overwrite: bool = True) -> dict[str, Any]:
    """What `run` would do, as plain JSON, without doing it."""
    job = prepare(request, overwrite=overwrite)
    shots = find_shots_of(job)
    check_shots(job.entries, len(shots))
    if job.config.input.crops:
        job = study_frames(job, shots)
    schedule = schedule_of(job)
    nodes = [node for shot in by_shot(schedule, shots) for node in shot]
    roles = Counter(node.role.value for node in nodes)
    kinds = Counter((node.role.value, node.id.pass_index) for node in nodes if isinstance(node.id, StateId))
    evaluations = sum(count * job.config.evaluations(*kind) for kind, count in kinds.items())
    return {
        "source": job.clip.source,
        "output": str(request.output),
        "run_folder": str(request.folder),
        "frames": job.end - job.start,
        "range": [job.start, job.end],
        "size": [job.width, job.height],
        "rate": str(job.clip.rate),
        "variable_rate": job.clip.variable_rate,
        "audio": job.clip.audio_codec,
        "schedule": schedule.kind,
        "shots": [[shot.start, shot.end] for shot in shots],
        "nodes": dict(roles),
        "evaluations": evaluations,
        "styles": [str(replace(style.text, path=str(style.path))) for style in job.styles],
        "config": job.config.model_dump(mode="json"),
    }
