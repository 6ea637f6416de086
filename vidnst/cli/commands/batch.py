"""The command that renders many clips."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from vidnst.cli.commands.options import WORK, Json, Verbose, option, stop_on_signal, verbosity

_JOBS = "Jobs"
_SOME_FAILED = 9


def batch(
    jobs: Annotated[Path, typer.Argument(help="The file of jobs, YAML.", metavar="JOBS")],
    pause: Annotated[
        list[str] | None,
        option(
            _JOBS, "Hold a job of the running batch back: its name, its entry's, a pattern, or all.", metavar="NAME"
        ),
    ] = None,
    resume: Annotated[
        list[str] | None,
        option(_JOBS, "Let a job go on that was paused, cancelled or has failed.", metavar="NAME"),
    ] = None,
    cancel: Annotated[
        list[str] | None, option(_JOBS, "Give a job up; what is finished of it stays.", metavar="NAME")
    ] = None,
    workers: Annotated[
        int | None, option(WORK, "Stylizing actors; default: one per GPU, or to suit the cores.")
    ] = None,
    address: Annotated[
        str | None, option(WORK, "Ray cluster to join (else RAY_ADDRESS, else Ray starts here).")
    ] = None,
    executor: Annotated[
        Literal["ray", "inline"] | None, option(WORK, "Ray actors, or threads of this process.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the jobs and stop.")] = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Render all clips of JOBS, in all its styles, on one pool of workers.

    The same command goes on after a stop or a kill. Jobs added to the file while it runs are rendered, too. The exit
    status is 9 where some jobs failed.
    """
    verbosity(verbose)
    from vidnst.cli import progress, tables

    if pause or resume or cancel:
        from vidnst.rendering.batch.job_state import Action, ask

        wishes: tuple[tuple[Action, list[str] | None], ...] = (
            ("pause", pause),
            ("resume", resume),
            ("cancel", cancel),
        )
        asked = [(action, ask(jobs, action, name)) for action, names in wishes for name in names or ()]
        tables.show_wishes(asked, as_json=as_json)
        return
    if dry_run:
        from vidnst.tools.forecast.render_plan import describe_jobs

        tables.show_jobs(describe_jobs(jobs), as_json=as_json)
        return
    from vidnst.rendering.batch.run import run_batch

    farm = {"workers": workers, "address": address, "executor": executor}
    chosen = {key: value for key, value in farm.items() if value is not None}
    stop = stop_on_signal()
    with progress.progress(as_json=as_json) as on_event:
        summary = run_batch(jobs, farm=chosen, on_event=on_event, cancelled=stop.is_set)
    if not as_json:
        tables.show_batch(summary.done, summary.failed, summary.cancelled)
    if summary.failed:
        raise typer.Exit(_SOME_FAILED)
