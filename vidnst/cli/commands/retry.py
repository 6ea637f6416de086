"""Commands about frames that failed."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from vidnst.cli.commands.options import OUT, WORK, Json, Overwrite, Verbose, option, stop_on_signal, verbosity

Redo = Annotated[
    str | None,
    option(
        OUT,
        "Render these frames of the source again, with what depends on them, though they are finished: 120-140, or"
        " 7,30-35.",
        metavar="FRAMES",
    ),
]


def retry(
    run: Annotated[Path, typer.Argument(help="The run folder, or the output it was for.", metavar="RUN")],
    workers: Annotated[int | None, option(WORK, "Stylizing actors from now on.")] = None,
    address: Annotated[str | None, option(WORK, "Ray cluster to join from now on.")] = None,
    executor: Annotated[
        Literal["ray", "inline"] | None, option(WORK, "Ray actors, or threads of this process.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Try again what failed in a render, with what depends on it, and finish."""
    verbosity(verbose)
    from vidnst.cli import progress, tables
    from vidnst.events import Warned
    from vidnst.rendering import pipeline
    from vidnst.runs import RunLog
    from vidnst.runs.redo import spans
    from vidnst.runs.request import recall_request

    farm = {"workers": workers, "address": address, "executor": executor}
    request = recall_request(run, {key: value for key, value in farm.items() if value is not None})
    log = RunLog.read(request.folder)
    stop = stop_on_signal()
    with progress.progress(as_json=as_json) as on_event:
        if log.complete:
            on_event(Warned(f"nothing failed in {request.folder}: {request.output} is finished"))
            return
        failed = spans(log.failed_frames)
        on_event(Warned(f"frames {failed} are tried again" if failed else "nothing failed so far: the run goes on"))
        result = pipeline.run(request, overwrite=overwrite, on_event=on_event, cancelled=stop.is_set)
    tables.show_result(result.output, as_json=as_json)
