"""The Python API: what `vidnst` exports, with keyword arguments for everything that a program may want to change.

Sources, styles and outputs are given as on the command line; a style may also be a `Style`. Settings come from a
preset, a `RenderConfig`, or a mapping of keys to values that override the preset or the defaults.

`render`, `resume`, `batch`, `measure` and `plan` show their progress: as bars where standard error is a terminal, as
lines in a notebook, and nowhere else. `progress=True` shows it in any case, `progress=False` never; by default it is
not shown to a program that listens with `on_event`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from vidnst.config.loader import Settings, resolve_config
from vidnst.config.style import Style
from vidnst.errors import ConfigError
from vidnst.events import Cancelled, Event, OnEvent, ignore
from vidnst.frames import ClipInfo
from vidnst.media.input.probe import probe as probe_clip
from vidnst.rendering.early_forecast import Forecaster
from vidnst.rendering.measure_output import MeasureRequest, measure_output
from vidnst.rendering.pipeline import RenderResult, run
from vidnst.rendering.source_check import with_bad_pictures
from vidnst.report.measure.measurement import Measurement
from vidnst.report.measure.meter import FLOW_SIZE_PX
from vidnst.runs.request import Request, resume_request

if TYPE_CHECKING:  # they bring torch
    from vidnst.rendering.batch.run import BatchSummary
    from vidnst.tools.forecast.forecast import Forecast

Source: TypeAlias = str | Path | Sequence[str | Path]
"""A video, a folder, a glob, a printf pattern, or several pictures."""
Styles: TypeAlias = str | Path | Style | Sequence[str | Path | Style]
"""One or several styles. A text may end with a weight (`a.jpg:100`), a moment or shot (`@10s`, `@shot2`) and a region
(`#sky`); a path is a path and nothing else."""


def render(
    source: Source,
    *,
    style: Styles = (),
    output: str | Path,
    preset: str | None = None,
    config: Settings | None = None,
    work_dir: str | Path | None = None,
    overwrite: bool = False,
    restart: bool = False,
    on_event: OnEvent = ignore,
    progress: bool | None = None,
    cancelled: Cancelled | None = None,
) -> RenderResult:
    """Stylize a clip; the same call resumes a render that was stopped.

    >>> import vidnst
    >>> settings = {"optimize.iterations": 4, "farm.executor": "inline"}
    >>> result = vidnst.render("clip.mp4", style="style.png:2", output="out.mp4", preset="draft", config=settings)
    >>> result.output.name, result.frames
    ('out.mp4', 3)

    Args:
        source: a video, a folder, a glob, a printf pattern, or several pictures.
        style: one or several style pictures or clips; none only with painted keys, which are the style then.
        output: a video, an animation, a picture, or a folder for PNG frames.
        preset: name of a preset that ships: `default`; `draft`, small and quick; `film`, the best; `timelapse`;
            `burst`; `photo`, a photograph's look; and the published recipes `gatys2015`, `slices`, `noisemix`, `tvmix`,
            `early_layers` and `two_styles`. None takes the defaults.
        config: complete settings, or a mapping of the keys that differ from the preset.
        work_dir: the run folder; None puts it next to the output.
        overwrite: replace an output that exists, and start over where its earlier run had other settings.
        restart: discard what an earlier run left.
        on_event: hears of the progress.
        progress: show it; None does so in terminals and notebooks.
        cancelled: asked several times a second; True stops the render.

    Raises:
        FramesFailedError: some frames failed; all others are finished and kept.
        VidnstError: another error, as the fitting subclass. Finished frames stay in the run folder.
    """
    request = _request(source, style, output, preset, config, work_dir)
    with _shown(progress, on_event) as (hear, forecaster):
        return run(
            request,
            overwrite=overwrite,
            restart=restart,
            on_event=hear,
            cancelled=cancelled,
            forecaster=forecaster,
        )


def resume(
    run_folder: str | Path,
    *,
    farm: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    redo: Sequence[int] = (),
    redo_only: bool = False,
    overwrite: bool = False,
    on_event: OnEvent = ignore,
    progress: bool | None = None,
    cancelled: Cancelled | None = None,
) -> RenderResult:
    """Resume a render that was stopped, killed or failed, with the settings that it began with.

    >>> import vidnst
    >>> vidnst.resume("stopped.mp4.vidnst").output.name
    'stopped.mp4'

    Args:
        run_folder: the run folder, or the output next to it.
        farm: settings of the `farm` section that change from now on.
        config: other settings by dotted key; those that decide the frames cannot change. Weights, networks, devices
            and the address of a cluster that the record of the run may not decide by itself are given again here.
        redo: frames of the source to render again although they are finished, with all that depend on them.
        redo_only: leave those that depend on them as they are.
        overwrite: replace an output that exists, and write one that does not lie next to its run folder.
        on_event: hears of the progress.
        progress: show it; None does so in terminals and notebooks.
        cancelled: asked several times a second; True stops the render.

    Raises:
        RunError: there is no run, it is damaged, or it names an output elsewhere and `overwrite` is False.
        VidnstError: another error, as for `render`.
    """
    settings = {f"farm.{key}": value for key, value in (farm or {}).items()} | dict(config or {})
    request = resume_request(Path(run_folder), settings, overwrite=overwrite)
    with _shown(progress, on_event) as (hear, forecaster):
        return run(
            request,
            overwrite=overwrite,
            redo=redo,
            redo_only=redo_only,
            on_event=hear,
            cancelled=cancelled,
            forecaster=forecaster,
        )


def batch(
    jobs: str | Path,
    *,
    farm: Mapping[str, Any] | None = None,
    on_event: OnEvent = ignore,
    progress: bool | None = None,
    cancelled: Cancelled | None = None,
) -> "BatchSummary":
    """Render all jobs of a file on one pool of workers; the same call resumes a batch.

    >>> import vidnst
    >>> vidnst.batch("jobs.yaml", farm={"executor": "inline"})
    BatchSummary(done=1, failed=0, cancelled=0, failures=())

    Args:
        jobs: the job file, YAML.
        farm: settings of the `farm` section that override the file's.
        on_event: hears of every job's changes, one call at a time, from several threads.
        progress: show it; None does so in terminals and notebooks.
        cancelled: asked several times a second; True stops the batch.

    Raises:
        ConfigError: the file is wrong; names the place.
        VidnstError: an error that concerns all jobs, as the fitting subclass.
    """
    from vidnst.rendering.batch.run import run_batch

    with _shown(progress, on_event) as (hear, forecaster):
        return run_batch(Path(jobs), farm=farm, on_event=hear, cancelled=cancelled, forecaster=forecaster)


def measure(
    output: str | Path,
    *,
    source: Source | None = None,
    style: Styles = (),
    backbone: Literal["vgg19", "slim"] | None = None,
    weights: str | Path | None = None,
    start: str | None = None,
    end: str | None = None,
    fps: str | None = None,
    flow_size: int = FLOW_SIZE_PX,
    with_losses: bool = True,
    on_event: OnEvent = ignore,
    progress: bool | None = None,
) -> Measurement:
    """Measure how steady an output is, compared with its source.

    >>> import vidnst
    >>> measurement = vidnst.measure("out.mp4", with_losses=False)
    >>> measurement.frames
    3

    Args:
        output: a video, an animation, a picture, a folder of frames, or a run folder.
        source: what it was rendered from; None takes it from the run folder.
        style: style pictures for the losses; none takes those of the run.
        backbone: the network that evaluates losses; None takes the run's.
        weights: its weights, a file, `torchvision` or `random`; None takes the run's.
        start: first frame of the range that the output shows: a number, seconds or a timecode.
        end: end of the range, exclusive.
        fps: frames per second of a source of pictures.
        flow_size: longest side in pixels at which the flow is estimated.
        with_losses: evaluate style and content loss if the styles are known.
        on_event: hears of the progress.
        progress: show it; None does so in terminals and notebooks.

    Raises:
        VidnstError: source or output cannot be read or do not fit together, as the fitting subclass.
    """
    request = MeasureRequest(
        Path(output),
        source,
        _styles(style),
        backbone,
        None if weights is None else str(weights),
        start,
        end,
        fps,
        flow_size,
        with_losses,
    )
    with _shown(progress, on_event) as (hear, _):
        return measure_output(request, on_event=hear)


def plan(
    source: Source,
    *,
    style: Styles = (),
    output: str | Path | None = None,
    preset: str | None = None,
    config: Settings | None = None,
    work_dir: str | Path | None = None,
    timed: bool = True,
    on_event: OnEvent = ignore,
    progress: bool | None = None,
) -> "Forecast":
    """Forecast the work, memory, disk and time of a render on this machine, without rendering.

    >>> import vidnst
    >>> forecast = vidnst.plan("clip.mp4", style="style.png", preset="draft", timed=False)
    >>> forecast.frames, forecast.fits
    (3, True)

    Args:
        source, style, preset, config, work_dir: as for `render`.
        output: as for `render`; None takes `out.mp4`, which is not written.
        timed: time a few evaluations of one frame, to estimate the time.
        on_event: hears of the progress.
        progress: show it; None does so in terminals and notebooks.

    Raises:
        VidnstError: the render would be refused, as the fitting subclass.
    """
    from vidnst.tools.forecast.forecast import forecast
    from vidnst.tools.forecast.planned_output import planned_output

    request = _request(source, style, planned_output() if output is None else output, preset, config, work_dir)
    with _shown(progress, on_event) as (hear, _):
        return forecast(request, timed=timed, on_event=hear)


def probe(
    source: Source,
    *,
    fps: int | str | Fraction = 25,
    order: Literal["auto", "given", "name", "time"] = "auto",
) -> ClipInfo:
    """Read what a source holds: size, frames, time stamps, colours, sound. All frames are decoded.

    >>> import vidnst
    >>> clip = vidnst.probe("clip.mp4")
    >>> clip.width, clip.height, clip.frame_count
    (64, 48, 3)

    Args:
        source: a video, a folder, a glob, a printf pattern, or several pictures.
        fps: frames per second of pictures.
        order: order of pictures: by name, by time of capture, or as given.

    Raises:
        SourceError: it is missing or cannot be read.
    """
    clip = probe_clip(source, fps=Fraction(fps), order=order)
    return with_bad_pictures(clip, 0, clip.frame_count)


@contextmanager
def _shown(progress: bool | None, on_event: OnEvent) -> Iterator[tuple[OnEvent, Forecaster | None]]:
    """Yield a receiver of events that shows the progress if it is to be seen, and then what foresees a time left."""
    from vidnst.cli import progress as shown  # it brings rich

    is_wanted = (on_event is ignore and shown.is_watched()) if progress is None else progress
    if not is_wanted:
        yield on_event, None
        return
    with shown.showing_progress(as_json=False) as show:

        def hear(event: Event) -> None:
            on_event(event)
            show(event)

        yield hear, shown.foresee


def _request(
    source: Source,
    style: Styles,
    output: str | Path,
    preset: str | None,
    config: Settings | None,
    work_dir: str | Path | None,
) -> Request:
    folder = None if work_dir is None else Path(work_dir)
    return Request(source, _styles(style), Path(output), resolve_config(config, preset=preset), folder)


def _styles(style: Styles) -> tuple[str | Style, ...]:
    styles = (style,) if isinstance(style, (str, Path, Style)) or not isinstance(style, Iterable) else tuple(style)
    for one in styles:
        if not isinstance(one, (str, Path, Style)):
            raise ConfigError(
                f"style {one!r} is no style", "give a path, a text such as 'a.jpg:100', or a vidnst.Style"
            )
    return tuple(Style(str(one)) if isinstance(one, Path) else one for one in styles)
