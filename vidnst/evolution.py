"""How one picture comes about: the film of its optimisation with the losses beside it, and stills on the way."""

import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vidnst.config import RenderConfig
from vidnst.darkroom import directed, filtered, finished, recoloured
from vidnst.entries import StylePicture, read_styles
from vidnst.errors import CancelledError, ConfigError
from vidnst.events import OnEvent, RunFinished, Stage, Warned, ignore
from vidnst.film import Film, drawn_clip
from vidnst.frames import Pixels, narrow
from vidnst.prepare import read_features
from vidnst.stills import Footage, cold_job, open_footage, paint_cold

if TYPE_CHECKING:  # they bring torch and OpenCV
    from vidnst.farm.jobs import Stylized, StylizeJob
    from vidnst.media.chart import Chart
    from vidnst.media.lettering import Paper
    from vidnst.style.stylize import StepReport

RATE = Fraction(25)
_USUAL_FRAMES = 150
"""Of a film whose steps lie in equal ratios, at most."""
_MOST_FRAMES = 3000
_HOLD_SECONDS = 1
"""How long the finished picture stays."""
_CHART_PX = (480, 240)
"""Narrowest and lowest chart."""
_TALL = 0.7
"""Pictures of such proportions, height to width, or taller have the chart beside them."""
_GAP_PX = 8
# After M. Okabe and K. Ito: told apart by everyone, whatever colours they see.
_COLOURS = {"total": (0, 0, 0), "style": (213, 94, 0), "content": (0, 114, 178), "tv": (0, 158, 115)}

Cancelled = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Step:
    """An evaluation of the loss."""

    evaluation: int
    """From 1, over all scales; the first is of what the picture starts from."""
    losses: Mapping[str, float]
    """total (weighted), and content, style and tv without their weights."""
    height: int
    """Of the picture at that scale, pixels."""


@dataclass(frozen=True, slots=True)
class Evolution:
    """What came of it."""

    output: Path
    stills: tuple[Path, ...]
    """Pictures at the steps that were asked for."""
    steps: tuple[Step, ...]
    pixels: Pixels
    """The finished picture, `(H, W, 3)` uint8 RGB: the best that was evaluated, which need not be the last."""
    losses: Mapping[str, float]
    """Of the finished picture."""


def evolve(
    source: str | Path | Sequence[str | Path],
    *,
    style: str | Path | Sequence[str | Path],
    output: str | Path,
    config: RenderConfig | None = None,
    frame: int | str | None = None,
    every: int | None = None,
    at: Sequence[int] = (),
    curve: bool = True,
    rate: Fraction = RATE,
    overwrite: bool = False,
    on_event: OnEvent = ignore,
    cancelled: Cancelled | None = None,
) -> Evolution:
    """Paint one frame, as a render paints one that starts cold, and show how it comes about.

    Args:
        source: a video, a folder, a glob, a printf pattern, or several pictures.
        style: one or several style pictures, each optionally with a weight.
        output: a video, an animation or a folder of frames for the film; or a picture, the finished one, without film.
        config: settings; None takes the defaults.
        frame: a number, seconds (`1.5s`) or a timecode; None is the first of the range.
        every: evaluations from one frame of the film to the next; None takes equal ratios, so that the beginning, where
            most happens, is seen, and the film is short.
        at: evaluations after which a still picture is written, `STEM_000500.png` beside the output.
        curve: draw the losses beside the picture.
        rate: frames per second of the film.
        overwrite: replace files that exist.
        on_event: hears of what happens.
        cancelled: asked at every evaluation whether to stop.

    A step's picture is the one that was evaluated there; at the last step it is the finished picture, the best of all,
    with all that a render does to it afterwards.

    Raises:
        ConfigError: a step outside the evaluations, or too many of them.
        VidnstError: of the kind that fits, before anything is painted if it can be known then.
    """
    began = time.monotonic()
    texts = (style,) if isinstance(style, (str, Path)) else tuple(style)
    config, path = config or RenderConfig(), Path(output)
    styles = read_styles([str(text) for text in texts])
    footage = open_footage(source, config, on_event=on_event)
    (index,) = footage.named([footage.start if frame is None else frame])
    pixels = filtered(footage.read([index], size=config.input.size)[index], config)
    styles = recoloured(styles, [pixels], config)
    direction = directed(styles, footage, index, (pixels.shape[1], pixels.shape[0]))
    job = cold_job(index, pixels, config, direction=direction)
    canvas = Canvas(pixels.shape[1], pixels.shape[0], curve=curve)
    plan = _Plan(path, film_steps(job.iterations, every) if _is_film(path) else (), _stills(path, at, job.iterations))
    plan.check(footage, styles, canvas.size, rate, overwrite=overwrite)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.part", dir=path.absolute().parent) as folder:
        watch = _Watch(Path(folder), job.content, config, plan.wanted, on_event, cancelled or (lambda: False))
        painted = _paint(job, styles, config, watch)
        watch.finish(painted)
        stills = plan.write_stills(watch, on_event)
        if plan.film:
            log_steps = every is None
            _make_film(plan, watch, canvas, log_steps=log_steps, config=config, rate=rate)
        else:
            watch.copy(painted.evaluations, path)
    on_event(RunFinished(str(path), 1, time.monotonic() - began))
    return Evolution(path, stills, tuple(watch.steps), finished(painted, pixels, config), painted.losses)


