"""The command line. Only light imports here: `vidnst --help` must answer at once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from vidnst.commands.batch import batch
from vidnst.commands.benching import bench
from vidnst.commands.failing import Redo, retry
from vidnst.commands.forecasting import plan
from vidnst.commands.looking import measure, probe
from vidnst.commands.options import LOOK as _LOOK
from vidnst.commands.options import OUT as _OUT
from vidnst.commands.options import RANGE as _RANGE
from vidnst.commands.options import WORK as _WORK
from vidnst.commands.options import Backbone, Json, Source, Verbose
from vidnst.commands.options import option as _option
from vidnst.commands.options import stop_on_signal as _stop_on_signal
from vidnst.commands.options import verbosity as _verbosity
from vidnst.commands.trying import compare, evolve, proof
from vidnst.commands.upkeep import distill, doctor, presets, weights
from vidnst.commands.watching import report, serve, status

app = typer.Typer(
    name="vidnst",
    help="Stylize videos, bursts and frame sequences after paintings: steady, parallel, resumable.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="Exit status: 0 done, 2 config, 3 source, 4 style, 5 weights, 6 output, 7 workers, 8 run,"
    " 9 some frames or jobs failed, 130 stopped.",
)
Colour = Literal["luminance", "matched", "histogram", "moments", "optimal"]


def _colour_keys(colour: Colour | None) -> dict[str, str]:
    """The setting that a way with the source's colours stands for."""
    if colour is None:
        return {}
    return {"colour.keep" if colour in ("luminance", "matched") else "colour.transfer": colour}


def _masks(texts: Sequence[str]) -> dict[str, str]:
    """Settings out of texts like `sky=mask.png`."""
    from vidnst.errors import ConfigError

    found = {}
    for text in texts:
        name, sign, path = text.partition("=")
        if not sign or not path or not name.replace("-", "_").isidentifier():
            raise ConfigError(f"--region {text!r} is not NAME=MASK", "write for example --region sky=sky.png")
        found[f"regions.masks.{name}"] = path
    return found


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        from vidnst import __version__

        typer.echo(f"vidnst {__version__}")
        raise typer.Exit


