"""Commands that show what settings do, before hours are spent and after: proof, evolve, compare."""

from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from vidnst.cli.commands.options import (
    LOOK,
    OUT,
    RANGE,
    Assignments,
    End,
    Iterations,
    Json,
    Network,
    Overwrite,
    Preset,
    SettingsFile,
    Source,
    Start,
    Styles,
    Verbose,
    Weights,
    numbers,
    option,
    stop_on_signal,
    verbosity,
)


def proof(
    source: Source,
    style: Styles = None,
    output: Annotated[Path, option(OUT, "The sheet, a picture.", "--output", "-o")] = Path("proof.png"),
    axis: Annotated[
        list[str] | None,
        option(
            LOOK,
            "A setting with the values to try, read as YAML: losses.style_weight=5,15,45; at most two, the last one"
            " goes across.",
            metavar="KEY=VALUE,...",
        ),
    ] = None,
    together: Annotated[bool, option(LOOK, "All styles in one picture, by their weights, as render does.")] = False,
    preset: Preset = None,
    config: SettingsFile = None,
    assignments: Assignments = None,
    iterations: Iterations = None,
    backbone: Network = None,
    weights: Weights = None,
    frames: Annotated[
        str | None, option(RANGE, "Frames to show: numbers, seconds or timecodes.", metavar="0,40,1.5s")
    ] = None,
    count: Annotated[int, option(RANGE, "Or how many, evenly spread over the shots.", min=1)] = 3,
    size: Annotated[int, option(RANGE, "Longest side of each picture in pixels; never enlarges.")] = 192,
    start: Start = None,
    end: End = None,
    report: Annotated[
        Path | None, option(OUT, "JSON with the losses of every cell; default: beside the sheet.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Show frames of SOURCE in several styles and settings, small, on one labelled sheet."""
    verbosity(verbose)
    from vidnst.config.loader import load_config, parse_values
    from vidnst.errors import ConfigError

    axes = [parse_values(text) for text in axis or ()]
    for number, (key, _) in enumerate(axes):
        if key in [other for other, _ in axes[:number]]:
            raise ConfigError(f"--axis {key} is given twice", "name all its values in one")
    resolved = load_config(
        preset=preset,
        file=config,
        assignments=assignments or (),
        options={
            "input.start": start,
            "input.end": end,
            "optimize.iterations": iterations,
            "model.backbone": backbone,
            "model.weights": weights,
        },
    )
    from vidnst.cli import progress, tables
    from vidnst.tools.preview.proof import proof as paint

    stop = stop_on_signal()
    with progress.progress(as_json=as_json) as on_event:
        found = paint(
            source,
            style=style or (),
            output=output,
            config=resolved,
            axes=dict(axes),
            frames=[text for text in (frames or "").split(",") if text.strip()],
            count=count,
            together=together,
            size=size,
            report=report,
            overwrite=overwrite,
            on_event=on_event,
            cancelled=stop.is_set,
        )
    tables.show_result(found.output, as_json=as_json)


def evolve(
    source: Source,
    style: Styles = None,
    output: Annotated[
        Path | None,
        option(OUT, "The film: a video or an animation; or a picture, the finished one.", "--output", "-o"),
    ] = None,
    frame: Annotated[
        str | None, option(RANGE, "The frame: a number, seconds or a timecode; default: the first.")
    ] = None,
    every: Annotated[
        int | None, option(OUT, "Evaluations from one frame of the film to the next; default: growing steps.")
    ] = None,
    at: Annotated[
        str | None,
        option(OUT, "Also write the picture after so many evaluations: STEM_000500.png.", metavar="500,1000"),
    ] = None,
    curve: Annotated[bool, option(OUT, "Draw the losses beside the picture.", "--curve/--no-curve")] = True,
    rate: Annotated[int, option(OUT, "Frames per second of the film.", min=1, max=100)] = 25,
    preset: Preset = None,
    config: SettingsFile = None,
    assignments: Assignments = None,
    size: Annotated[int | None, option(RANGE, "Longest side in pixels; never enlarges.")] = None,
    iterations: Iterations = None,
    backbone: Network = None,
    weights: Weights = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Show how one picture of SOURCE comes about: the film of its optimisation, with its losses."""
    verbosity(verbose)
    from vidnst.config.loader import load_config
    from vidnst.errors import ConfigError

    if output is None:
        raise ConfigError("no output was given", "add -o OUT, for example -o evolve.mp4")
    steps = numbers(at, "--at")
    resolved = load_config(
        preset=preset,
        file=config,
        assignments=assignments or (),
        options={
            "input.size": size,
            "optimize.iterations": iterations,
            "model.backbone": backbone,
            "model.weights": weights,
        },
    )
    from vidnst.cli import progress, tables
    from vidnst.tools.preview.evolve import evolve as paint

    stop = stop_on_signal()
    with progress.progress(as_json=as_json) as on_event:
        found = paint(
            source,
            style=style or (),
            output=output,
            config=resolved,
            frame=frame,
            every=every,
            at=steps,
            curve=curve,
            rate=Fraction(rate),
            overwrite=overwrite,
            on_event=on_event,
            cancelled=stop.is_set,
        )
    tables.show_result(found.output, as_json=as_json)


def compare(
    outputs: Annotated[
        list[str],
        typer.Argument(help="Videos, folders of frames, pictures or run folders; two or more.", metavar="A B..."),
    ],
    output: Annotated[
        Path | None,
        option(OUT, "A video, an animation or a folder; or a picture, for a sheet of frames.", "--output", "-o"),
    ] = None,
    source: Annotated[str | None, option(RANGE, "What they were rendered from, as the first column.")] = None,
    start: Annotated[
        str | None, option(RANGE, "The source's first frame that they show; default: as the run folder says.")
    ] = None,
    label: Annotated[list[str] | None, option(OUT, "Words above a column, instead of its name; repeatable.")] = None,
    diff: Annotated[bool, option(OUT, "A last column with the amplified difference of the two.", "--diff")] = False,
    gain: Annotated[float, option(OUT, "How much the difference is amplified.", min=0.01)] = 8.0,
    zoom: Annotated[
        str | None, option(OUT, "Only this part, in pixels of A, enlarged by a whole factor.", metavar="X,Y,W,H")
    ] = None,
    height: Annotated[int | None, option(OUT, "Height of the columns in pixels; default: A's.", min=1)] = None,
    count: Annotated[int, option(OUT, "Rows of a sheet, evenly spread over the frames.", min=1)] = 4,
    overwrite: Overwrite = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Put two or more clips, pictures or runs side by side, in a video or on a sheet."""
    verbosity(verbose)
    from vidnst.errors import ConfigError

    if output is None:
        raise ConfigError("no output was given", "add -o OUT, for example -o side.mp4 or -o sheet.png")
    part = numbers(zoom, "--zoom")
    if zoom is not None and len(part) != 4:
        raise ConfigError(f"--zoom {zoom!r} is not X,Y,W,H", "write for example --zoom 100,50,64,48")
    from vidnst.cli import progress, tables
    from vidnst.tools.preview.compare import compare as put_together

    stop = stop_on_signal()
    with progress.progress(as_json=as_json) as on_event:
        found = put_together(
            outputs,
            output=output,
            source=source,
            start=start,
            labels=label or (),
            difference=diff,
            gain=gain,
            zoom=(part[0], part[1], part[2], part[3]) if part else None,
            height=height,
            count=count,
            overwrite=overwrite,
            on_event=on_event,
            cancelled=stop.is_set,
        )
    tables.show_result(found, as_json=as_json)
