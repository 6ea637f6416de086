"""The command that says what a render would take."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidnst.cli.commands.options import WORK, Json, Source, Verbose, option, verbosity
from vidnst.cli.commands.render_options import RenderOptions, takes_render_options

if TYPE_CHECKING:
    from vidnst.runs.request import Request

_OUTPUT = Path("out.mp4")
_JOB_FILES = (".yaml", ".yml")
_FOR_JOBS = {"workers", "address", "executor"}
"""Options that mean something for a file of jobs, which says all else itself."""
_SOME_FAILED = 9


@takes_render_options
def plan(
    source: Source,
    chosen: RenderOptions,
    gpu_memory: Annotated[
        float | None,
        option(
            WORK,
            "Reckon for --workers elsewhere, on GPUs of so much memory; nothing is connected to.",
            metavar="GIB",
            min=0.1,
        ),
    ] = None,
    timed: Annotated[
        bool, typer.Option("--time/--no-time", help="Time a few evaluations of one frame of each clip.")
    ] = True,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Say what rendering each SOURCE would take: work, memory, disk and time. Pictures are one clip together.

    SOURCE may be a file of jobs (JOBS.yaml), as `vidnst batch` takes it. With --address, or --workers and --gpu-memory,
    it is reckoned for machines elsewhere.
    """
    verbosity(verbose)
    requests = _requests(source, chosen)
    from vidnst.cli import progress
    from vidnst.cli.tables_forecast import show_forecasts
    from vidnst.errors import VidnstError
    from vidnst.tools.forecast.forecast import Forecast, forecast
    from vidnst.tools.forecast.target_machines import parse_target

    found: list[Forecast] = []
    failed: list[tuple[str, str]] = []
    with progress.progress(as_json=False) as on_event:
        for name, request in requests:
            try:
                target = parse_target(request.config, gpu_gib=gpu_memory)
                found.append(forecast(request, target=target, timed=timed, on_event=on_event))
            except VidnstError as error:
                if name is None:
                    raise
                failed.append((name, str(error)))
    show_forecasts(found, failed=failed, as_json=as_json)
    if failed:
        raise typer.Exit(_SOME_FAILED)


def _requests(source: list[str], chosen: RenderOptions) -> "list[tuple[str | None, Request]]":
    """What would be rendered; a job of a file has a name, and may fail alone."""
    if any(Path(name).suffix.lower() in _JOB_FILES for name in source):
        return [pair for name in source for pair in _jobs(Path(name), chosen)]
    from vidnst.media.images import is_image
    from vidnst.runs.request import Request

    config, styles, output = chosen.settings(), tuple(chosen.style or ()), chosen.output or _OUTPUT
    together = len(source) > 1 and all(is_image(Path(name)) for name in source)
    clips: list[str | list[str]] = [source] if together else list(source)
    return [(None, Request(clip, styles, output, config, chosen.work_dir)) for clip in clips]


def _jobs(path: Path, chosen: RenderOptions) -> "list[tuple[str | None, Request]]":
    from vidnst.errors import ConfigError
    from vidnst.rendering.batch.job_file import read_jobs
    from vidnst.tools.forecast.render_plan import in_existing_folder

    if strange := [name for name in chosen.given() if name not in _FOR_JOBS]:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in strange)
        raise ConfigError(f"{named} is not for a file of jobs, and {path} is one", "say it in the file")
    farm = {name: getattr(chosen, name) for name in chosen.given()}
    return [(clip.name, in_existing_folder(clip.request)) for clip in read_jobs(path, farm=farm).clips]
