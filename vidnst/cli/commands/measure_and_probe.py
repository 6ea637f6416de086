"""Commands that examine clips: `measure` for stability and losses, `probe` for what a source contains."""

import json
from pathlib import Path
from typing import Annotated

import typer

from vidnst.cli import progress
from vidnst.cli.commands import options as opt
from vidnst.cli.tables.measurement import write_measurement
from vidnst.cli.tables.results import write_clip, write_network


def measure(
    output: Annotated[
        Path, typer.Argument(help="A video, an animation, a folder of frames, or a run folder.", metavar="OUTPUT")
    ],
    source: Annotated[
        list[str] | None, opt.clip("The source of OUTPUT; default: the source named in its run folder.")
    ] = None,
    style: Annotated[
        list[str] | None, opt.look("A style picture, for the losses; repeatable.", "--style", "-s")
    ] = None,
    backbone: opt.Network = None,
    weights: opt.Weights = None,
    losses: Annotated[bool, opt.look("Evaluate style and content loss of every frame.", "--losses/--no-losses")] = True,
    start: Annotated[str | None, opt.clip("First frame of SOURCE that OUTPUT shows.")] = None,
    end: opt.End = None,
    fps: opt.Fps = None,
    flow_size: Annotated[int, typer.Option(help="Longest side in pixels at which flow is computed.", min=64)] = 640,
    per_frame: Annotated[bool, typer.Option("--per-frame", help="Include each frame's numbers.")] = False,
    file: Annotated[Path | None, typer.Option("--output", "-o", help="Also write the JSON here.")] = None,
    as_json: opt.Json = False,
    verbose: opt.Verbose = False,
) -> None:
    """Measure the stability of OUTPUT: warping errors, flicker, drift, sharpness and losses, compared with SOURCE."""
    from vidnst.events import ignore
    from vidnst.files.atomic_write import write_bytes_atomically
    from vidnst.rendering.measure_output import MeasureRequest, measure_output, measured_files

    sources: str | list[str] | None = source[0] if source and len(source) == 1 else source
    request = MeasureRequest(
        output,
        sources,
        styles=tuple(style or ()),
        backbone=backbone,
        weights=weights,
        start=start,
        end=end,
        fps=fps,
        flow_size=flow_size,
        with_losses=losses,
    )
    opt.check_report(file, measured_files(request))
    with progress.showing_progress(as_json=False) as on_event:
        measurement = measure_output(request, on_event=ignore if as_json else on_event)
    if file is not None:
        write_bytes_atomically(file, json.dumps(measurement.to_dict(per_frame=per_frame), indent=2).encode() + b"\n")
    write_measurement(measurement, as_json=as_json, per_frame=per_frame)


def probe(
    source: opt.Source,
    output: Annotated[
        Path | None,
        opt.out("An output: what becomes of all that SOURCE holds? Default: an MP4 file.", "--output", "-o"),
    ] = None,
    size: Annotated[int | None, opt.clip("Longest side in pixels; never enlarges.")] = None,
    start: opt.Start = None,
    end: opt.End = None,
    fps: opt.Fps = None,
    order: opt.Order = None,
    preset: opt.Preset = None,
    config: opt.SettingsFile = None,
    assignments: opt.Assignments = None,
    as_json: opt.Json = False,
    verbose: opt.Verbose = False,
) -> None:
    """Show what SOURCE holds, and what an output keeps, changes or drops of it; or what a network has learned."""
    if len(source) == 1 and source[0].endswith(".safetensors"):
        from vidnst.style.transform.network_file import read_network_file

        path = Path(source[0])
        write_network(read_network_file(path), path, as_json=as_json)
        return
    from vidnst.config.loader import load_config
    from vidnst.config.timecode import frame_range
    from vidnst.media.input import probe as probing
    from vidnst.media.input.frame_reader import fit_size
    from vidnst.media.output.output_fates import find_fates
    from vidnst.media.output.resolved_output import resolve_output
    from vidnst.rendering.source_check import with_bad_pictures

    given = {"input.fps": fps, "input.order": order, "input.size": size, "input.start": start, "input.end": end}
    options = {key: value for key, value in given.items() if value is not None}
    settings = load_config(preset=preset, file=config, assignments=assignments or (), options=options)
    clip = probing.probe_input(source[0] if len(source) == 1 else source, settings.input)
    target = output or Path("out.png" if clip.frame_count == 1 else "out.mp4")
    first, stop = frame_range(clip, settings.input.start, settings.input.end)
    clip = with_bad_pictures(clip, first, stop)
    shape = fit_size(clip.width, clip.height, settings.input.size)
    resolved = resolve_output(target, settings, clip, frames=stop - first, size=shape)
    fates = find_fates(target, resolved, clip, start=first, end=stop, size=shape, may_be_damaged=True)
    write_clip(clip, fates, target, as_json=as_json)
