"""Commands that work on one clip: render, resume, retry, train."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidnst.cli import progress
from vidnst.cli.commands import options as opt
from vidnst.cli.commands.key_settings import parse_keys
from vidnst.cli.commands.render_options import RenderOptions, takes_options
from vidnst.cli.tables.results import write_network, write_plan, write_result
from vidnst.errors import ConfigError
from vidnst.events import Stage, Warned

if TYPE_CHECKING:
    from vidnst.runs.request import Request

_Redo = Annotated[
    str | None,
    opt.out(
        "Render these finished frames again, with all that depends on them: 120-140, or 7,30-35.", metavar="FRAMES"
    ),
]
_RedoKey = Annotated[
    list[str] | None,
    opt.out(
        "Replace a painted key of a finished run, and render what depends on it again; repeatable.",
        metavar="FRAME=PICTURE",
    ),
]
_RedoOnly = Annotated[
    str | None,
    opt.out(
        "Render these finished frames alone again, from their neighbours as they are (--keep-frames).",
        metavar="FRAMES",
    ),
]
_NewWorkers = Annotated[int | None, opt.work("Number of stylizing workers from now on.")]
_NewAddress = Annotated[str | None, opt.work("Ray cluster to join from now on.")]


@takes_options
def render(
    source: opt.Source,
    chosen: RenderOptions,
    overwrite: opt.ReplaceRun = False,
    restart: Annotated[
        bool, opt.out("Delete what an earlier run left, and start from scratch, with the same settings, too.")
    ] = False,
    redo: _Redo = None,
    redo_key: _RedoKey = None,
    redo_only: _RedoOnly = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    as_json: opt.Json = False,
    verbose: opt.Verbose = False,
) -> None:
    """Stylize SOURCE in the style of one or more pictures."""
    if chosen.output is None:
        raise ConfigError("no output was given", "add -o OUT, for example -o out.mp4")
    config = chosen.settings()
    from vidnst.runs.request import Request

    if restart and (redo is not None or redo_only is not None):
        raise ConfigError("--redo and --restart exclude each other", "leave out --redo: all frames are rendered again")
    if redo_key and restart:
        raise ConfigError("--redo-key and --restart exclude each other", "leave out --redo-key, and give --key")
    redo_keys = _keys_to_redo(redo_key, redo_only)
    frames = _frames_to_redo(redo, redo_only)
    sources: str | list[str] = source[0] if len(source) == 1 else source
    request = Request(
        sources, tuple(chosen.style or ()), chosen.output, config, chosen.work_dir, reads=chosen.files_read
    )
    with progress.showing_progress(as_json=as_json) as on_event:
        request = chosen.timed(request, on_event)
    if dry_run:
        from vidnst.tools.forecast.render_plan import describe_render

        outline, refusal = describe_render(request, overwrite=overwrite, restart=restart)
        write_plan(outline, as_json=as_json)
        if refusal is not None:
            raise refusal
        return
    _run(
        request,
        overwrite=overwrite,
        restart=restart,
        redo=frames,
        redo_keys=redo_keys,
        redo_only=redo_only is not None,
        as_json=as_json,
    )


@takes_options
def train(
    source: opt.Source,
    chosen: RenderOptions,
    overwrite: opt.ReplaceRun = False,
    as_json: opt.Json = False,
    verbose: opt.Verbose = False,
) -> None:
    """Train a network on SOURCE that paints other clips in its style: see --network.

    The output is a .safetensors file. The same command continues a training that was stopped.
    """
    if chosen.output is None:
        raise ConfigError("no output was given", "add -o LOOK.safetensors")
    config = chosen.settings({"schedule.kind": "network", "model.network": None})
    from vidnst.runs.request import Request
    from vidnst.tools import train as tool

    sources: str | list[str] = source[0] if len(source) == 1 else source
    request = Request(sources, tuple(chosen.style or ()), chosen.output, config, reads=chosen.files_read)
    command = shlex.join(["vidnst", *sys.argv[1:]])
    with progress.running(as_json=as_json) as (on_event, cancelled):
        network = tool.train(
            tool.TrainRequest(chosen.timed(request, on_event), chosen.output, command),
            overwrite=overwrite,
            on_event=on_event,
            cancelled=cancelled,
        )
    write_network(network, chosen.output, as_json=as_json)


def resume(
    run: opt.Run,
    workers: _NewWorkers = None,
    address: _NewAddress = None,
    executor: opt.Executor = None,
    weights: opt.Weights = None,
    network: opt.TransformNetwork = None,
    assignments: opt.Assignments = None,
    on_bad_frame: opt.OnBadFrame = None,
    redo: _Redo = None,
    redo_key: _RedoKey = None,
    redo_only: _RedoOnly = None,
    overwrite: opt.Overwrite = False,
    as_json: opt.Json = False,
    verbose: opt.Verbose = False,
) -> None:
    """Resume a render that was stopped, killed or failed."""
    from vidnst.runs.request import resume_request

    frames = _frames_to_redo(redo, redo_only)
    farm = opt.farm_settings(workers=workers, address=address, executor=executor)
    settings = opt.run_settings(farm, assignments, weights=weights, network=network, on_bad_frame=on_bad_frame)
    request = resume_request(run, settings, overwrite=overwrite)
    redo_keys = _keys_to_redo(redo_key, redo_only)
    if not (settings or frames or redo_keys or overwrite) and _is_finished(request):
        with progress.showing_progress(as_json=as_json) as on_event:
            again = "--redo FRAMES paints some of its frames again, and --overwrite all of it"
            on_event(Warned(f"nothing is left to do in {request.folder}: {request.output} is finished; {again}"))
        return
    _run(
        request,
        overwrite=overwrite,
        redo=frames,
        redo_keys=redo_keys,
        redo_only=redo_only is not None,
        as_json=as_json,
    )


def retry(
    run: opt.Run,
    workers: _NewWorkers = None,
    address: _NewAddress = None,
    executor: opt.Executor = None,
    weights: opt.Weights = None,
    network: opt.TransformNetwork = None,
    assignments: opt.Assignments = None,
    on_bad_frame: opt.OnBadFrame = None,
    overwrite: opt.Overwrite = False,
    as_json: opt.Json = False,
    verbose: opt.Verbose = False,
) -> None:
    """Retry the failed frames of a render, with all that depends on them, and finish it."""
    from vidnst.runs import RunLog
    from vidnst.runs.redo import format_frame_list
    from vidnst.runs.request import resume_request

    farm = opt.farm_settings(workers=workers, address=address, executor=executor)
    settings = opt.run_settings(farm, assignments, weights=weights, network=network, on_bad_frame=on_bad_frame)
    request = resume_request(run, settings, overwrite=overwrite)
    log = RunLog.read(request.folder)
    failed = log.failed_frames
    if log.complete:
        with progress.showing_progress(as_json=as_json) as on_event:
            on_event(Warned(f"nothing failed in {request.folder}: {request.output} is finished"))
        return
    note = f"retrying frames {format_frame_list(failed)}" if failed else "nothing has failed so far: resuming the run"
    _run(request, overwrite=overwrite, as_json=as_json, note=note)


def _is_finished(request: "Request") -> bool:
    """True if a run has ended, and its output is in its place and as large as it was then."""
    from vidnst.runs import RunLog
    from vidnst.runs.disk_space import output_bytes

    log = RunLog.read(request.folder)
    return log.complete and log.output_bytes is not None and output_bytes(request.output) == log.output_bytes


def _frames_to_redo(redo: str | None, redo_only: str | None) -> tuple[int, ...]:
    from vidnst.runs.redo import parse_frame_list

    if redo is not None and redo_only is not None:
        raise ConfigError("--redo and --redo-only exclude each other", "give all frames to one of them")
    text = redo if redo_only is None else redo_only
    return () if text is None else parse_frame_list(text)


def _keys_to_redo(redo_key: Sequence[str] | None, redo_only: str | None) -> dict[int, str]:
    if redo_key and redo_only is not None:
        raise ConfigError("--redo-key and --redo-only exclude each other", "leave out one of them")
    return parse_keys(redo_key or (), "--redo-key")


def _run(
    request: "Request",
    *,
    overwrite: bool,
    as_json: bool,
    restart: bool = False,
    redo: Sequence[int] = (),
    redo_keys: Mapping[int, str] | None = None,
    redo_only: bool = False,
    note: str = "",
) -> None:
    with progress.running(as_json=as_json) as (on_event, cancelled):
        on_event(Stage("starting"))
        if note:
            on_event(Warned(note))
        from vidnst.rendering import pipeline  # it loads torch, which takes seconds

        result = pipeline.run(
            request,
            overwrite=overwrite,
            restart=restart,
            redo=redo,
            redo_keys={frame: Path(path) for frame, path in (redo_keys or {}).items()},
            redo_only=redo_only,
            on_event=on_event,
            cancelled=cancelled,
            forecaster=progress.foresee,
        )
    write_result(result.output, as_json=as_json)
