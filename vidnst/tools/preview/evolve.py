"""How one picture comes about: the film of its optimisation with the losses beside it, and stills on the way."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from vidnst.config import RenderConfig
from vidnst.errors import ConfigError
from vidnst.events import Cancelled, OnEvent, RunFinished, Warned, ignore
from vidnst.frames import Pixels
from vidnst.rendering.prepare import read_features
from vidnst.rendering.styles.style_spec import StylePicture, read_styles
from vidnst.tools.preview.evolve_recorder import RecordedStep, Recorder
from vidnst.tools.preview.evolve_video import Canvas, film_steps, write_film
from vidnst.tools.preview.single_frame_effects import directed, filtered, finished, recoloured
from vidnst.tools.preview.single_frames import StillSource, cold_job, open_footage, paint_cold
from vidnst.tools.preview.video_writer import drawn_clip, is_film

if TYPE_CHECKING:  # it brings torch
    from vidnst.farm.jobs import Stylized, StylizeJob

RATE = Fraction(25)


@dataclass(frozen=True, slots=True)
class Evolution:
    """What came of painting a picture step by step."""

    output: Path
    stills: tuple[Path, ...]
    """Pictures at the steps that were asked for."""
    steps: tuple[RecordedStep, ...]
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

    A step's picture is the one that was evaluated there; at the last step it is the finished picture, the best of all,
    with all that a render does to it afterwards.

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
    guidance = directed(styles, footage, index, (pixels.shape[1], pixels.shape[0]))
    job = cold_job(index, pixels, config, guidance=guidance)
    canvas = Canvas(pixels.shape[1], pixels.shape[0], curve=curve)
    plan = _Plan(path, film_steps(job.iterations, every) if is_film(path) else (), _stills(path, at, job.iterations))
    plan.check(footage, styles, canvas.size, rate, overwrite=overwrite)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.part", dir=path.absolute().parent) as folder:
        recorder = Recorder(Path(folder), job.content, config, plan.wanted, on_event, cancelled or (lambda: False))
        painted = _paint(job, styles, config, recorder)
        recorder.finish(painted)
        stills = plan.write_stills(recorder, on_event)
        if plan.film:
            write_film(path, plan.film, recorder, canvas, log_steps=every is None, rate=rate)
        else:
            recorder.copy(painted.evaluations, path)
    on_event(RunFinished(str(path), 1, time.monotonic() - began))
    return Evolution(path, stills, tuple(recorder.steps), finished(painted, pixels, config), painted.losses)


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
        footage: StillSource,
        styles: Sequence[StylePicture],
        size: tuple[int, int],
        rate: Fraction,
        *,
        overwrite: bool,
    ) -> None:
        """See that everything can be written."""
        from vidnst.media.output.preflight import check_file, check_output

        inputs = (*footage.clip.paths, *(one.path for one in styles))
        for still in self.stills.values():
            check_file(still, overwrite=overwrite, inputs=inputs)
        if self.film:
            clip = drawn_clip(self.output.name, len(self.film) + 1, size, rate=rate, paths=inputs)
            check_output(self.output, footage.config.output, clip=clip, overwrite=overwrite, size=size)
        else:
            check_file(self.output, overwrite=overwrite, inputs=inputs)

    def write_stills(self, recorder: Recorder, on_event: OnEvent) -> tuple[Path, ...]:
        """Write the pictures of the steps that were reached; say which were not."""
        last = recorder.steps[-1].evaluation
        reached = {step: path for step, path in self.stills.items() if step <= last}
        for step, path in reached.items():
            recorder.copy(step, path)
        if missing := [str(step) for step in self.stills if step > last]:
            on_event(
                Warned(
                    f"the loss settled after {last} evaluations, so there is no picture of step {', '.join(missing)};"
                    " optimize.tolerance=0 goes on to the end"
                )
            )
        return tuple(reached.values())


def _stills(output: Path, at: Sequence[int], limit: int) -> dict[int, Path]:
    for step in at:
        if not 1 <= step <= limit:
            raise ConfigError(
                f"step {step} is not one of the {limit} evaluations", "raise --iterations, or leave it out"
            )
    suffix = output.suffix if output.suffix and not is_film(output) else ".png"
    return {step: output.with_name(f"{output.stem}_{step:06d}{suffix}") for step in sorted(set(at))}


def _paint(job: "StylizeJob", styles: Sequence[StylePicture], config: RenderConfig, recorder: Recorder) -> "Stylized":
    """Paint in a thread of its own: how many threads torch takes is set for the thread that computes."""
    from vidnst.farm.provisioning import choose_worker_counts
    from vidnst.farm.workers import pick_device
    from vidnst.parallel import local_cores

    features = read_features(config, on_event=recorder.on_event)
    gpus = float(pick_device(config.farm.device).type == "cuda")
    staff = choose_worker_counts(config.farm, width=1, cores=local_cores(), gpus=gpus)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(paint_cold, job, config, features, styles, staff.threads, recorder, every_step=True).result()
