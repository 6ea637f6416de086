"""Makes a render ready to paint: opens its run folder, finds its shots, studies and filters its source."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from vidnst.events import Cancelled, OnEvent, Stage, Warned, ignore, stop_if_asked
from vidnst.farm.schedules import by_shot
from vidnst.frames import Shot
from vidnst.media.adjust.adjustments import Adjustments
from vidnst.media.input.shots import find_shots
from vidnst.media.output.frame_sequence import sequence_numbers, sequence_pattern
from vidnst.media.output.name_limits import check_name_length
from vidnst.media.output.trial_encode import try_encoder
from vidnst.rendering.effects_pass import colour_styles, filter_source
from vidnst.rendering.lighting import study_daylight
from vidnst.rendering.prepare import CheckedRequest, check_request, study_frames
from vidnst.rendering.prepared_render import PreparedRender
from vidnst.rendering.redo_keys import with_new_keys
from vidnst.rendering.run_opening import check_disk, check_sized_output, closed_after_error, open_run, removing_refused
from vidnst.rendering.soundtrack import open_sound
from vidnst.rendering.source_frames import source_frames
from vidnst.rendering.styles.guidance_builder import follow_regions
from vidnst.runs import RunLog, RunPlan, RunStore
from vidnst.runs.event_recorder import EventRecorder
from vidnst.runs.layout import owns_output
from vidnst.runs.redo import redo_frames
from vidnst.runs.request import Request

_NO_KEYS: Mapping[int, Path] = MappingProxyType({})


def prepare_render(
    request: Request,
    *,
    overwrite: bool = False,
    restart: bool = False,
    start_over: bool = False,
    redo: Sequence[int] = (),
    redo_keys: Mapping[int, Path] = _NO_KEYS,
    redo_only: bool = False,
    frames_only: bool = False,
    on_usable: Callable[[Request, int], object] | None = None,
    on_event: OnEvent = ignore,
    cancelled: Cancelled | None = None,
) -> PreparedRender:
    """Do all that comes before painting: check the request, open the run folder, study and filter the source.

    Args:
        request: source, styles, output and settings.
        overwrite: replace an output that exists.
        restart: discard what an earlier session left.
        start_over: discard it where it is another render of the same output.
        redo: frames of the source to render again.
        redo_keys: painted keys that replace those of the run.
        redo_only: leave what depends on these frames as it is.
        frames_only: True if frames are wanted, but no output.
        on_usable: see `check_request`.
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
    if redo_keys:
        request, redo = with_new_keys(request, redo_keys), sorted({*redo, *redo_keys})
    checked = check_request(
        request,
        overwrite=overwrite or is_own,
        frames_only=frames_only,
        on_usable=on_usable,
        on_event=recorder,
    )
    if not frames_only:
        try_output(checked, (checked.width, checked.height), cancelled)
    store, note = open_run(checked, restart=restart, start_over=start_over, redo=bool(redo), new_keys=redo_keys)
    with removing_refused(store, cancelled), closed_after_error(store), recorder.watching():
        recorder.keep_in(store)
        if note:
            recorder(Warned(note))
        stop_if_asked(cancelled)
        shots = plan_shots(checked, store, recorder)
        if redo:
            plans = by_shot(checked.schedule, shots, checked.given)
            span = (checked.start, checked.end)
            redo_frames(store, plans, redo, span=span, only=redo_only, on_event=recorder)
            store.adopt(checked.manifest)  # not before what depends on the old keys is forgotten
        stop_if_asked(cancelled)
        adjustments = study_source(checked, store, shots, recorder, cancelled)
        decoded = source_frames(checked, shots, adjustments)
        source = filter_source(checked, decoded, store, recorder, cancelled)
        study_daylight(checked, source, store, recorder, cancelled)
        stop_if_asked(cancelled)
        styles = colour_styles(checked, source, store)
        follow_regions(checked, source, store, recorder, cancelled)
        sound = open_sound(checked, store, cancelled, recorder)
    return PreparedRender(checked, store, recorder, source, adjustments, styles, sound)


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
        # Whether it may be replaced has been checked with the request.
        check_sized_output(checked, (width, height), overwrite=True)
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
