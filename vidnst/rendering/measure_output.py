"""Measures an output against its source, for `vidnst measure` and at the end of a render."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vidnst.config import RenderConfig
from vidnst.config.authority import PERSONAL
from vidnst.config.loader import build_config
from vidnst.config.style import Style
from vidnst.config.timecode import frame_range
from vidnst.errors import OutputError, SourceError, VidnstError
from vidnst.events import Cancelled, Measured, OnEvent, Stage, Warned, ignore
from vidnst.farm.schedules import closed, key_frames
from vidnst.frames import ClipInfo, Pixels, Shot, shot_number
from vidnst.media.input.capture import as_shown
from vidnst.media.input.picture_probe import probe_images
from vidnst.media.input.probe import probe, probe_input
from vidnst.media.input.shots import find_shots
from vidnst.media.scene_light import written_transform
from vidnst.rendering.effects_pass import coloured
from vidnst.rendering.network_weights import read_features
from vidnst.rendering.prepared_render import PreparedRender
from vidnst.rendering.styles.guidance_builder import recalled_guidance
from vidnst.rendering.styles.regions import RegionSource
from vidnst.rendering.styles.style_spec import read_styles
from vidnst.report.measure.clip_pair import ClipPair, LossFunction, PendingFrames, no_losses
from vidnst.report.measure.measurement import Measurement
from vidnst.report.measure.meter import FLOW_SIZE_PX, GAPS, Meter
from vidnst.runs import RunLog, holds_run
from vidnst.runs.record import RunRecord, find_record
from vidnst.runs.request_inputs import files_of, named_inputs, run_files

if TYPE_CHECKING:  # it brings scikit-image
    from vidnst.media.effects.colour_transfer import ColourSample

LOSSES = ("content", "style")
"""Terms of the loss that a measurement gives next to the steadiness of a clip."""


@dataclass(frozen=True, slots=True)
class MeasureRequest:
    """A request for a measurement. Values that are None or empty come from the run folder, if there is one."""

    output: Path
    """A video, an animation, a picture, a folder of frames, or a run folder: then the frames that it kept are
    measured, else its output."""
    source: str | Path | Sequence[str | Path] | None = None
    styles: tuple[str | Style, ...] = ()
    """Style pictures."""
    backbone: Literal["vgg19", "slim"] | None = None
    """The network that evaluates losses; None takes the run's."""
    weights: str | None = None
    """Its weights: a file, `torchvision`, or `random`."""
    start: str | None = None
    """First frame of the range in the source that the output shows: a number, seconds or a timecode."""
    end: str | None = None
    """End of the range, exclusive."""
    fps: str | None = None
    """Frames per second of a source of pictures, with which `start` and `end` in seconds are counted."""
    flow_size: int = FLOW_SIZE_PX
    """Longest side in pixels at which the flow is estimated."""
    with_losses: bool = True
    """True to evaluate style and content loss if the styles are known."""


def measure_output(request: MeasureRequest, *, on_event: OnEvent = ignore) -> Measurement:
    """Measure an output on the disk.

    Losses are evaluated on the output as it decodes; those of a run folder's kept frames are read from the run's log.

    Raises:
        SourceError: the source is not known, missing, or cannot be read; RangeError for a range outside it.
        OutputError: the output is missing, cannot be read, or is not of the source's range and proportions.
        ConfigError, StyleError, WeightsError: a setting, a style or the weights are wrong.
        RunError: the run folder is damaged.
    """
    record = find_record(request.output, _given(request))
    config = _settings(request, record)
    on_event(Stage("probing"))
    clip = probe_input(_source(request, record), config.input)
    start, end = frame_range(clip, config.input.start, config.input.end)
    kept = record.frames(start, end) if record and holds_run(request.output) else []
    output = as_shown(_probe_output(kept or _subject(request.output, record), transform=config.input.transform))
    plan = record.plan_of(start, end) if record else None
    shots = list(plan.shots) if plan else _find_shots(clip, config, start, end, on_event)
    log = RunLog.read(record.folder) if record else None
    losses = _recorded(log.final_losses(LOSSES)) if log and kept and not request.styles else no_losses
    styles = request.styles or (record.request.styles if record and not kept else ())
    if styles and request.with_losses:
        colours = record.plan.colours if record and record.plan and not request.styles else None
        region_source = RegionSource(clip, shots, (output.width, output.height), config)
        folder = record.folder if record else None
        digest = record.request.digests.get("model.weights") if record else None
        losses = loss_evaluator(region_source, styles, folder, colours=colours, digest=digest, on_event=on_event)
    pair = ClipPair(
        source=clip,
        output=output,
        shots=shots,
        on_bad_frame=config.input.on_bad_frame,
        adjustments=plan.adjustments if plan else None,
        losses=losses,
    )
    meter = Meter(shots, keys=key_frames_of(config, shots), flow_size=request.flow_size)
    evaluations, staleness = (log.result_evaluations, log.staleness) if log else (None, None)
    return pair.measure(meter, evaluations=evaluations, staleness=staleness, on_event=on_event)


