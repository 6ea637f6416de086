"""Commands that observe renders during and after the work: status, report, serve."""

import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidnst.cli.commands import options as opt
from vidnst.cli.progress import live_display
from vidnst.cli.stop_signals import orderly_stop
from vidnst.cli.tables.basics import write_json, write_json_line
from vidnst.cli.tables.results import write_address, write_result
from vidnst.cli.tables.status import overview, run_details, write_table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from vidnst.runs.status import RunMonitor

_WATCH_SECONDS = 2


def status(
    folder: Annotated[
        Path,
        typer.Argument(help="A run folder, an output, a folder of runs, or a batch's state folder.", metavar="RUN"),
    ] = Path("."),
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Update every two seconds, until Ctrl-C.")] = False,
    as_json: opt.Json = False,
    verbose: opt.Verbose = False,
) -> None:
    """Show the progress of RUN, or of all runs in a folder or batch, without disturbing them."""
    from vidnst.runs.status import RunMonitor

    monitor = RunMonitor()
    if not watch:
        if as_json:
            write_json(_values(monitor, folder))
        else:
            write_table(_table(monitor, folder))
        return
    with suppress(KeyboardInterrupt):  # the regular end of --watch
        if as_json:
            while True:
                write_json_line(_values(monitor, folder))
                time.sleep(_WATCH_SECONDS)
        with live_display() as show:
            while True:
                show(_table(monitor, folder))
                time.sleep(_WATCH_SECONDS)


def report(
    run: opt.Run,
    output: Annotated[
        Path | None, opt.out("The HTML file; default: report.html in the run folder.", "--output", "-o")
    ] = None,
    verbose: opt.Verbose = False,
) -> None:
    """Write the report of a render, in one HTML file: frames before and after, curves, settings, warnings."""
    from vidnst.report.write_report import write_report

    write_result(write_report(run, output))


def serve(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(help="Run folders, folders of runs, or batches' state folders.", metavar="FOLDER..."),
    ] = None,
    port: Annotated[int, typer.Option(help="Port to listen on; 0 selects a free one.", min=0, max=65535)] = 8765,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 admits other hosts, and requires --token.")
    ] = "127.0.0.1",
    token: Annotated[
        str | None, typer.Option(help="Secret required for access (?token=...).", envvar="VIDNST_TOKEN")
    ] = None,
    sources: Annotated[
        bool, typer.Option("--sources/--no-sources", help="Show source frames next to the rendered ones.")
    ] = True,
    verbose: opt.Verbose = False,
) -> None:
    """Serve a read-only web page with the progress of all renders in FOLDERs (default: the current folder)."""
    from vidnst.report.server import server as web

    server = web.Server(folders or [Path(".")], host=host, port=port, token=token, sources=sources)
    with orderly_stop() as stop:
        write_address(server.url, token=token is not None)
        web.serve(server, stop.wait)


def _values(monitor: "RunMonitor", folder: Path) -> object:
    from vidnst.runs.discovery import find_runs

    listing = find_runs(folder)
    runs = [monitor.status(run).to_dict() for run in listing.runs]
    if listing.is_run:
        return runs[0]
    return {"runs": runs, "batches": [asdict(batch) for batch in listing.batches], "errors": listing.errors}


def _table(monitor: "RunMonitor", folder: Path) -> "RenderableType":
    from vidnst.runs.discovery import find_runs

    listing = find_runs(folder)
    runs = [monitor.status(run) for run in listing.runs]
    return run_details(runs[0]) if listing.is_run else overview(runs, listing.batches, listing.errors)
