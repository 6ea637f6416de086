"""Measuring an output against its source: what `vidnst measure` does, and what a render does at its end."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vidnst.config import RenderConfig
from vidnst.config.loader import build_config
from vidnst.errors import OutputError, SourceError, VidnstError
from vidnst.events import Cancelled, Measured, OnEvent, Stage, Warned, ignore
from vidnst.farm.plan import closed, key_frames
from vidnst.frames import ClipInfo, Pixels, Shot, shot_number
from vidnst.rendering.effects_pass import coloured, final_frames
from vidnst.rendering.prepare import Job, read_features
from vidnst.rendering.styles.guidance_builder import recall_director
from vidnst.rendering.styles.regions import RegionSource
from vidnst.rendering.styles.style_spec import read_styles
from vidnst.report.measure.clip_pair import FrameAvailability, LossFunction, measure_clips, measured_rows
from vidnst.report.measure.meter import FLOW_SIZE_PX, GAPS, Meter
from vidnst.report.measure.result import Measurement
from vidnst.runs import RunLog, RunStore, holds_run
from vidnst.runs.record import RunRecord, find_record

if TYPE_CHECKING:  # it brings cv2
    from vidnst.media.effects.colour_transfer import ColourSample

LOSSES = ("content", "style")
"""Terms of the loss that a measurement gives next to the steadiness of a clip."""


@dataclass(frozen=True, slots=True)
class MeasureRequest:
    """What is to be measured. What is None or empty comes from the run folder, where there is one."""

    output: Path
    """A video, an animation, a picture, a folder of frames, or a run folder: then the frames that it kept, else the
    output that it was for."""
    source: str | Path | Sequence[str | Path] | None = None
    styles: tuple[str, ...] = ()
    """Paths of style pictures, each optionally followed by `:weight`."""
    backbone: Literal["vgg19", "slim"] | None = None
    """The network that evaluates losses; None takes the run's own."""
    weights: str | None = None
    """Its weights: a file, or `random`."""
    start: str | None = None
    """First frame of the range in the source that the output shows: a number, seconds or a timecode."""
    end: str | None = None
    """End of the range, itself not in it."""
    fps: str | None = None
    """Frames per second of pictures: what `start` and `end` in seconds are counted with."""
    flow_size: int = FLOW_SIZE_PX
    """Longest side at which flow is found, pixels."""
    with_losses: bool = True
    """Whether to evaluate style and content loss where styles are known."""


def measure_output(request: MeasureRequest, *, on_event: OnEvent = ignore) -> Measurement:
    """Measure an output that lies on the disk.

    Losses are evaluated anew on the output as it decodes, except for a run folder's kept frames: these have them in the
    run's log.

    Raises:
        SourceError: the source is not known, missing, or cannot be read; RangeError for a range outside it.
        OutputError: the output is missing, cannot be read, or is not of the source's range and proportions.
        ConfigError, StyleError, WeightsError: a setting, a style or the weights are wrong.
        RunError: the run folder is damaged.
    """
    from vidnst.media.input.frame_reader import frame_range
    from vidnst.media.input.probe import probe

    record = find_record(request.output)
    config = _settings(request, record)
    on_event(Stage("probing"))
    clip = probe(_source(request, record), fps=config.input.fps)
    start, end = frame_range(clip, config.input.start, config.input.end)
    kept = record.frames(start, end) if record and holds_run(request.output) else []
    output = _probe_output(kept or _subject(request.output, record))
    plan = record.plan_of(start, end) if record else None
    shots = list(plan.shots) if plan else _find_shots(clip, config, start, end, on_event)
    log = RunLog.read(record.folder) if record else None
    losses = _recorded(log.final_losses(LOSSES) if log and kept and not request.styles else {})
    styles = request.styles or (record.request.styles if record and not kept else ())
    if styles and request.with_losses:
        colours = record.plan.colours if record and record.plan and not request.styles else None
        footage = RegionSource(clip, shots, (output.width, output.height), config)
        folder = record.folder if record else None
        losses = loss_evaluator(footage, styles, folder, colours=colours, on_event=on_event)
    return measure_clips(
        clip,
        output,
        start=start,
        end=end,
        shots=shots,
        adjustments=plan.adjustments if plan else None,
        meter=Meter(shots, keys=key_frames_of(config, shots), flow_size=request.flow_size),
        config=config,
        losses=losses,
        evaluations=log.result_evaluations if log else None,
        on_event=on_event,
    )


def measure_render(
    job: Job,
    store: RunStore,
    shots: Sequence[Shot],
    *,
    meter: Meter | None = None,
    on_event: OnEvent = ignore,
    cancelled: Cancelled | None = None,
) -> Measurement:
    """Measure the frames in a run folder, with the losses that its log has.

    Args:
        meter: what `measure_coming` gave, where the frames are measured already.

    Raises:
        VidnstError: of the kind that fits; CancelledError where `cancelled` says so.
    """
    log = RunLog.read(store.folder)
    recorded, evaluations = log.final_losses(LOSSES), log.result_evaluations
    if meter is not None:
        return meter.result(evaluations=evaluations, losses=recorded)
    return measure_clips(
        job.clip,
        _probe_output(final_frames(job, store)),
        start=job.start,
        end=job.end,
        shots=shots,
        adjustments=job.adjustments,
        meter=Meter(shots, keys=key_frames_of(job.config, shots)),
        config=job.config,
        losses=_recorded(recorded),
        evaluations=evaluations,
        on_event=on_event,
        cancelled=cancelled,
    )


