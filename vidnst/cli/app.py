"""The command line. Only light imports here: `vidnst --help` must answer at once."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from vidnst.cli.commands.batch import batch
from vidnst.cli.commands.bench import bench
from vidnst.cli.commands.measure_and_probe import measure, probe
from vidnst.cli.commands.options import OUT as _OUT
from vidnst.cli.commands.options import WORK as _WORK
from vidnst.cli.commands.options import Json, Source, Verbose
from vidnst.cli.commands.options import option as _option
from vidnst.cli.commands.options import stop_on_signal as _stop_on_signal
from vidnst.cli.commands.options import verbosity as _verbosity
from vidnst.cli.commands.plan import plan
from vidnst.cli.commands.preview import compare, evolve, proof
from vidnst.cli.commands.render_options import RenderOptions, takes_render_options
from vidnst.cli.commands.retry import Redo, retry
from vidnst.cli.commands.setup import distill, doctor, presets, weights
from vidnst.cli.commands.status_report_serve import report, serve, status

app = typer.Typer(
    name="vidnst",
    help="Stylize videos, bursts and frame sequences after paintings: steady, parallel, resumable.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="Exit status: 0 done, 2 config, 3 source, 4 style, 5 weights, 6 output, 7 workers, 8 run,"
    " 9 some frames or jobs failed, 130 stopped.",
)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        from vidnst import __version__

        typer.echo(f"vidnst {__version__}")
        raise typer.Exit


@app.command()
@takes_render_options
def render(
    source: Source,
    chosen: RenderOptions,
    overwrite: Annotated[bool, _option(_OUT, "Replace an output that exists.")] = False,
    restart: Annotated[bool, _option(_OUT, "Throw away what an earlier run left, and start afresh.")] = False,
    redo: Redo = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Stylize SOURCE after one or more pictures."""
    _verbosity(verbose)
    from vidnst.errors import ConfigError

    if chosen.output is None:
        raise ConfigError("no output was given", "add -o OUT, for example -o out.mp4")
    resolved = chosen.settings()
    from vidnst.cli import progress, tables
    from vidnst.rendering import pipeline
    from vidnst.runs.redo import parse_frames
    from vidnst.runs.request import Request

    if redo is not None and restart:
        raise ConfigError("--redo and --restart exclude one another", "leave out --redo: all frames are rendered anew")
    again = parse_frames(redo) if redo is not None else ()
    names: str | list[str] = source[0] if len(source) == 1 else source
    request = Request(names, tuple(chosen.style or ()), chosen.output, resolved, chosen.work_dir)
    if dry_run:
        from vidnst.tools.forecast.render_plan import describe_render

        tables.show_plan(describe_render(request), as_json=as_json)
        return
    stop = _stop_on_signal()
    with progress.progress(as_json=as_json) as on_event:
        result = pipeline.run(
            request, overwrite=overwrite, restart=restart, redo=again, on_event=on_event, cancelled=stop.is_set
        )
    tables.show_result(result.output, as_json=as_json)


@app.command()
def resume(
    run: Annotated[Path, typer.Argument(help="The run folder, or the output it was for.", metavar="RUN")],
    workers: Annotated[int | None, _option(_WORK, "Stylizing actors from now on.")] = None,
    address: Annotated[str | None, _option(_WORK, "Ray cluster to join from now on.")] = None,
    executor: Annotated[
        Literal["ray", "inline"] | None, _option(_WORK, "Ray actors, or threads of this process.")
    ] = None,
    redo: Redo = None,
    overwrite: Annotated[bool, _option(_OUT, "Replace an output that exists.")] = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Go on with a render that was stopped, killed or failed."""
    _verbosity(verbose)
    from vidnst.cli import progress, tables
    from vidnst.rendering import pipeline
    from vidnst.runs.redo import parse_frames
    from vidnst.runs.request import recall_request

    again = parse_frames(redo) if redo is not None else ()
    farm = {"workers": workers, "address": address, "executor": executor}
    request = recall_request(run, {key: value for key, value in farm.items() if value is not None})
    stop = _stop_on_signal()
    with progress.progress(as_json=as_json) as on_event:
        result = pipeline.run(request, overwrite=overwrite, redo=again, on_event=on_event, cancelled=stop.is_set)
    tables.show_result(result.output, as_json=as_json)


_FARM, _TRYING = (plan, batch, retry), (proof, evolve, compare)
_LOOKING, _UPKEEP = (measure, status, report, serve, probe), (weights, doctor, presets, bench, distill)
for _command in (*_FARM, *_TRYING, *_LOOKING, *_UPKEEP):
    app.command()(_command)