def measured_files(request: MeasureRequest) -> tuple[Path, ...]:
    """Return all files that a measurement reads: the output, its source, the styles, the weights, and the run.

    Raises:
        RunError, ConfigError: the run folder is damaged, or a setting is wrong.
    """
    record = find_record(request.output, _given(request))
    sources = request.source or (record.request.source if record else ())
    styles = request.styles or (record.request.styles if record else ())
    named = named_inputs(sources, styles, _settings(request, record))
    return (*files_of(request.output), *named, *(run_files(record.folder) if record else ()))


def measure_render(
    render: PreparedRender, *, meter: Meter | None = None, cancelled: Cancelled | None = None
) -> Measurement:
    """Measure the final frames of a render, with the losses in its log.

    Args:
        render: all its final frames are in the run folder.
        meter: the result of `measure_coming`, if the frames have been measured already.
        cancelled: asked several times a second; True stops the measurement.

    Raises:
        CancelledError: `cancelled` said so.
        VidnstError: a frame cannot be read, as the fitting subclass.
    """
    log = RunLog.read(render.store.folder)
    recorded, evaluations = log.final_losses(LOSSES), log.result_evaluations
    if meter is not None:
        return meter.result(evaluations=evaluations, losses=recorded, staleness=log.staleness)
    pair = render_pair(render, _probe_output(render.final_frames()), _recorded(recorded))
    return pair.measure(
        _meter(render),
        evaluations=evaluations,
        staleness=log.staleness,
        on_event=render.recorder,
        cancelled=cancelled,
    )


def measure_coming(render: PreparedRender, coming: PendingFrames, *, on_frame: Callable[[], object]) -> Meter:
    """Measure the final frames of a render one by one as they become available, for `measure_render`.

    Losses are left out; they are in the log when all frames are finished.

    Args:
        render: whose frames are measured.
        coming: waits for each frame.
        on_frame: called after each frame; an error that it raises ends the measurement.

    Raises:
        VidnstError: a frame cannot be read, as the fitting subclass; and the error that ends the wait for a frame.
    """
    paths = render.final_frames()
    coming.wait(0)
    first = probe_images(paths[:1], name=str(render.store.folder))
    output = replace(first, paths=tuple(paths), pts_seconds=render.clip.pts_seconds[render.start : render.end])
    meter = _meter(render)
    with closing(render_pair(render, output).measure_frames(meter, pending=coming)) as rows:
        for row in rows:
            meter.collect(row)
            on_frame()
    return meter


def render_pair(render: PreparedRender, output: ClipInfo, losses: LossFunction = no_losses) -> ClipPair:
    """Return the source of a render and an output of it, to be measured."""
    return ClipPair(
        source=render.clip,
        output=output,
        shots=render.shots,
        on_bad_frame=render.config.input.on_bad_frame,
        adjustments=render.adjustments,
        losses=losses,
    )


def _meter(render: PreparedRender) -> Meter:
    return Meter(render.shots, keys=key_frames_of(render.config, render.shots))


def key_frames_of(config: RenderConfig, shots: Sequence[Shot]) -> tuple[int, ...]:
    """Return the key frames of a render's shots; empty if its schedule has none."""
    schedule = closed(config.schedule, shots)
    if schedule.kind != "keys":
        return ()
    found = (key_frames(shot, spacing=schedule.spacing, loop=schedule.loop) for shot in shots)
    return tuple(index for keys in found for index in keys)


