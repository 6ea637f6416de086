"""Records the optimisation of one frame: as a video next to a chart of its losses, and as pictures of some steps."""

import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np

from vidnst.config import RenderConfig
from vidnst.config.loader import Settings, resolve_config
from vidnst.errors import CancelledError, ConfigError
from vidnst.events import Cancelled, OnEvent, RunFinished, Stage, Warned, ignore
from vidnst.farm.jobs import Stylized, StylizeJob
from vidnst.files.file_names import derived_name, part_prefix
from vidnst.frames import Pixels, to_bits
from vidnst.media.draw.loss_chart import LossChart, LossCurve
from vidnst.media.draw.text import ImageBuffer
from vidnst.media.images import read_image, write_image
from vidnst.media.output.preflight import check_file, check_output
from vidnst.rendering.network_weights import read_features
from vidnst.rendering.styles.style_spec import StylePicture, read_styles
from vidnst.runs.request_inputs import named_inputs
from vidnst.style.minimize import StepReport
from vidnst.style.tensors import resize, to_state
from vidnst.tools.preview import single_frames
from vidnst.tools.preview.single_frames import PreviewSource
from vidnst.tools.preview.video_writer import VideoWriter, drawn_clip, is_video_output, write_temporary_png

DEFAULT_RATE = Fraction(25)
_GEOMETRIC_STEPS = 150
"""Most frames of a video whose steps are spaced geometrically."""
_MOST_FRAMES = 3000
_HOLD_SECONDS = 1
"""Time for which the finished picture stays on screen."""
_SMALLEST_CHART_PX = (480, 240)
_CHART_RIGHT_ASPECT = 0.7
"""Pictures whose height is more than this share of their width have the chart at their right, others below."""
_GAP_PX = 8
# Colours by M. Okabe and K. Ito, which people with any kind of colour vision can tell apart.
_CURVE_COLOURS = {"total": (0, 0, 0), "style": (213, 94, 0), "content": (0, 114, 178), "tv": (0, 158, 115)}


@dataclass(frozen=True, slots=True)
class OptimizationStep:
    """One evaluation of the loss."""

    evaluation: int
    """Number from 1, over all scales; the first one is of the initial image."""
    losses: Mapping[str, float]
    """total (weighted), and content, style and tv without their weights."""
    height: int
    """Height of the picture at that scale, pixels."""


@dataclass(frozen=True, slots=True)
class Evolution:
    """A finished recording."""

    output: Path
    stills: tuple[Path, ...]
    """Pictures of the steps that were asked for."""
    steps: tuple[OptimizationStep, ...]
    pixels: Pixels
    """The finished picture, `(H, W, 3)` uint8 RGB: the best that was evaluated, which need not be the last."""
    losses: Mapping[str, float]
    """The finished picture's losses."""


def evolve(
    source: str | Path | Sequence[str | Path],
    *,
    style: str | Path | Sequence[str | Path],
    output: str | Path,
    preset: str | None = None,
    config: Settings | None = None,
    frame: int | str | None = None,
    every: int | None = None,
    at: Sequence[int] = (),
    curve: bool = True,
    rate: Fraction = DEFAULT_RATE,
    reads: Sequence[Path] = (),
    overwrite: bool = False,
    on_event: OnEvent = ignore,
    cancelled: Cancelled | None = None,
) -> Evolution:
    """Stylize one frame as a render does when it starts cold, and record how the picture evolves.

    A step shows the picture that was evaluated there; the last step shows the finished picture, which is the best of
    all, with the effects that a render applies afterwards.

    Args:
        source: a video, a folder, a glob, a printf pattern, or several pictures.
        style: one or several style pictures, each optionally with a weight.
        output: a video, an animation or a folder of frames; or a picture, for the finished picture alone.
        preset: name of a preset that ships; None takes the defaults.
        config: settings; None takes the defaults.
        frame: a number, seconds (`1.5s`) or a timecode; None is the first of the range.
        every: evaluations from one frame of the video to the next; None spaces them geometrically, so that the
            beginning, where most happens, is seen, and the video is short.
        at: evaluations after which a picture is written, `STEM_000500.png` next to the output.
        curve: draw the losses next to the picture.
        rate: frames per second of the video.
        reads: further files that are read, and not replaced, such as that of the settings.
        overwrite: replace files that exist.
        on_event: receives progress and warnings.
        cancelled: asked at every evaluation whether to stop.

    Raises:
        ConfigError: a step outside the evaluations, or too many of them.
        VidnstError: of the kind that fits; before anything is stylized if it can be known then.
    """
    began = time.monotonic()
    texts = (style,) if isinstance(style, (str, Path)) else tuple(style)
    config, path = resolve_config(config, preset=preset), Path(output)
    styles = read_styles([str(text) for text in texts])
    preview_source = single_frames.open_source(source, config, on_event=on_event)
    (index,) = preview_source.resolve_frames([preview_source.start if frame is None else frame])
    pixels = single_frames.filter_frame(preview_source.read_frames([index], size=config.input.size)[index], config)
    styles = single_frames.recolour_styles(styles, [pixels], config)
    guidance = single_frames.guide_frame(styles, preview_source, index, (pixels.shape[1], pixels.shape[0]))
    job = single_frames.cold_start_job(index, pixels, config, guidance=guidance)
    layout = FrameLayout(pixels.shape[1], pixels.shape[0], chart=curve)
    video_steps = choose_video_steps(job.iterations, every) if is_video_output(path) else ()
    outputs = _Outputs(path, video_steps, _still_paths(path, at, job.iterations))
    inputs = (*reads, *preview_source.clip.paths, *named_inputs(source, map(str, texts), config))
    outputs.check(preview_source, inputs, layout.size, rate, overwrite=overwrite)
    with tempfile.TemporaryDirectory(prefix=part_prefix(path.name), dir=path.absolute().parent) as folder:
        steps = outputs.recorded_steps
        recorder = StepRecorder(Path(folder), job.content, config, steps, on_event, cancelled or (lambda: False))
        stylized = _stylize(job, styles, config, recorder)
        recorder.finish(stylized)
        stills = outputs.write_stills(recorder, on_event)
        if video_steps:
            _write_video(path, video_steps, recorder, layout, log_axis=every is None, rate=rate)
        else:
            recorder.copy(stylized.evaluations, path)
    on_event(RunFinished(str(path), 1, time.monotonic() - began))
    return Evolution(
        path, stills, tuple(recorder.steps), single_frames.finish_frame(stylized, pixels, config), stylized.losses
    )