@app.command()
def render(
    source: Source,
    style: Annotated[
        list[str] | None,
        _option(
            _LOOK,
            "A style picture or clip; repeatable. After it may stand :WEIGHT, @MOMENT from which it holds (20, 1.5s,"
            " 0:01.5, shot2), and #REGION: a.jpg:100@10s#sky.",
            "--style",
            "-s",
        ),
    ] = None,
    region: Annotated[
        list[str] | None,
        _option(
            _LOOK,
            "A region for styles of its own, or none, and its mask, white inside: a picture of the first frame, or"
            " a sequence or video; repeatable.",
            metavar="NAME=MASK",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        _option(_OUT, "Output: a video, an animation, a picture, or a folder for PNG frames.", "--output", "-o"),
    ] = None,
    preset: Annotated[str | None, _option(_LOOK, "Settings that ship: see `vidnst presets`.")] = None,
    config: Annotated[Path | None, _option(_LOOK, "Settings from a YAML file.")] = None,
    assignments: Annotated[
        list[str] | None, _option(_LOOK, "Any setting: key.sub=value; repeatable.", "--set", metavar="KEY=VALUE")
    ] = None,
    size: Annotated[int | None, _option(_RANGE, "Longest side in pixels; never enlarges.")] = None,
    start: Annotated[str | None, _option(_RANGE, "First frame: a number, seconds (1.5s) or a timecode.")] = None,
    end: Annotated[str | None, _option(_RANGE, "End of the range (not included), written like --start.")] = None,
    fps: Annotated[str | None, _option(_RANGE, "Frames per second of pictures, also as a fraction.")] = None,
    on_bad_frame: Annotated[
        Literal["error", "repeat"] | None, _option(_RANGE, "A frame that does not decode: stop, or repeat the last.")
    ] = None,
    deflicker: Annotated[
        int | None, _option(_RANGE, "Even out brightness over so many frames: for time-lapses.")
    ] = None,
    register: Annotated[
        Literal["none", "ecc", "homography"] | None,
        _option(_RANGE, "Bring frames from the hand into line: by brightness, or by features."),
    ] = None,
    register_edges: Annotated[
        Literal["crop", "fill"] | None, _option(_RANGE, "What registered frames do not share: cut off, or filled.")
    ] = None,
    iterations: Annotated[
        int | None, _option(_LOOK, "Loss evaluations of a cold frame; 0 passes frames through.")
    ] = None,
    content_weight: Annotated[float | None, _option(_LOOK, "Pull toward the source.")] = None,
    style_weight: Annotated[float | None, _option(_LOOK, "Pull toward the style.")] = None,
    style_loss: Annotated[
        list[str] | None,
        _option(
            _LOOK, "How textures are compared: gram, wasserstein, sliced, moments, mmd_...; repeatable.", "--style-loss"
        ),
    ] = None,
    style_scale: Annotated[float | None, _option(_LOOK, "Size of the strokes: of the style beside a frame.")] = None,
    optimizer: Annotated[Literal["adam", "lbfgs"] | None, _option(_LOOK, "How the pixels are moved.")] = None,
    init: Annotated[
        Literal["content", "noise", "blend", "style"] | None, _option(_LOOK, "What a cold frame starts from.")
    ] = None,
    schedule: Annotated[
        Literal["keys", "chain", "independent"] | None,
        _option(_LOOK, "From what frames start: keys around them, the one before, or nothing."),
    ] = None,
    stability: Annotated[
        float | None, _option(_LOOK, "How steady, from 0 (boils) over 0.5 (the default) to 1 (locked).", metavar="0..1")
    ] = None,
    loop: Annotated[bool, _option(_LOOK, "The first frame follows the last: no jump when it is played round.")] = False,
    keep_colours: Annotated[bool, _option(_LOOK, "Keep the source's colours: short for --colour matched.")] = False,
    colour: Annotated[
        Colour | None,
        _option(
            _LOOK,
            "The source's colours: under the strokes' light (luminance; matched: from a grey style), or given to the "
            "style pictures first (histogram, moments, optimal).",
        ),
    ] = None,
    photo: Annotated[bool, _option(_LOOK, "The style is a photo: its colours, no strokes. See preset photo.")] = False,
    filters: Annotated[
        list[str] | None,
        _option(_LOOK, "A classical look, palette:12 or superpixels:400; repeatable.", "--filter", metavar="NAME[:N]"),
    ] = None,
    filters_before: Annotated[
        list[str] | None,
        _option(_LOOK, "The same, before the frames are rendered; repeatable.", "--filter-before", metavar="NAME[:N]"),
    ] = None,
    seed: Annotated[int | None, _option(_LOOK, "Seed of everything random.")] = None,
    backbone: Annotated[Backbone | None, _option(_LOOK, "The network: vgg19, or slim, which comes along.")] = None,
    weights: Annotated[str | None, _option(_LOOK, "The backbone's weights: a file, or `random`.")] = None,
    workers: Annotated[
        int | None, _option(_WORK, "Stylizing actors; default: one per GPU, or to suit the cores.")
    ] = None,
    address: Annotated[
        str | None, _option(_WORK, "Ray cluster to join (else RAY_ADDRESS, else Ray starts here).")
    ] = None,
    executor: Annotated[
        Literal["ray", "inline"] | None, _option(_WORK, "Ray actors, or threads of this process.")
    ] = None,
    work_dir: Annotated[Path | None, _option(_OUT, "Run folder; default: beside the output.")] = None,
    keep_frames: Annotated[bool, _option(_OUT, "Keep state and frames after the encode.")] = False,
    overwrite: Annotated[bool, _option(_OUT, "Replace an output that exists.")] = False,
    restart: Annotated[bool, _option(_OUT, "Throw away what an earlier run left, and start afresh.")] = False,
    redo: Redo = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Stylize SOURCE after one or more pictures."""
    _verbosity(verbose)
    from vidnst.errors import ConfigError
    from vidnst.presets import load_config

    if output is None:
        raise ConfigError("no output was given", "add -o OUT, for example -o out.mp4")
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
            "input.on_bad_frame": on_bad_frame,
            "input.deflicker": deflicker,
            "input.registration": register,
            "input.registration_edges": register_edges,
            "model.backbone": backbone,
            "model.weights": weights,
            "losses.content_weight": content_weight,
            "losses.style_weight": style_weight,
            "losses.style_kinds": dict.fromkeys(style_loss, 1.0) if style_loss else None,
            "styles.scale": style_scale,
            "optimize.iterations": iterations,
            "optimize.optimizer": optimizer,
            "optimize.init": init,
            "optimize.seed": seed,
            "schedule.kind": schedule,
            "schedule.loop": loop or None,
            **_colour_keys("matched" if keep_colours and colour is None else colour),
            "photo.enabled": photo or None,
            "filters.after": filters or None,
            "filters.before": filters_before or None,
            "farm.workers": workers,
            "farm.address": address,
            "farm.executor": executor,
            "output.keep_frames": keep_frames or None,
            **_masks(region or ()),
        },
    )
    from vidnst import console, live, pipeline
    from vidnst.again import parse_frames
    from vidnst.prepare import Request

    if redo is not None and restart:
        raise ConfigError("--redo and --restart exclude one another", "leave out --redo: all frames are rendered anew")
    again = parse_frames(redo) if redo is not None else ()
    names: str | list[str] = source[0] if len(source) == 1 else source
    request = Request(names, tuple(style or ()), output, resolved, work_dir)
    if dry_run:
        from vidnst.outline import outline

        console.show_plan(outline(request), as_json=as_json)
        return
    stop = _stop_on_signal()
    with live.progress(as_json=as_json) as on_event:
        result = pipeline.run(
            request, overwrite=overwrite, restart=restart, redo=again, on_event=on_event, cancelled=stop.is_set
        )
    console.show_result(result, as_json=as_json)


@app.command()
def resume(
    run: Annotated[Path, typer.Argument(help="The run folder, or the output it was for.", metavar="RUN")],
    workers: Annotated[int | None, _option(_WORK, "Stylizing actors from now on.")] = None,
    address: Annotated[str | None, _option(_WORK, "Ray cluster to join from now on.")] = None,
    executor: Annotated[
        Literal["ray", "inline"] | None, _option(_WORK, "Ray actors, or threads of this process.")
    ] = None,
    redo: Redo = None,
    overwrite: Annotated[bool, _option(_OUT, "Replace an output that exists.")] = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Go on with a render that was stopped, killed or failed."""
    _verbosity(verbose)
    from vidnst import console, live, pipeline
    from vidnst.again import parse_frames
    from vidnst.prepare import recall_request

    again = parse_frames(redo) if redo is not None else ()
    farm = {"workers": workers, "address": address, "executor": executor}
    request = recall_request(run, {key: value for key, value in farm.items() if value is not None})
    stop = _stop_on_signal()
    with live.progress(as_json=as_json) as on_event:
        result = pipeline.run(request, overwrite=overwrite, redo=again, on_event=on_event, cancelled=stop.is_set)
    console.show_result(result, as_json=as_json)


_FARM, _TRYING = (plan, batch, retry), (proof, evolve, compare)
_LOOKING, _UPKEEP = (measure, status, report, serve, probe), (weights, doctor, presets, bench, distill)
for _command in (*_FARM, *_TRYING, *_LOOKING, *_UPKEEP):
    app.command()(_command)
