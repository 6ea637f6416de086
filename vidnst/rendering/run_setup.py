"""Makes a render ready to paint: opens its run folder, finds its shots, studies and filters its source."""

from collections.abc import Sequence

from vidnst.errors import RunError
from vidnst.events import Cancelled, OnEvent, Stage, ignore, stop_if_asked
from vidnst.farm.component_window import default_window
from vidnst.farm.schedules import by_shot
from vidnst.frames import Shot
from vidnst.media.adjust.adjustments import Adjustments
from vidnst.media.input.shots import find_shots
from vidnst.media.output.frame_sequence import sequence_numbers, sequence_pattern
from vidnst.media.output.name_limits import check_name_length
from vidnst.media.output.preflight import check_output
from vidnst.media.output.trial_encode import try_encoder
from vidnst.parallel import local_cores
from vidnst.rendering.effects_pass import colour_styles, filter_source
from vidnst.rendering.lighting import study_daylight
from vidnst.rendering.prepare import CheckedRequest, check_request, study_frames
from vidnst.rendering.prepared_render import PreparedRender
from vidnst.rendering.soundtrack import open_sound
from vidnst.rendering.source_frames import source_frames
from vidnst.rendering.styles.guidance_builder import follow_regions
from vidnst.runs import RunLog, RunPlan, RunStore, check_free_space, holds_run, required_bytes
from vidnst.runs.event_recorder import EventRecorder
from vidnst.runs.layout import owns_output
from vidnst.runs.redo import redo_frames
from vidnst.runs.request import Request


def prepare_render(
    request: Request,
    *,
    overwrite: bool = False,
    restart: bool = False,
    redo: Sequence[int] = (),
    frames_only: bool = False,
    on_event: OnEvent = ignore,
    cancelled: Cancelled | None = None,
) -> PreparedRender:
    """Do all that comes before painting: check the request, open the run folder, study and filter the source.

    Args:
        request: source, styles, output and settings.
        overwrite: replace an output that exists.
        restart: discard what an earlier session left.
        redo: frames of the source to render again.
        frames_only: True if frames are wanted, but no output.
        on_event: hears of the progress.
        cancelled: asked several times a second; True stops the work.

    Raises:
        VidnstError: the first thing that is wrong, as the fitting subclass.
    """
    check_name_length(request.output)
    recorder = EventRecorder(on_event)
    # A session that was killed while it wrote the output may have put it into place just before.
    may_own = not restart and owns_output(request.folder, request.output)
    is_own = may_own and RunLog.read(request.folder).was_writing(request.output)
    checked = check_request(request, overwrite=overwrite or is_own, frames_only=frames_only, on_event=recorder)
    if not frames_only:
        try_output(checked, (checked.width, checked.height), cancelled)
    store = open_run(checked, restart=restart, redo=bool(redo))
    try:
        with recorder.watching():
            recorder.keep_in(store)
            stop_if_asked(cancelled)
            shots = plan_shots(checked, store, recorder)
            if redo:
                plans = by_shot(checked.schedule, shots, checked.given)
                redo_frames(store, plans, redo, start=checked.start, end=checked.end, on_event=recorder)
            stop_if_asked(cancelled)
            adjustments = study_source(checked, store, shots, recorder, cancelled)
            decoded = source_frames(checked, shots, adjustments)
            source = filter_source(checked, decoded, store, recorder, cancelled)
            study_daylight(checked, source, store, recorder, cancelled)
            stop_if_asked(cancelled)
            styles = colour_styles(checked, source, store)
            follow_regions(checked, source, store, recorder, cancelled)
            sound = open_sound(checked, store, cancelled)
    except BaseException:
        store.close()
        raise
    return PreparedRender(checked, store, recorder, source, adjustments, styles, sound)


def open_run(checked: CheckedRequest, *, restart: bool, redo: bool = False) -> RunStore:
    """Open the run folder to resume the same render, or begin a new run if the disk can hold it.

    Args:
        checked: what is rendered.
        restart: discard what is in the folder.
        redo: frames of an earlier run are to be rendered again, so there must be one that kept its frames.

    Raises:
        RunError: the folder holds another render, or no frames to redo.
        DiskFullError: the disk is too small.
    """
    folder = checked.request.folder
    if redo and not holds_run(folder):
        raise RunError(f"{folder} is no run folder, so there are no frames to redo", "render without --redo")
    if holds_run(folder) and not restart:
        store = RunStore.open(folder)
        try:
            store.check_same(checked.manifest, any_range=checked.has_independent_frames and not store.complete)
        except RunError:
            store.close()
            if store.begun:
                raise
        else:
            if not store.complete or checked.config.output.keep_frames:
                store.adopt(checked.manifest)
                return store
            store.close()
            if redo:
                raise RunError(
                    f"the run in {folder} is finished and has kept no frames, so none of them can be redone by itself",
                    "render all of it again with --restart, and with --keep-frames to have them kept from then on",
                )
        restart = True  # nothing is lost: a finished run keeps no frames, and one that failed at the start has none
    check_disk(checked, (checked.width, checked.height))
    return RunStore.create(folder, checked.manifest, restart=restart)


def try_output(checked: CheckedRequest, size: tuple[int, int], cancelled: Cancelled | None = None) -> None:
    """Encode a few frames of this size as the output will be encoded.

    Raises:
        EncoderError: the encoder fails.
    """
    try_encoder(
        checked.request.output,
        checked.config.output,
        clip=checked.clip,
        start=checked.start,
        end=checked.end,
        size=size,
        cancelled=cancelled,
    )