def measure_coming(
    job: Job, store: RunStore, shots: Sequence[Shot], coming: FrameAvailability, *, on_frame: Callable[[], object]
) -> Meter:
    """Measure the frames of a run folder one after the other while they come, for `measure_render`.

    Losses are left out: they are in the log when all is there.

    Args:
        on_frame: called after each frame; what it raises ends the measurement.

    Raises:
        VidnstError: of the kind that fits; and whatever ends the wait for a frame.
    """
    from vidnst.media.input.probe import probe_pictures

    paths = final_frames(job, store)
    coming.wait(0)
    first = probe_pictures(paths[:1], name=str(store.folder))
    meter = Meter(shots, keys=key_frames_of(job.config, shots))
    found = measured_rows(
        job.clip,
        replace(first, paths=tuple(paths), pts_seconds=job.clip.pts_seconds[job.start : job.end]),
        start=job.start,
        end=job.end,
        shots=shots,
        adjustments=job.adjustments,
        meter=meter,
        config=job.config,
        losses=_recorded({}),
        coming=coming,
    )
    with closing(found) as rows:
        for row in rows:
            meter.keep(row)
            on_frame()
    return meter


def key_frames_of(config: RenderConfig, shots: Sequence[Shot]) -> tuple[int, ...]:
    """The key frames of a render's shots; empty where its schedule has none."""
    schedule = closed(config.schedule, shots)
    if schedule.kind != "keys":
        return ()
    found = (key_frames(shot, spacing=schedule.spacing, loop=schedule.loop) for shot in shots)
    return tuple(index for keys in found for index in keys)


def loss_evaluator(
    footage: RegionSource,
    styles: Sequence[str],
    folder: Path | None,
    *,
    colours: "ColourSample | None" = None,
    on_event: OnEvent = ignore,
) -> LossFunction:
    """What evaluates style and content loss of finished frames, one forward pass of the network each.

    Styles count where and when they did in the render; where that is not known any more, all do everywhere, and that is
    told.

    Args:
        footage: what was rendered.
        styles: as the user writes them.
        folder: of the run, where there is one.
        colours: the source's, where the render gave them to the style pictures.

    Raises:
        StyleError, WeightsError, ConfigError: a style or the weights cannot be used.
        FarmError: the device is not there.
    """
    from vidnst.farm.workers import pick_device
    from vidnst.style.stylizer import Stylizer
    from vidnst.style.tensors import from_pixels

    config, found = footage.config, read_styles(styles)
    recolour = None if colours is None else partial(coloured, colours=colours, config=config)
    try:
        direct = recall_director(found, footage, folder, recolour=recolour)
    except VidnstError as error:
        on_event(Warned(f"style losses are those of all styles everywhere: {error}"))
        direct = None
    pictures = [(recolour(style.pixels) if recolour else style.pixels, style.weight) for style in found]
    features = read_features(config, on_event=on_event)
    stylizer = Stylizer(features, pictures, config, device=pick_device(config.farm.device))

    def evaluate(index: int, source: Pixels, output: Pixels) -> Mapping[str, float]:
        shot = shot_number(footage.shots, index)
        guidance = direct(shot, index) if direct else None
        terms = stylizer.evaluate(from_pixels(source), from_pixels(output), guidance)
        return {name: terms[name] for name in LOSSES}

    return evaluate


def measured_event(file: Path, found: Measurement) -> Measured:
    """The main numbers of a measurement, as they are told at the end of a render."""
    return Measured(
        file=str(file),
        frames=found.frames,
        error=found.error().output,
        source_error=found.error().source,
        error_ratio=found.error().ratio,
        far_errors={str(gap): found.error(gap).output for gap in GAPS[1:]},
        static_share=found.static_share,
        flicker_levels=found.flicker.output,
        source_flicker_levels=found.flicker.source,
        drift_levels=found.drift_difference,
        sharpness_ratio=found.sharpness.ratio,
        key_ratio=found.keys.ratio if found.keys else None,
        losses=found.losses,
    )


def _source(request: MeasureRequest, record: RunRecord | None) -> str | Path | Sequence[str | Path]:
    if request.source is not None:
        return request.source
    if record is None:
        raise SourceError(f"there is no run folder beside {request.output}, so its source is not known", "add --source")
    return record.request.source


def _settings(request: MeasureRequest, record: RunRecord | None) -> RenderConfig:
    """The run's settings, or the defaults, with what the request says over them."""
    values = (record.request.config if record else RenderConfig()).model_dump(mode="json")
    given = {"start": request.start, "end": request.end, "fps": request.fps}
    values["input"].update({key: value for key, value in given.items() if value is not None})
    if request.backbone is not None and request.backbone != values["model"]["backbone"]:
        values["model"] |= {"backbone": request.backbone, "weights": None}
    if request.weights is not None:
        values["model"]["weights"] = request.weights
    return build_config(values)


def _find_shots(clip: ClipInfo, config: RenderConfig, start: int, end: int, on_event: OnEvent) -> list[Shot]:
    from vidnst.media.input.shots import find_shots

    on_event(Stage("shots", 0, end - start))
    return find_shots(clip, start=start, end=end, method=config.input.shots)


def _subject(output: Path, record: RunRecord | None) -> Path:
    """What is measured where no kept frames are: for a run folder, the output that it was for."""
    return record.request.output if record and holds_run(output) else output


def _probe_output(output: Path | Sequence[Path]) -> ClipInfo:
    from vidnst.media.input.probe import probe

    try:
        return probe(output)
    except SourceError as error:
        raise OutputError(error.what, error.remedy) from error


def _recorded(losses: Mapping[int, Mapping[str, float]]) -> LossFunction:
    return lambda index, source, output: losses.get(index, {})
