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
from vidnst.formatting import printable_lines

_COMMANDS = (
    *(render, resume, plan, batch, retry, train, keys, proof, evolve, compare),
    *(measure, status, report, serve, probe, weights, doctor, presets, bench, distill, pretrain),
)

app = typer.Typer(
    name="vidnst",
    help="Stylize videos, bursts and frame sequences in the style of paintings: stable, parallel, resumable.",
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
        terminal.out.line(f"vidnst {__version__}")
        raise typer.Exit


for _command in _COMMANDS:
    app.command()(_command)


def run() -> NoReturn:
    """Run the command line, and exit; errors of the package are raised.

    A command line that typer does not understand may hold names of files, from a glob of the shell: they are cleaned.
    """
    try:
        status = app(standalone_mode=False)
    except TyperException as error:
        from typer.rich_utils import rich_format_error

        error.message = printable_lines(error.message)
        rich_format_error(error)  # type: ignore[arg-type]
        sys.exit(error.exit_code)
    sys.exit(status if isinstance(status, int) else 0)
