"""Commands that look at renders while they run and after: status, report, serve."""

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidnst.cli.commands.options import OUT, Verbose, option, stop_on_signal, verbosity

if TYPE_CHECKING:
    from vidnst.runs.status import Watcher

_Folder = Annotated[
    Path, typer.Argument(help="A run folder, an output, a folder of runs, or a batch's state folder.", metavar="RUN")
]


def status(
    folder: _Folder = Path("."),
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Look again every two seconds, until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout; with --watch, one line each time.")] = False,
    verbose: Verbose = False,
) -> None:
    """Show how renders are getting on: RUN alone, or all in a folder or batch. Disturbs none of them."""
    verbosity(verbose)
    from vidnst.runs.status import Watcher

    watcher = Watcher()
    if not watch:
        _show_once(watcher, folder, as_json=as_json)
        return
    with suppress(KeyboardInterrupt):  # that is how it ends
        if as_json:
            _each_two_seconds(watcher, folder)
        else:
            _on_a_screen(watcher, folder)


def report(
    run: Annotated[Path, typer.Argument(help="A run folder, or the output that it was for.", metavar="RUN")],
    output: Annotated[
        Path | None, option(OUT, "The HTML file; default: report.html in the run folder.", "--output", "-o")
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Write the report of a render: frames before and after, curves, settings, warnings, in one HTML file."""
    verbosity(verbose)
    from vidnst.cli import tables
    from vidnst.report.write_report import write_report

    tables.show_result(write_report(run, output), as_json=False)


def serve(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(help="Run folders, folders with runs, or batches' state folders.", metavar="FOLDER..."),
    ] = None,
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 8765,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 lets others look, and needs --token.")
    ] = "127.0.0.1",
    token: Annotated[
        str | None, typer.Option(help="What has to be known to look (?token=...).", envvar="VIDNST_TOKEN")
    ] = None,
    sources: Annotated[
        bool, typer.Option("--sources/--no-sources", help="Show frames of the sources beside the rendered ones.")
    ] = True,
    verbose: Verbose = False,
) -> None:
    """Show all renders in FOLDERs (default: here) on a page that follows them; it only looks."""
    verbosity(verbose)
    from vidnst.cli import tables
    from vidnst.report.server.server import Server
    from vidnst.report.server.server import serve as answer

    server = Server(folders or [Path(".")], host=host, port=port, token=token, sources=sources)
    stop = stop_on_signal()
    tables.show_address(server.url, token=token is not None)
    answer(server, stop.wait)


def _values(watcher: "Watcher", folder: Path) -> object:
    from dataclasses import asdict

    from vidnst.runs.discovery import look_at

    place = look_at(folder)
    runs = [watcher.look(run).to_dict() for run in place.runs]
    if place.is_run:
        return runs[0]
    return {"runs": runs, "batches": [asdict(batch) for batch in place.batches], "errors": place.errors}


def _tables(watcher: "Watcher", folder: Path) -> object:
    from vidnst.cli import tables
    from vidnst.runs.discovery import look_at

    place = look_at(folder)
    runs = [watcher.look(run) for run in place.runs]
    if place.is_run:
        return tables.run_details(runs[0])
    return tables.board(runs, place.batches, place.errors)


def _show_once(watcher: "Watcher", folder: Path, *, as_json: bool) -> None:
    from vidnst.cli import tables

    if as_json:
        tables.show_json(_values(watcher, folder))
    else:
        tables.show_board(_tables(watcher, folder))


def _on_a_screen(watcher: "Watcher", folder: Path) -> None:
    from vidnst.cli.progress import showing

    with showing() as show:
        while True:
            show(_tables(watcher, folder))
            time.sleep(2)


def _each_two_seconds(watcher: "Watcher", folder: Path) -> None:
    import json
    import sys

    while True:
        sys.stdout.write(json.dumps(_values(watcher, folder)) + "\n")
        sys.stdout.flush()
        time.sleep(2)
