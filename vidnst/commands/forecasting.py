"""The command that says what a render would take."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from vidnst.commands.options import (
    LOOK,
    OUT,
    RANGE,
    WORK,
    Assignments,
    End,
    Iterations,
    Json,
    Network,
    Preset,
    SettingsFile,
    Source,
    Start,
    Styles,
    Verbose,
    Weights,
    option,
    verbosity,
)


def plan(
    source: Source,
    style: Styles = None,
    output: Annotated[
        Path, option(OUT, "Where the output would be, whose disk is looked at.", "--output", "-o")
    ] = Path("out.mp4"),
    preset: Preset = None,
    config: SettingsFile = None,
    assignments: Assignments = None,
    size: Annotated[int | None, option(RANGE, "Longest side in pixels; never enlarges.")] = None,
    start: Start = None,
    end: End = None,
    fps: Annotated[str | None, option(RANGE, "Frames per second of pictures, also as a fraction.")] = None,
    iterations: Iterations = None,
    schedule: Annotated[
        Literal["keys", "chain", "independent"] | None, option(LOOK, "From what frames start, as for render.")
    ] = None,
    stability: Annotated[float | None, option(LOOK, "How steady, from 0 to 1, as for render.", metavar="0..1")] = None,
    backbone: Network = None,
    weights: Weights = None,
    workers: Annotated[int | None, option(WORK, "Stylizing actors, as for render.")] = None,
    executor: Annotated[
        Literal["ray", "inline"] | None, option(WORK, "Ray actors, or threads of this process.")
    ] = None,
    work_dir: Annotated[Path | None, option(OUT, "Run folder, whose disk is looked at.")] = None,
    timed: Annotated[
        bool, typer.Option("--time/--no-time", help="Time a few evaluations of one frame of each clip.")
    ] = True,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Say what rendering each SOURCE would take: work, memory, disk and time. Pictures are one clip together."""
    verbosity(verbose)
    from vidnst.presets import load_config

    resolved = load_config(
        preset=preset,
        file=config,
        stability=stability,
        assignments=assignments or (),
        options={
            "input.size": size,
            "input.start": start,
            "input.end": end,
            "input.fps": fps,
            "optimize.iterations": iterations,
            "schedule.kind": schedule,
            "model.backbone": backbone,
            "model.weights": weights,
            "farm.workers": workers,
            "farm.executor": executor,
        },
    )
    from vidnst import console, live
    from vidnst.forecast import forecast
    from vidnst.media.pictures import is_picture
    from vidnst.prepare import Request

    together = len(source) > 1 and all(is_picture(Path(name)) for name in source)
    clips: list[str | list[str]] = [source] if together else list(source)
    with live.progress(as_json=False) as on_event:
        found = [
            forecast(Request(clip, tuple(style or ()), output, resolved, work_dir), timed=timed, on_event=on_event)
            for clip in clips
        ]
    console.show_forecasts(found, as_json=as_json)
