"""Commands that preview or compare results: proof, evolve, compare."""

from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from vidnst.cli import progress
from vidnst.cli.commands import options as opt
from vidnst.cli.commands.render_options import ProofOptions, StyleOptions, takes_options
from vidnst.cli.tables.results import write_result
from vidnst.errors import ConfigError


@takes_options
def proof(
    source: opt.Source,
    chosen: ProofOptions,
    output: Annotated[Path, opt.out("The sheet, a picture.", "--output", "-o")] = Path("proof.png"),
    axis: Annotated[
        list[str] | None,
        opt.look(
            "A setting and the values to try, read as YAML: losses.style_weight=5,15,45; at most two, of which the last"
            " one runs horizontally.",
            metavar="KEY=VALUE,...",
        ),
    ] = None,
    together: Annotated[bool, opt.look("All styles in one picture, by their weights, as in a render.")] = False,
    frames: Annotated[
        str | None, opt.clip("Frames to show: numbers, seconds or timecodes.", metavar="0,40,1.5s")
    ] = None,
    count: Annotated[int, opt.clip("Or their number, evenly spread over the shots.", min=1)] = 3,
    size: Annotated[int, opt.clip("Longest side of each picture in pixels; never enlarges.")] = 192,
    start: opt.Start = None,
    end: opt.End = None,
    report: Annotated[Path | None, opt.out("JSON with the losses of every cell; default: next to the sheet.")] = None,
    overwrite: opt.Overwrite = False,
    as_json: opt.Json = False,
    verbose: opt.Verbose = False,
) -> None:
    """Show small frames of SOURCE in several styles and settings on one labelled sheet."""
    from vidnst.config.loader import parse_values

    axes = [parse_values(text) for text in axis or ()]
    for number, (key, _) in enumerate(axes):
        if key in [other for other, _ in axes[:number]]:
            raise ConfigError(f"--axis {key} is given twice", "name all its values in one")
    config = chosen.settings({"input.start": start, "input.end": end})
    from vidnst.tools.preview import proof as tool

    with progress.running(as_json=as_json) as (on_event, cancelled):
        sheet = tool.proof(
            source,
            style=chosen.style or (),
            output=output,
            config=config,
            axes=dict(axes),
            frames=[text for text in (frames or "").split(",") if text.strip()],
            count=count,
            together=together,
            size=size,
            report=report,
            reads=chosen.files_read,
            overwrite=overwrite,
            on_event=on_event,
            cancelled=cancelled,
        )
    write_result(sheet.output, as_json=as_json)


@takes_options
def evolve(
    source: opt.Source,
    chosen: StyleOptions,
    output: Annotated[
        Path | None, opt.out("The film: a video or an animation; or a picture, the finished one.", "--output", "-o")
    ] = None,
    frame: Annotated[str | None, opt.clip("The frame: a number, seconds or a timecode; default: the first.")] = None,
    every: Annotated[int | None, opt.out("Evaluations between two frames of the film; default: growing steps.")] = None,
    at: Annotated[
        str | None,
        opt.out("Also write the picture after these numbers of evaluations: STEM_000500.png.", metavar="500,1000"),
    ] = None,
    curve: Annotated[bool, opt.out("Draw the losses next to the picture.", "--curve/--no-curve")] = True,
    rate: Annotated[int, opt.out("Frames per second of the film.", min=1, max=100)] = 25,
    size: Annotated[int | None, opt.clip("Longest side in pixels; never enlarges.")] = None,
    overwrite: opt.Overwrite = False,
    as_json: opt.Json = False,
    verbose: opt.Verbose = False,
) -> None:
    """Film the optimisation of one picture of SOURCE, with its losses."""
    if output is None:
        raise ConfigError("no output was given", "add -o OUT, for example -o evolve.mp4")
    steps = opt.parse_integers(at, "--at")
    config = chosen.settings({"input.size": size})
    from vidnst.tools.preview import evolve as tool

    with progress.running(as_json=as_json) as (on_event, cancelled):
        film = tool.evolve(
            source,
            style=chosen.style or (),
            output=output,
            config=config,
            frame=frame,
            every=every,
            at=steps,
            curve=curve,
            rate=Fraction(rate),
            reads=chosen.files_read,
            overwrite=overwrite,
            on_event=on_event,
            cancelled=cancelled,
        )
    write_result(film.output, as_json=as_json)


def compare(
    outputs: Annotated[
        list[str],
        typer.Argument(help="Videos, folders of frames, pictures or run folders; two or more.", metavar="A B..."),
    ],
    output: Annotated[
        Path | None,
        opt.out("A video, an animation or a folder; or a picture, for a sheet of frames.", "--output", "-o"),
    ] = None,
    source: Annotated[str | None, opt.clip("Their source, as the first column.")] = None,
    start: Annotated[
        str | None, opt.clip("First frame of the source that they show; default: from the run folder.")
    ] = None,
    label: Annotated[list[str] | None, opt.out("Label of a column, instead of its name; repeatable.")] = None,
    diff: Annotated[bool, opt.out("A last column with the amplified difference of the two.", "--diff")] = False,
    gain: Annotated[float, opt.out("Amplification of the difference.", min=0.01)] = 8.0,
    zoom: Annotated[
        str | None, opt.out("Only this part, in pixels of A, enlarged by a whole factor.", metavar="X,Y,W,H")
    ] = None,
    height: Annotated[int | None, opt.out("Height of the columns in pixels; default: A's.", min=1)] = None,
    count: Annotated[int, opt.out("Rows of a sheet, evenly spread over the frames.", min=1)] = 4,
    overwrite: opt.Overwrite = False,
    as_json: opt.Json = False,
    verbose: opt.Verbose = False,
) -> None:
    """Show two or more clips, pictures or runs side by side, in a video or on a sheet."""
    if output is None:
        raise ConfigError("no output was given", "add -o OUT, for example -o side.mp4 or -o sheet.png")
    part = opt.parse_integers(zoom, "--zoom")
    if zoom is not None and len(part) != 4:
        raise ConfigError(f"--zoom {zoom!r} is not X,Y,W,H", "write for example --zoom 100,50,64,48")
    from vidnst.tools.preview import compare as tool

    with progress.running(as_json=as_json) as (on_event, cancelled):
        comparison = tool.compare(
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
            cancelled=cancelled,
        )
    write_result(comparison, as_json=as_json)
