"""Commands that look at clips and pictures: what is in them, and how good they are."""

import json
from pathlib import Path
from typing import Annotated

import typer

from vidnst.cli.commands.options import LOOK, RANGE, Backbone, Json, Source, Verbose, option, verbosity


def measure(
    output: Annotated[
        Path,
        typer.Argument(help="A video, an animation, a folder of frames, or a run folder.", metavar="OUTPUT"),
    ],
    source: Annotated[
        list[str] | None, option(RANGE, "What it was rendered from; default: as its run folder says.")
    ] = None,
    style: Annotated[
        list[str] | None, option(LOOK, "A style picture, for the losses; repeatable.", "--style", "-s")
    ] = None,
    backbone: Annotated[Backbone | None, option(LOOK, "The network: vgg19, or slim, which comes along.")] = None,
    weights: Annotated[str | None, option(LOOK, "The backbone's weights: a file, or `random`.")] = None,
    losses: Annotated[
        bool, option(LOOK, "Evaluate style and content loss of every frame.", "--losses/--no-losses")
    ] = True,
    start: Annotated[str | None, option(RANGE, "First frame of SOURCE that OUTPUT shows.")] = None,
    end: Annotated[str | None, option(RANGE, "End of the range (not included).")] = None,
    fps: Annotated[str | None, option(RANGE, "Frames per second of pictures.")] = None,
    flow_size: Annotated[int, typer.Option(help="Longest side at which flow is found, in pixels.", min=64)] = 640,
    per_frame: Annotated[bool, typer.Option("--per-frame", help="Also each frame's numbers.")] = False,
    file: Annotated[Path | None, typer.Option("--output", "-o", help="Also write the JSON here.")] = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Measure how steady OUTPUT is: warping errors, flicker, drift, sharpness and losses, beside the source's own."""
    verbosity(verbose)
    from vidnst.cli import progress, tables
    from vidnst.errors import OutputError
    from vidnst.events import ignore
    from vidnst.rendering.measure_output import MeasureRequest, measure_output
    from vidnst.runs.atomic_files import write_bytes_whole

    if file is not None and not file.absolute().parent.is_dir():
        raise OutputError(f"there is no folder {file.parent} to write {file.name} into", "make it, or choose another")
    names: str | list[str] | None = source[0] if source and len(source) == 1 else source
    request = MeasureRequest(
        output,
        names,
        styles=tuple(style or ()),
        backbone=backbone,
        weights=weights,
        start=start,
        end=end,
        fps=fps,
        flow_size=flow_size,
        with_losses=losses,
    )
    with progress.progress(as_json=False) as on_event:
        found = measure_output(request, on_event=ignore if as_json else on_event)
    if file is not None:
        write_bytes_whole(file, json.dumps(found.to_dict(per_frame=per_frame), indent=2).encode() + b"\n")
    tables.show_measurement(found, as_json=as_json, per_frame=per_frame)


def probe(
    source: Source,
    fps: Annotated[str, typer.Option(help="Frames per second of pictures.")] = "25",
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Show what SOURCE holds: size, frames, rate, time stamps, colour, audio."""
    verbosity(verbose)
    from vidnst.cli import tables
    from vidnst.config.loader import build_config
    from vidnst.media.input.probe import probe as look

    rate = build_config({"input": {"fps": fps}}).input.fps
    tables.show_clip(look(source[0] if len(source) == 1 else source, fps=rate), as_json=as_json)
