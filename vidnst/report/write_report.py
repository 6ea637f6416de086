"""Writes the report of a run, for `vidnst report` and at the end of a render."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vidnst.config import RenderConfig
from vidnst.errors import CancelledError, DiskFullError, RunError, VidnstError
from vidnst.events import OnEvent, Warned, ignore
from vidnst.files.atomic_write import write_bytes_atomically
from vidnst.frames import ClipInfo
from vidnst.media.output.spared_inputs import check_spares_inputs
from vidnst.report.html.report_contents import gather_report
from vidnst.report.html.report_page import report_page
from vidnst.runs import RunLayout, RunStore
from vidnst.runs.record import find_record
from vidnst.runs.request_inputs import files_of, named_inputs, run_files
from vidnst.runs.status import RunState


def write_report(
    run: Path, output: Path | None = None, *, clip: ClipInfo | None = None, state: RunState | None = None
) -> Path:
    """Write the report of a run.

    Args:
        run: a run folder, or the output next to it.
        output: the HTML file; None is `report.html` in the run folder.
        clip: the source, if it has been probed already; probing takes as long as decoding it.
        state: the state of the run, if its session has not recorded it yet.

    Raises:
        RunError: there is no run, or it is damaged.
        OutputError: the file cannot be written.
    """
    record = find_record(run)
    if record is None:
        raise RunError(f"there is no run at {run}, nor next to it", "give the folder that ends in .vidnst")
    path = output or RunLayout(record.folder).report
    if output is not None:
        request = record.request
        inputs = named_inputs(request.source, request.styles, request.config)
        check_spares_inputs([output], (*inputs, *files_of(request.output), *run_files(record.folder)))
    write_bytes_atomically(path, report_page(gather_report(record, clip=clip, state=state)).encode())
    return path


def report_run(config: RenderConfig, clip: ClipInfo, store: RunStore, on_event: OnEvent = ignore) -> None:
    """Write the report of a render that is about to finish, if the settings want one; errors become warnings."""
    if config.has_report:
        try:
            write_report(store.folder, clip=clip, state="finished")
        except Exception as error:  # the render is finished, and no worse without its report
            on_event(Warned(f"the output is finished, but there is no report of it: {error}"))


@contextmanager
def reported_failure(config: RenderConfig, clip: ClipInfo, store: RunStore) -> Iterator[None]:
    """Write the report also when a render fails with frames done, since it is read most then."""
    try:
        yield
    except VidnstError as error:
        if store.begun and config.output.report and not isinstance(error, CancelledError | DiskFullError):
            with suppress(Exception):  # the render's own error is the one to raise
                write_report(store.folder, clip=clip, state="failed")
        raise
