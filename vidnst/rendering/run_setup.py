"""A run folder opened, and what is found out before rendering: whether the disk can hold it, shots, adjustments."""

from collections.abc import Sequence

from vidnst.config import ScheduleConfig
from vidnst.errors import RunError
from vidnst.events import Cancelled, OnEvent, Stage, ignore
from vidnst.frames import Shot
from vidnst.rendering.prepare import Job, adjusted, study_frames
from vidnst.runs import RunPlan, RunStore, check_free_space, holds_run, required_bytes


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
    from vidnst.farm.component_window import default_window
    from vidnst.parallel import local_cores

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
    plan = store.plan
    if plan is None:
        plan = RunPlan(
            start=job.start,
            end=job.end,
            width=job.width,
            height=job.height,
            rate=job.clip.rate,
            schedule=job.config.schedule.kind,
            shots=tuple(find_shots_of(job, on_event)),
        )
        store.write_plan(plan)
    plan.check(store.folder, job.clip, job.start, job.end)
    return list(plan.shots)


def find_shots_of(job: Job, on_event: OnEvent = ignore) -> list[Shot]:
    """The shots of a job's range."""
    from vidnst.media.input.shots import find_shots

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
    from vidnst.media.output.preflight import check_output

    if not job.config.input.adjusts:
        return job
    if store.plan is not None and store.plan.adjustments is not None:
        return adjusted(job, store.plan.adjustments)
    studied = study_frames(job, shots, on_event, cancelled)
    if (studied.width, studied.height) != (job.width, job.height):
        size, settings = (studied.width, studied.height), job.config.output
        # That the output may be replaced was settled when the job was prepared.
        check_output(
            job.request.output, settings, clip=job.clip, start=job.start, end=job.end, overwrite=True, size=size
        )
        check_disk(studied)
    assert studied.adjustments is not None
    store.update_plan(width=studied.width, height=studied.height, adjustments=studied.adjustments)
    return studied


def schedule_of(job: Job) -> ScheduleConfig:
    """The schedule of a render; frames that only pass through need none."""
    return ScheduleConfig(kind="independent") if job.passes_through else job.config.schedule


def recorded_threads(store: RunStore) -> int | None:
    """Threads of each CPU worker in an earlier session of the run: other numbers round sums differently."""
    return None if store.plan is None else store.plan.threads


def record_threads(store: RunStore, threads: int | None) -> None:
    """Keep the workers' threads for later sessions of the run."""
    if recorded_threads(store) != threads:
        store.update_plan(threads=threads)