def loss_evaluator(
    region_source: RegionSource,
    styles: Sequence[str | Style],
    folder: Path | None,
    *,
    colours: "ColourSample | None" = None,
    digest: str | None = None,
    on_event: OnEvent = ignore,
) -> LossFunction:
    """Return a function that evaluates style and content loss of a finished frame, by one forward pass.

    Styles apply where and when they did in the render. If that is no longer known, they apply everywhere, with a
    warning.

    Args:
        region_source: what was rendered.
        styles: style texts, as a user writes them.
        folder: the run folder, if there is one.
        colours: the source's colours, if the render transferred them to the style pictures.
        digest: fingerprint that the weights must have, because only the run's record names their file; None for any.

    Raises:
        StyleError, WeightsError, ConfigError: a style or the weights cannot be used.
        FarmError: the device is not available.
    """
    from vidnst.farm.workers import pick_device
    from vidnst.style.stylizer import Stylizer
    from vidnst.style.tensors import from_pixels

    config, found = region_source.config, read_styles(styles)
    recolour = None if colours is None else partial(coloured, colours=colours, config=config)
    try:
        direct = recalled_guidance(found, region_source, folder, recolour=recolour)
    except VidnstError as error:
        on_event(Warned(f"style losses are those of all styles everywhere: {error}"))
        direct = None
    pictures = [(recolour(style.pixels) if recolour else style.pixels, style.weight) for style in found]
    features = read_features(config, digest=digest, on_event=on_event)
    stylizer = Stylizer(features, pictures, config, device=pick_device(config.farm.device))

    def evaluate(index: int, source: Pixels, output: Pixels) -> Mapping[str, float]:
        shot = shot_number(region_source.shots, index)
        guidance = direct(shot, index) if direct else None
        terms = stylizer.evaluate(from_pixels(source), from_pixels(output), guidance)
        return {name: terms[name] for name in LOSSES}

    return evaluate


def measured_event(file: Path, found: Measurement) -> Measured:
    """Return the event with the main numbers of a measurement, for the end of a render."""
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
        file_error=found.file.error.output if found.file else None,
        file_error_ratio=found.file.error.ratio if found.file else None,
        file_flicker_levels=found.file.flicker.output if found.file else None,
    )


def _source(request: MeasureRequest, record: RunRecord | None) -> str | Path | Sequence[str | Path]:
    if request.source is not None:
        return request.source
    if record is None:
        if not os.path.lexists(request.output):
            _probe_output(request.output)  # an OutputError, unless it is a pattern
        raise SourceError(
            f"there is no run folder next to {request.output}, so its source is not known", "add --source"
        )
    return record.request.source


def _given(request: MeasureRequest) -> dict[str, Any]:
    """Return the settings of a run that its record cannot decide here, by dotted key."""
    asks_run = request.with_losses and request.backbone is None and request.weights is None
    return {key: value for key, value in PERSONAL.items() if not (asks_run and key == "model.weights")}


def _settings(request: MeasureRequest, record: RunRecord | None) -> RenderConfig:
    """Return the run's settings, or the defaults, overridden by the request."""
    values = (record.request.config if record else RenderConfig()).model_dump(mode="json")
    given = {"start": request.start, "end": request.end, "fps": request.fps}
    values["input"].update({key: value for key, value in given.items() if value is not None})
    if request.backbone is not None and request.backbone != values["model"]["backbone"]:
        values["model"] |= {"backbone": request.backbone, "weights": None}
    if request.weights is not None:
        values["model"]["weights"] = request.weights
    return build_config(values)


def _find_shots(clip: ClipInfo, config: RenderConfig, start: int, end: int, on_event: OnEvent) -> list[Shot]:
    on_event(Stage("shots", 0, end - start))
    return find_shots(clip, start=start, end=end, method=config.input.shots)


def _subject(output: Path, record: RunRecord | None) -> Path | tuple[Path, ...]:
    """Return what is measured if there are no kept frames: the output itself, or a run folder's output."""
    own = record.output_source() if record else output
    return own if holds_run(output) or isinstance(own, tuple) else output


def _probe_output(output: Path | Sequence[Path], *, transform: str = "auto") -> ClipInfo:
    try:
        return probe(output, missing="skip", transform=written_transform(transform))
    except SourceError as error:
        raise OutputError(error.what, error.remedy) from error


def _recorded(losses: Mapping[int, Mapping[str, float]]) -> LossFunction:
    return lambda index, source, output: losses.get(index, {})
