"""The command `plan`, which predicts what a render takes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidnst.cli import progress
from vidnst.cli.commands import options as opt
from vidnst.cli.commands.render_options import RenderOptions, takes_options
from vidnst.cli.tables.forecast import write_forecasts
from vidnst.errors import ConfigError, FramesFailedError, VidnstError

if TYPE_CHECKING:
    from vidnst.runs.request import Request

_JOB_FILE_SUFFIXES = (".yaml", ".yml")
_JOB_FILE_OPTIONS = {"workers", "address", "executor"}
"""Options that apply to a job file, which contains everything else itself."""


@takes_options
def plan(
    source: opt.Source,
    chosen: RenderOptions,
    gpu_memory: Annotated[
        float | None,
        opt.work(
            "Predict for --workers on other machines, whose GPUs have this much memory; nothing is connected to.",
            metavar="GIB",
            min=0.1,
        ),
    ] = None,
    timed: Annotated[
        bool, typer.Option("--time/--no-time", help="Time a few evaluations of one frame of each clip.")
    ] = True,
    as_json: opt.Json = False,
    verbose: opt.Verbose = False,
) -> None:
    """Predict work, memory, disk and time for rendering each SOURCE. Several pictures are one clip.

    SOURCE may be a job file (JOBS.yaml) of `vidnst batch`. With --address, or with --workers and --gpu-memory, the
    prediction is for other machines.
    """
    requests = _requests(source, chosen)
    from vidnst.tools.forecast.forecast import Forecast, forecast
    from vidnst.tools.forecast.target_machines import parse_target

    forecasts: list[Forecast] = []
    failed: list[tuple[str, str]] = []
    with progress.showing_progress(as_json=False) as on_event:
        for name, request in requests:
            try:
                target = parse_target(request.config, gpu_gib=gpu_memory)
                request = chosen.timed(request, on_event)
                forecasts.append(forecast(request, target=target, timed=timed, on_event=on_event))
            except VidnstError as error:
                if name is None:
                    raise
                failed.append((name, str(error)))
    write_forecasts(forecasts, failed=failed, as_json=as_json)
    if failed:
        raise typer.Exit(FramesFailedError.exit_code)


def _requests(source: list[str], chosen: RenderOptions) -> "list[tuple[str | None, Request]]":
    """Return what would be rendered; a job of a file has a name, and may fail without the others."""
    if any(Path(name).suffix.lower() in _JOB_FILE_SUFFIXES for name in source):
        return [pair for name in source for pair in _jobs(Path(name), chosen)]
    from vidnst.media.input.image_files import is_image
    from vidnst.runs.request import Request
    from vidnst.tools.forecast.planned_output import planned_output

    config, styles, output = chosen.settings(), tuple(chosen.style or ()), chosen.output or planned_output()
    is_sequence = len(source) > 1 and all(is_image(Path(name)) for name in source)
    clips: list[str | list[str]] = [source] if is_sequence else list(source)
    return [(None, Request(clip, styles, output, config, chosen.work_dir)) for clip in clips]


def _jobs(path: Path, chosen: RenderOptions) -> "list[tuple[str | None, Request]]":
    from vidnst.rendering.batch.job_file import read_jobs
    from vidnst.tools.forecast.render_plan import in_existing_folder

    if other := [name for name in chosen.given() if name not in _JOB_FILE_OPTIONS]:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in other)
        raise ConfigError(f"{options} cannot be combined with the job file {path}", "put it into the file")
    farm = {name: getattr(chosen, name) for name in chosen.given()}
    return [(clip.name, in_existing_folder(clip.request)) for clip in read_jobs(path, farm=farm).clips]