@dataclass(slots=True)
class StepRecorder:
    """Records all losses of an optimisation, and the pictures of some steps in a folder."""

    folder: Path
    content: Pixels
    config: RenderConfig
    recorded: frozenset[int]
    """Evaluations of which the picture is written."""
    on_event: OnEvent
    cancelled: Cancelled
    steps: list[OptimizationStep] = field(default_factory=list)

    def __call__(self, report: StepReport) -> None:
        if self.cancelled():
            raise CancelledError("stopped while the picture was painted", "give the same command again")
        self.steps.append(OptimizationStep(report.evaluation, report.losses, report.height))
        self.on_event(Stage("evaluations", report.evaluation, report.limit))
        if report.evaluation in self.recorded:
            state = to_state(resize(report.picture, *self.content.shape[:2]))
            self._write(report.evaluation, to_bits(state, self.config.output.picture_bits))

    def finish(self, stylized: Stylized) -> None:
        """Replace the picture of the last step by the finished picture."""
        bits = self.config.output.picture_bits
        self._write(stylized.evaluations, single_frames.finish_frame(stylized, self.content, self.config, bits=bits))

    def read(self, step: int) -> Pixels:
        """Read a recorded picture, `(H, W, 3)` of 8 or 16 bits."""
        return read_image(self._path(step))

    def copy(self, step: int, path: Path) -> None:
        """Write a recorded picture to a path, in the format that its name asks for."""
        write_image(path, self.read(step))

    def _write(self, step: int, pixels: Pixels) -> None:
        write_temporary_png(self._path(step), pixels, bits=self.config.output.picture_bits)

    def _path(self, step: int) -> Path:
        return self.folder / f"{step:06d}.png"


@dataclass(frozen=True, slots=True)
class _Outputs:
    """The files to be written."""

    output: Path
    video_steps: tuple[int, ...]
    """Steps that the video shows; empty if the output is a picture."""
    stills: Mapping[int, Path]
    """Pictures by their steps."""

    @property
    def recorded_steps(self) -> frozenset[int]:
        return frozenset(self.video_steps) | frozenset(self.stills)

    def check(
        self,
        source: PreviewSource,
        inputs: Sequence[Path],
        size: tuple[int, int],
        rate: Fraction,
        *,
        overwrite: bool,
    ) -> None:
        """Check that all files can be written."""
        for still in self.stills.values():
            check_file(still, overwrite=overwrite, inputs=inputs)
        if self.video_steps:
            clip = drawn_clip(self.output.name, len(self.video_steps) + 1, size, rate=rate, paths=inputs)
            check_output(self.output, source.config.output, clip=clip, overwrite=overwrite, size=size)
        else:
            check_file(self.output, overwrite=overwrite, inputs=inputs)

    def write_stills(self, recorder: StepRecorder, on_event: OnEvent) -> tuple[Path, ...]:
        """Write the pictures of the steps that were reached, and warn of those that were not."""
        last = recorder.steps[-1].evaluation
        reached = {step: path for step, path in self.stills.items() if step <= last}
        for step, path in reached.items():
            recorder.copy(step, path)
        if missing := [str(step) for step in self.stills if step > last]:
            on_event(
                Warned(
                    f"the loss settled after {last} evaluations, so there is no picture of step {', '.join(missing)};"
                    " optimize.tolerance=0 runs all of them"
                )
            )
        return tuple(reached.values())