@dataclass(slots=True)
class _Watch:
    """Listens to an optimisation; keeps all its losses, and pictures at some steps in a folder."""

    folder: Path
    content: Pixels
    config: RenderConfig
    wanted: frozenset[int]
    on_event: OnEvent
    cancelled: Cancelled
    steps: list[Step] = field(default_factory=list)

    def __call__(self, report: "StepReport") -> None:
        from vidnst.style.pixels import resized, to_state

        if self.cancelled():
            raise CancelledError("stopped while the picture was painted", "give the same command again")
        self.steps.append(Step(report.evaluation, report.losses, report.height))
        self.on_event(Stage("evaluations", report.evaluation, report.limit))
        if report.evaluation in self.wanted:
            state = to_state(resized(report.picture, *self.content.shape[:2]))
            self._write(report.evaluation, narrow(state, self.config.output.bits))

    def finish(self, painted: "Stylized") -> None:
        """The finished picture takes the place of the last step's."""
        bits = self.config.output.bits
        self._write(painted.evaluations, finished(painted, self.content, self.config, bits=bits))

    def read(self, step: int) -> Pixels:
        """A kept picture, `(H, W, 3)` of 8 or 16 bits."""
        from vidnst.media.pictures import read_picture

        return read_picture(self._path(step))

    def copy(self, step: int, path: Path) -> None:
        """Write a kept picture where it is wanted, in the format that the name says."""
        from vidnst.media.pictures import write_picture

        write_picture(path, self.read(step))

    def _write(self, step: int, pixels: Pixels) -> None:
        from vidnst.media.pictures import encode_png
        from vidnst.store.atomic import writing

        with writing(self.folder.parent):  # not to be kept, so nothing waits for the disk
            self._path(step).write_bytes(encode_png(pixels, bits=self.config.output.bits))

    def _path(self, step: int) -> Path:
        return self.folder / f"{step:06d}.png"


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be written."""

    output: Path
    film: tuple[int, ...]
    """Steps that the film shows; empty for a picture."""
    stills: Mapping[int, Path]
    """Pictures by their steps."""

    @property
    def wanted(self) -> frozenset[int]:
        return frozenset(self.film) | frozenset(self.stills)

    def check(
        self,
        footage: Footage,
        styles: Sequence[StylePicture],
        size: tuple[int, int],
        rate: Fraction,
        *,
        overwrite: bool,
    ) -> None:
        """See that everything can be written."""
        from vidnst.media.preflight import check_file, check_output

        inputs = (*footage.clip.paths, *(one.path for one in styles))
        for still in self.stills.values():
            check_file(still, overwrite=overwrite, inputs=inputs)
        if self.film:
            clip = drawn_clip(self.output.name, len(self.film) + 1, size, rate=rate, paths=inputs)
            check_output(self.output, footage.config.output, clip=clip, overwrite=overwrite, size=size)
        else:
            check_file(self.output, overwrite=overwrite, inputs=inputs)

    def write_stills(self, watch: _Watch, on_event: OnEvent) -> tuple[Path, ...]:
        """Write the pictures of the steps that were reached; say which were not."""
        last = watch.steps[-1].evaluation
        reached = {step: path for step, path in self.stills.items() if step <= last}
        for step, path in reached.items():
            watch.copy(step, path)
        if missing := [str(step) for step in self.stills if step > last]:
            on_event(
                Warned(
                    f"the loss settled after {last} evaluations, so there is no picture of step {', '.join(missing)};"
                    " optimize.tolerance=0 goes on to the end"
                )
            )
        return tuple(reached.values())


def _is_film(output: Path) -> bool:
    from vidnst.media.pictures import SUFFIXES

    return output.suffix.lower() not in SUFFIXES - {".webp"}


def film_steps(limit: int, every: int | None) -> tuple[int, ...]:
    """The evaluations that a film of so many shows: the first, the last, and some between.

    Args:
        every: from one to the next; None takes equal ratios.

    Raises:
        ConfigError: less than 1, or too many for a film.
    """
    if every is None:
        return tuple(sorted({round(float(step)) for step in np.geomspace(1, limit, _USUAL_FRAMES)}))
    if every < 1:
        raise ConfigError(f"--every {every} is not above 0", "give 1 or more")
    steps = tuple(sorted({1, *range(every, limit + 1, every), limit}))
    if len(steps) > _MOST_FRAMES:
        raise ConfigError(f"--every {every} of {limit} evaluations are {len(steps)} frames", "give a larger number")
    return steps


def _stills(output: Path, at: Sequence[int], limit: int) -> dict[int, Path]:
    for step in at:
        if not 1 <= step <= limit:
            raise ConfigError(
                f"step {step} is not one of the {limit} evaluations", "raise --iterations, or leave it out"
            )
    suffix = output.suffix if output.suffix and not _is_film(output) else ".png"
    return {step: output.with_name(f"{output.stem}_{step:06d}{suffix}") for step in sorted(set(at))}


def _paint(job: "StylizeJob", styles: Sequence[StylePicture], config: RenderConfig, watch: _Watch) -> "Stylized":
    """Paint in a thread of its own: how many threads torch takes is set for the thread that computes."""
    from vidnst.farm.staff import choose_staff, local_cores
    from vidnst.farm.worker import pick_device

    features = read_features(config, on_event=watch.on_event)
    gpus = float(pick_device(config.farm.device).type == "cuda")
    staff = choose_staff(config.farm, width=1, cores=local_cores(), gpus=gpus)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(paint_cold, job, config, features, styles, staff.threads, watch, every_step=True).result()


class Canvas:
    """A frame of the film: the picture, and the chart beside it or below, whichever fits better.

    Args:
        width, height: of the picture in pixels.
        curve: whether there is a chart at all.
    """

    def __init__(self, width: int, height: int, *, curve: bool) -> None:
        beside = height > _TALL * width
        across, down = (
            max(_CHART_PX[0], width * 3 // 4 if beside else width),
            max(_CHART_PX[1], height if beside else height // 2),
        )
        self.chart_size = (across, down) if curve else (0, 0)
        gap = _GAP_PX if curve else 0
        wide = width + gap + self.chart_size[0] if beside else max(width, self.chart_size[0])
        tall = max(height, self.chart_size[1]) if beside else height + gap + self.chart_size[1]
        self.size = (wide + wide % 2, tall + tall % 2)
        """Width and height in pixels, even."""
        self.picture_at = (0, (tall - height) // 2) if beside else ((wide - width) // 2, 0)
        """x and y of the picture's upper left corner."""
        self._chart_at = (width + gap, (tall - down) // 2) if beside else ((wide - across) // 2, height + gap)

    def frame(self, picture: Pixels, chart: "Paper | None") -> "Paper":
        """One frame, `(size[1], size[0], 3)` uint8 RGB."""
        from vidnst.media.pictures import with_bits

        paper = np.full((self.size[1], self.size[0], 3), 255, np.uint8)
        for part, (x, y) in ((with_bits(picture, 8), self.picture_at), (chart, self._chart_at)):
            if part is not None:
                paper[y : y + part.shape[0], x : x + part.shape[1]] = part
        return paper


def _make_film(
    plan: _Plan, watch: _Watch, canvas: Canvas, *, log_steps: bool, config: RenderConfig, rate: Fraction
) -> None:
    last = watch.steps[-1].evaluation
    shown = sorted({step for step in plan.film if step < last} | {last})
    chart = _chart(watch.steps, canvas.chart_size, log_steps=log_steps) if canvas.chart_size[0] else None
    with Film(plan.output, config.output) as film:
        for step in shown:
            times = max(1, math.ceil(_HOLD_SECONDS * rate)) if step == last else 1
            film.add(canvas.frame(watch.read(step), chart.until(step) if chart else None), times=times)
        film.encode(rate=rate, on_event=watch.on_event, cancelled=watch.cancelled)


def _chart(steps: Sequence[Step], size: tuple[int, int], *, log_steps: bool) -> "Chart":
    from vidnst.media.chart import Chart, Curve

    curves = [Curve(name, colour, [step.losses[name] for step in steps]) for name, colour in _COLOURS.items()]
    marks = [after.evaluation for before, after in pairwise(steps) if after.height != before.height]
    return Chart([step.evaluation for step in steps], curves, size=size, log_steps=log_steps, marks=marks)
