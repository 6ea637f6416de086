"""The command `batch`, which renders many clips."""

from pathlib import Path
from typing import Annotated

import typer

from vidnst.cli import progress
from vidnst.cli.commands import options as opt
from vidnst.cli.tables.status import write_actions, write_batch_summary, write_jobs
from vidnst.errors import FramesFailedError
from vidnst.events import Stage

_JOBS = "Jobs"


def batch(
    jobs: Annotated[Path, typer.Argument(help="The job file, YAML.", metavar="JOBS")],
    pause: Annotated[
        list[str] | None,
        opt.option(
            _JOBS, "Pause a job of the running batch: its name, its entry's, a pattern, or all.", metavar="NAME"
        ),
    ] = None,
    resume: Annotated[
        list[str] | None, opt.option(_JOBS, "Resume a job that is paused, cancelled or failed.", metavar="NAME")
    ] = None,
    cancel: Annotated[
        list[str] | None, opt.option(_JOBS, "Cancel a job; its finished frames are kept.", metavar="NAME")
    ] = None,
    workers: opt.Workers = None,
    address: opt.Address = None,
    executor: opt.Executor = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the jobs and stop; status 9 if one cannot be rendered.")
    ] = False,
    as_json: opt.Json = False,
    verbose: opt.Verbose = False,
) -> None:
    """Render all clips of JOBS, in all its styles, on one pool of workers.

    After a stop or a kill, the same command resumes. Jobs that are added to the file while the batch runs are rendered,
    too. The exit status is 9 if some jobs failed.
    """

    if pause or resume or cancel:
        from vidnst.rendering.batch.job_states import Action, ask

        names_by_action: dict[Action, list[str] | None] = {"pause": pause, "resume": resume, "cancel": cancel}
        requested = [
            (action, ask(jobs, action, name)) for action, names in names_by_action.items() for name in names or ()
        ]
        write_actions(requested, as_json=as_json)
        return
    if dry_run:
        from vidnst.tools.forecast.render_plan import describe_jobs

        if not write_jobs(describe_jobs(jobs), as_json=as_json):
            raise typer.Exit(FramesFailedError.exit_code)
        return
    farm = opt.farm_settings(workers=workers, address=address, executor=executor)
    with progress.running(as_json=as_json) as (on_event, cancelled):
        on_event(Stage("starting"))
        from vidnst.rendering.batch.run import run_batch  # it loads torch, which takes seconds

        summary = run_batch(jobs, farm=farm, on_event=on_event, cancelled=cancelled, forecaster=progress.foresee)
    if not as_json:
        write_batch_summary(summary, jobs)
    if summary.failed:
        raise typer.Exit(FramesFailedError.exit_code)