def _still_paths(output: Path, at: Sequence[int], limit: int) -> dict[int, Path]:
    for step in at:
        if not 1 <= step <= limit:
            raise ConfigError(
                f"step {step} is not one of the {limit} evaluations", "raise --iterations, or leave it out"
            )
    suffix = output.suffix if output.suffix and not is_video_output(output) else ".png"
    return {
        step: output.with_name(derived_name(output.stem, suffix=f"_{step:06d}{suffix}")) for step in sorted(set(at))
    }


def _stylize(job: StylizeJob, styles: Sequence[StylePicture], config: RenderConfig, recorder: StepRecorder) -> Stylized:
    """Stylize in a thread of its own, since torch's number of threads is set for the calling thread."""
    features = read_features(config, on_event=recorder.on_event)
    threads = single_frames.count_workers(config.farm, frames=1).threads
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(
            single_frames.stylize_cold, job, config, features, styles, threads, recorder, every_step=True
        ).result()


def choose_video_steps(limit: int, every: int | None) -> tuple[int, ...]:
    """Choose the evaluations that a video of `limit` evaluations shows: the first, the last, and some between.

    Args:
        every: evaluations from one frame to the next; None spaces them geometrically.

    Raises:
        ConfigError: `every` is less than 1, or makes too many frames.
    """
    if every is None:
        return tuple(sorted({round(float(step)) for step in np.geomspace(1, limit, _GEOMETRIC_STEPS)}))
    if every < 1:
        raise ConfigError(f"--every {every} is not above 0", "give 1 or more")
    steps = tuple(sorted({1, *range(every, limit + 1, every), limit}))
    if len(steps) > _MOST_FRAMES:
        raise ConfigError(f"--every {every} of {limit} evaluations are {len(steps)} frames", "give a larger number")
    return steps


class FrameLayout:
    """Places the picture and the loss chart in a frame of the video: side by side, or the chart below.

    Args:
        width, height: of the picture in pixels.
        chart: whether there is a chart at all.
    """

    def __init__(self, width: int, height: int, *, chart: bool) -> None:
        side_by_side = height > _CHART_RIGHT_ASPECT * width
        chart_width = max(_SMALLEST_CHART_PX[0], width * 3 // 4 if side_by_side else width)
        chart_height = max(_SMALLEST_CHART_PX[1], height if side_by_side else height // 2)
        self.chart_size = (chart_width, chart_height) if chart else (0, 0)
        gap = _GAP_PX if chart else 0
        full_width = width + gap + self.chart_size[0] if side_by_side else max(width, self.chart_size[0])
        full_height = max(height, self.chart_size[1]) if side_by_side else height + gap + self.chart_size[1]
        self.size = (full_width + full_width % 2, full_height + full_height % 2)
        """Width and height in pixels; even, as most codecs want it."""
        self.picture_at = (0, (full_height - height) // 2) if side_by_side else ((full_width - width) // 2, 0)
        """x and y of the picture's upper left corner."""
        self._chart_at = (
            (width + gap, (full_height - chart_height) // 2)
            if side_by_side
            else ((full_width - chart_width) // 2, height + gap)
        )

    def draw(self, picture: Pixels, chart: ImageBuffer | None) -> ImageBuffer:
        """Draw one frame, `(size[1], size[0], 3)` uint8 RGB."""
        paper = np.full((self.size[1], self.size[0], 3), 255, np.uint8)
        for part, (x, y) in ((to_bits(picture, 8), self.picture_at), (chart, self._chart_at)):
            if part is not None:
                paper[y : y + part.shape[0], x : x + part.shape[1]] = part
        return paper


def _write_video(
    output: Path, steps: Sequence[int], recorder: StepRecorder, layout: FrameLayout, *, log_axis: bool, rate: Fraction
) -> None:
    """Write the video of a finished optimisation: the steps that were reached, and always the last one."""
    last = recorder.steps[-1].evaluation
    shown = sorted({step for step in steps if step < last} | {last})
    chart = _draw_chart(recorder.steps, layout.chart_size, log_axis=log_axis) if layout.chart_size[0] else None
    with VideoWriter(output, recorder.config.output) as video:
        for step in shown:
            times = max(1, math.ceil(_HOLD_SECONDS * rate)) if step == last else 1
            video.add(layout.draw(recorder.read(step), chart.draw_until(step) if chart else None), times=times)
        video.encode(rate=rate, on_event=recorder.on_event, cancelled=recorder.cancelled)


def _draw_chart(steps: Sequence[OptimizationStep], size: tuple[int, int], *, log_axis: bool) -> LossChart:
    curves = [LossCurve(name, colour, [step.losses[name] for step in steps]) for name, colour in _CURVE_COLOURS.items()]
    scale_changes = [after.evaluation for before, after in pairwise(steps) if after.height != before.height]
    return LossChart([step.evaluation for step in steps], curves, size=size, log_steps=log_axis, marks=scale_changes)
