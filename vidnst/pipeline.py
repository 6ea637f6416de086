"""The whole story of a render, from a request to a checked output."""

import shlex
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from vidnst.config import RenderConfig
from vidnst.errors import CancelledError, RunError
from vidnst.events import OnEvent, RunFinished, RunStarted, Stage, Warned, ignore
from vidnst.frames import Shot
from vidnst.plan import Lane, StateId, by_shot
from vidnst.prepare import Job, Request, prepare
from vidnst.store import RunStore, check_free_space, required_bytes

Cancelled = Callable[[], bool]

_CACHE_BYTES = 1 << 30


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
        style: one or several style pictures, each optionally with a weight (`a.jpg:100`).
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
    on_event: OnEvent = ignore,
    cancelled: Cancelled | None = None,
) -> Path:
    """Render a request, or go on with what an earlier run of it has left."""
    began = time.monotonic()
    job = prepare(request, overwrite=overwrite, on_event=on_event)
    with open_run(job, restart=restart) as store:
        try:
            shots = plan_shots(job, store, on_event)
            stylize_frames(job, store, shots, on_event, cancelled)
            encode_output(job, store, on_event, cancelled)
        except CancelledError as error:
            again = f"go on with: vidnst resume {shlex.quote(str(store.folder))}"
            raise CancelledError(error.what, again) from error
        store.finish(keep=True)  # the output is there: whatever happens from here on, the run is not begun again
        if job.config.output.measure and not job.passes_through:
            measure_frames(job, store, shots, on_event, cancelled)
        if not job.config.output.keep_frames:
            store.drop_pictures()
    on_event(RunFinished(str(request.output), job.end - job.start, time.monotonic() - began))
    return request.output


def open_run(job: Job, *, restart: bool) -> RunStore:
    """The run folder: gone on with if it is of the same render, else begun, if the disk can hold it."""
    folder = job.request.folder
    if RunStore.exists(folder) and not restart:
        store = RunStore.open(folder)
        try:
            store.check_same(job.manifest)
        except RunError:
            store.close()
            raise
        if not store.complete or job.config.output.keep_frames:
            return store
        store.close()  # a finished run keeps no frames: the same render again starts afresh
        restart = True
    from vidnst.farm.staff import local_cores

    states = 0 if job.config.schedule.kind == "independent" else 2 * local_cores()
    frames, bits = job.end - job.start, job.config.output.bits
    check_free_space(
        folder, required_bytes(frames=frames, width=job.width, height=job.height, states=states, bits=bits)
    )
    return RunStore.create(folder, job.manifest, restart=restart)


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
    return [Shot(start, end) for start, end in plan["shots"]]


def find_shots_of(job: Job, on_event: OnEvent = ignore) -> list[Shot]:
    """The shots of a job's range."""
    from vidnst.media.shots import find_shots

    total = job.end - job.start
    method = "none" if job.passes_through else job.config.input.shots
    on_event(Stage("shots", 0, total))
    return find_shots(
        job.clip,
        start=job.start,
        end=job.end,
        method=method,
        on_progress=lambda done: on_event(Stage("shots", done, total)),
    )


def stylize_frames(
    job: Job, store: RunStore, shots: Sequence[Shot], on_event: OnEvent = ignore, cancelled: Cancelled | None = None
) -> None:
    """Run the plan: every frame of the range is in the run folder afterwards."""
    from vidnst.farm.host import Component
    from vidnst.farm.scheduler import run_plan
    from vidnst.farm.staff import hire
    from vidnst.farm.worker import StyleWorkerFactory
    from vidnst.host import RenderHost, Reporter
    from vidnst.media.frame_cache import FrameCache

    kind = "independent" if job.passes_through else job.config.schedule.kind
    done: set[StateId] = set()
    for nodes in by_shot(kind, shots):
        done |= store.settled(nodes)
    frames_done = sum(1 for nodes in by_shot(kind, shots) for node in nodes if node.final and node.id in done)
    if frames_done == job.end - job.start:
        return
    size = (job.width, job.height)
    cache = FrameCache(
        job.clip,
        shots,
        size=size,
        on_bad_frame=job.config.input.on_bad_frame,
        on_repeated=lambda index: _tell_repeated(store, on_event, index),
        frames=max(16, min(256, _CACHE_BYTES // (job.width * job.height * 3))),
    )
    width = len(shots) if kind == "chain" else job.end - job.start
    factory = StyleWorkerFactory(job.config, job.features, [(style.pixels, style.weight) for style in job.styles])
    with closing(cache), hire(factory, width=width, threads=recorded_threads(store)) as (pool, staff):
        record_threads(store, staff.threads)
        host = RenderHost(job.config, store, cache, size=size, done=done)
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
            (Component(nodes, host) for nodes in by_shot(kind, shots)),
            pool,
            window=job.config.farm.window,
            attempts=job.config.farm.attempts,
            listener=Reporter(store, on_event, frames_done=frames_done),
            cancelled=cancelled,
        )


def recorded_threads(store: RunStore) -> int | None:
    """Threads of each CPU worker in an earlier session of the run: other numbers round sums differently."""
    threads = (store.read_plan() or {}).get("threads")
    return threads if isinstance(threads, int) and threads > 0 else None


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
    encode(
        [store.frame_path(index) for index in range(job.start, job.end)],
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
        event = measured_event(store.write_measure(found.plain()), found)
    except Exception as error:  # the render is finished, and nothing about it is worse for a missing number
        on_event(Warned(f"the output is finished, but it could not be measured: {error}"))
    else:
        on_event(event)


def outline(request: Request, *, overwrite: bool = True) -> dict[str, Any]:
    """What `run` would do, as plain JSON, without doing it."""
    job = prepare(request, overwrite=overwrite)
    shots = find_shots_of(job)
    kind = "independent" if job.passes_through else job.config.schedule.kind
    roles: dict[str, int] = {}
    for nodes in by_shot(kind, shots):
        for node in nodes:
            roles[node.role.value] = roles.get(node.role.value, 0) + 1
    optimize = job.config.optimize
    evaluations = roles.get("cold", 0) * optimize.iterations + roles.get("warm", 0) * optimize.warm_iterations()
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
        "schedule": kind,
        "shots": [[shot.start, shot.end] for shot in shots],
        "nodes": roles,
        "evaluations": evaluations,
        "styles": [f"{style.path}:{style.weight:g}" for style in job.styles],
        "config": job.config.model_dump(mode="json"),
    }


def _tell_repeated(store: RunStore, on_event: OnEvent, index: int) -> None:
    store.record("repeated", frame=index)
    on_event(Warned(f"frame {index} does not decode; the frame before it is repeated"))
