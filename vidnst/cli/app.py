"""The command line's application. It imports nothing heavy: `vidnst --help` must answer at once."""

import sys
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from vidnst import __version__
from vidnst.cli import terminal
from vidnst.cli.commands.batch import batch
from vidnst.cli.commands.bench import bench
from vidnst.cli.commands.keys import keys
from vidnst.cli.commands.measure_and_probe import measure, probe
from vidnst.cli.commands.plan import plan
from vidnst.cli.commands.preview import compare, evolve, proof
from vidnst.cli.commands.render import render, resume, retry, train
from vidnst.cli.commands.setup import distill, doctor, presets, pretrain, weights
from vidnst.cli.commands.status_report_serve import report, serve, status
from vidnst.cli.help import FIRST_OPTIONS, HELP_ALL, full_help, help_command

_COMMANDS = (
    *(render, resume, plan, batch, retry, train, keys, proof, evolve, compare),
    *(measure, status, report, serve, probe, weights, doctor, presets, bench, distill, pretrain),
)

app = typer.Typer(
    name="vidnst",
    help="Stylize videos, bursts and frame sequences in the style of paintings: stable, parallel, resumable.",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="Exit status: 0 done, 2 config, 3 source, 4 style, 5 weights, 6 output, 7 workers, 8 run,"
    " 9 some frames or jobs failed, 130 stopped.",
)


_WELCOME = """\
vidnst stylizes videos and pictures in the style of paintings.
Three commands to start with:

  vidnst doctor                                            check this machine
  vidnst render clip.mp4 -s painting.jpg -o draft.mp4 --preset draft
                                                           a quick draft
  vidnst render clip.mp4 -s painting.jpg -o painted.mp4    the full quality

`vidnst --help` lists all commands, `vidnst render --help` the first options.
"""


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)] = False,
    help_all: Annotated[bool, typer.Option(HELP_ALL, help="Show all commands with all their options.")] = False,
) -> None:
    if version:
        terminal.out.line(f"vidnst {__version__}")
        raise typer.Exit
    if help_all:
        terminal.out.text(full_help(context))
        raise typer.Exit
    if context.invoked_subcommand is None:
        terminal.out.text(_WELCOME)


_REQUIRED = {
    render: {"output": "required", "style": "required without --keys or --iterations 0"},
    train: {"output": "required", "style": "required without --keys"},
    proof: {"style": "required"},
    evolve: {"style": "required"},
}
"""Parameters that commands ask for although they have a default, since some renders need none of them."""
_FIRST = {
    plan: ("style", "preset", "config", "size", "start", "end", "engine", "workers", "gpu_memory", "timed"),
    train: ("style", "output", "preset", "size", "start", "end", "train", "engine", "overwrite", "config"),
}

for _command in _COMMANDS:
    _class = help_command(first=_FIRST.get(_command, FIRST_OPTIONS), required=_REQUIRED.get(_command, {}))
    app.command(cls=_class)(_command)


def run() -> NoReturn:
    """Run the command line, and exit; errors of the package are raised.

    A command line that typer does not understand is a ConfigError.
    """
    try:
        status = app(prog_name="vidnst", standalone_mode=False)
    except TyperException as error:
        from vidnst.cli.usage_errors import usage_error  # it loads pydantic

        raise usage_error(error) from error
    sys.exit(status if isinstance(status, int) else 0)