def check_disk(checked: CheckedRequest, size: tuple[int, int]) -> None:
    """Check that the run folder's disk can hold frames of this size.

    Raises:
        DiskFullError: it cannot.
    """
    check_free_space(checked.request.folder, disk_bytes(checked, size))


def disk_bytes(checked: CheckedRequest, size: tuple[int, int]) -> int:
    """Return how many bytes the run folder may come to hold with frames of this width and height."""
    config = checked.config
    more_bits = config.output.picture_bits * config.finishes + checked.clip.bit_depth * bool(config.filters.before)
    return required_bytes(
        frames=checked.frames,
        width=size[0],
        height=size[1],
        states=_most_states(checked),
        bits=config.frame_bits,
        more_bits=more_bits,
    )


def _most_states(checked: CheckedRequest) -> int:
    """Return how many states the run folder may hold at once."""
    schedule, farm = checked.schedule, checked.config.farm
    if schedule.kind == "independent":
        return 0
    passes = max(1, schedule.passes) if schedule.kind in ("keys", "network") else 1
    if checked.config.output.keep_frames:
        return checked.frames * passes
    if schedule.kind == "chain":
        return 2 * local_cores()
    window = farm.window or default_window(farm.workers or local_cores(), groups=schedule.spacing)
    return min(checked.frames * passes, 2 * window)  # of each frame, the last pass and the one before


def plan_shots(checked: CheckedRequest, store: RunStore, on_event: OnEvent = ignore) -> tuple[Shot, ...]:
    """Return the shots that an earlier session planned, or find and plan them.

    Raises:
        RunError: the plan is damaged, or is of another range.
    """
    if store.plan is None:
        store.write_plan(
            RunPlan(
                start=checked.start,
                end=checked.end,
                width=checked.width,
                height=checked.height,
                rate=checked.clip.rate,
                schedule=checked.config.schedule.kind,
                shots=tuple(find_shots_of(checked, on_event)),
                fates=checked.fates,
                numbers=_output_numbers(checked),
            )
        )
    elif checked.has_independent_frames and (store.plan.start, store.plan.end) != (checked.start, checked.end):
        store.update_plan(start=checked.start, end=checked.end, shots=tuple(find_shots_of(checked, on_event)))
    assert store.plan is not None
    store.plan.check(store.folder, checked.clip, checked.start, checked.end)
    if store.plan.numbers != (numbers := _output_numbers(checked)):  # output settings may change between sessions
        store.update_plan(numbers=numbers)
    return store.plan.shots


def _output_numbers(checked: CheckedRequest) -> tuple[int, ...] | None:
    """Return the numbers in the names of the output's files; None if it is not a sequence of image files."""
    if sequence_pattern(checked.request.output) is None:
        return None
    return sequence_numbers(checked.clip, checked.start, checked.end, checked.config.output)


def find_shots_of(checked: CheckedRequest, on_event: OnEvent = ignore) -> list[Shot]:
    """Find the shots of the range; one shot if nothing depends on cuts."""
    config = checked.config
    needed = config.changes_pictures or config.input.adjusts
    on_event(Stage("shots", 0, checked.frames))
    return find_shots(
        checked.clip,
        start=checked.start,
        end=checked.end,
        method=config.input.shots if needed else "none",
        on_progress=lambda done: on_event(Stage("shots", done, checked.frames)),
    )


def study_source(
    checked: CheckedRequest,
    store: RunStore,
    shots: Sequence[Shot],
    on_event: OnEvent = ignore,
    cancelled: Cancelled | None = None,
) -> Adjustments | None:
    """Return the adjustments that an earlier session found, or find and keep them; None if none are wanted.

    Raises:
        OutputError: the output cannot take the size that registration leaves.
        DiskFullError: the disk is too small for it.
        CancelledError: `cancelled` said so.
    """
    if not checked.config.input.adjusts:
        return None
    if store.plan and store.plan.adjustments is not None:
        return store.plan.adjustments
    adjustments = study_frames(checked, shots, on_event, cancelled)
    width, height = adjustments.size(checked.clip, checked.config.input.size)
    if (width, height) != (checked.width, checked.height):
        check_output(
            checked.request.output,
            checked.config.output,
            clip=checked.clip,
            start=checked.start,
            end=checked.end,
            overwrite=True,  # whether it may be replaced has been checked with the request
            size=(width, height),
        )
        try_output(checked, (width, height), cancelled)
        check_disk(checked, (width, height))
    store.update_plan(width=width, height=height, adjustments=adjustments)
    return adjustments


def recorded_threads(store: RunStore) -> int | None:
    """Return the threads of each CPU worker in earlier sessions: another number rounds sums differently."""
    return store.plan.threads if store.plan else None


def record_threads(store: RunStore, threads: int | None) -> None:
    """Keep the number of threads of each CPU worker for later sessions."""
    if recorded_threads(store) != threads:
        store.update_plan(threads=threads)


def record_training_threads(render: PreparedRender, threads: int) -> None:
    """Keep the threads that train the clip's network on a CPU, unless an earlier session or farm.threads chose them."""
    trains = render.schedule.kind == "network" and render.checked.network is None
    if trains and render.store.plan and render.store.plan.training_threads is None:
        render.store.update_plan(training_threads=render.config.farm.threads or threads)
