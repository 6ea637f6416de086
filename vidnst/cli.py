"""The command line. Only light imports here: `vidnst --help` must answer at once."""

import json
import logging
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

app = typer.Typer(
    name="vidnst",
    help="Stylize videos, bursts and frame sequences after paintings: steady, parallel, resumable.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="Exit status: 0 done, 2 config, 3 source, 4 style, 5 weights, 6 output, 7 workers, 8 run, 130 stopped.",
)

Source = Annotated[
    list[str],
    typer.Argument(help="A video, a folder, a glob, a printf pattern, or several pictures.", metavar="SOURCE"),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more, and show tracebacks.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON event per line on stdout.")]
Backbone = Literal["vgg19", "slim"]
_LOOK, _RANGE, _WORK, _OUT = "Look", "Source and range", "Workers", "Output"


def _option(panel: str, text: str, *names: str, **extra: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel, **extra)


def _verbosity(verbose: bool) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("vidnst").setLevel(logging.DEBUG if verbose else logging.WARNING)


def _stop_on_signal() -> threading.Event:
    """An event that the first Ctrl-C or SIGTERM sets; the second Ctrl-C ends at once."""
    stop = threading.Event()

    def ask(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    signal.signal(signal.SIGINT, ask)
    signal.signal(signal.SIGTERM, ask)
    return stop


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
    optimizer: Annotated[Literal["adam", "lbfgs"] | None, _option(_LOOK, "How the pixels are moved.")] = None,
    init: Annotated[
        Literal["content", "noise", "blend"] | None, _option(_LOOK, "What a cold frame starts from.")
    ] = None,
    schedule: Annotated[
        Literal["keys", "chain", "independent"] | None,
        _option(_LOOK, "From what frames start: keys around them, the one before, or nothing."),
    ] = None,
    stability: Annotated[
        float | None, _option(_LOOK, "How steady, from 0 (boils) over 0.5 (the default) to 1 (locked).", metavar="0..1")
    ] = None,
    loop: Annotated[bool, _option(_LOOK, "The first frame follows the last: no jump when it is played round.")] = False,
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
            "optimize.iterations": iterations,
            "optimize.optimizer": optimizer,
            "optimize.init": init,
            "optimize.seed": seed,
            "schedule.kind": schedule,
            "schedule.loop": loop or None,
            "farm.workers": workers,
            "farm.address": address,
            "farm.executor": executor,
            "output.keep_frames": keep_frames or None,
            **_masks(region or ()),
        },
    )
    from vidnst import console, pipeline
    from vidnst.prepare import Request

    names: str | list[str] = source[0] if len(source) == 1 else source
    request = Request(names, tuple(style or ()), output, resolved, work_dir)
    if dry_run:
        console.show_plan(pipeline.outline(request), as_json=as_json)
        return
    stop = _stop_on_signal()
    with console.progress(as_json=as_json) as on_event:
        result = pipeline.run(request, overwrite=overwrite, restart=restart, on_event=on_event, cancelled=stop.is_set)
    console.show_result(result, as_json=as_json)


@app.command()
def resume(
    run: Annotated[Path, typer.Argument(help="The run folder, or the output it was for.", metavar="RUN")],
    workers: Annotated[int | None, _option(_WORK, "Stylizing actors from now on.")] = None,
    address: Annotated[str | None, _option(_WORK, "Ray cluster to join from now on.")] = None,
    executor: Annotated[
        Literal["ray", "inline"] | None, _option(_WORK, "Ray actors, or threads of this process.")
    ] = None,
    overwrite: Annotated[bool, _option(_OUT, "Replace an output that exists.")] = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Go on with a render that was stopped, killed or failed."""
    _verbosity(verbose)
    from vidnst import console, pipeline
    from vidnst.prepare import recall_request

    farm = {"workers": workers, "address": address, "executor": executor}
    request = recall_request(run, {key: value for key, value in farm.items() if value is not None})
    stop = _stop_on_signal()
    with console.progress(as_json=as_json) as on_event:
        result = pipeline.run(request, overwrite=overwrite, on_event=on_event, cancelled=stop.is_set)
    console.show_result(result, as_json=as_json)


@app.command()
def measure(
    output: Annotated[
        Path,
        typer.Argument(help="A video, an animation, a folder of frames, or a run folder.", metavar="OUTPUT"),
    ],
    source: Annotated[
        list[str] | None, _option(_RANGE, "What it was rendered from; default: as its run folder says.")
    ] = None,
    style: Annotated[
        list[str] | None, _option(_LOOK, "A style picture, for the losses; repeatable.", "--style", "-s")
    ] = None,
    backbone: Annotated[Backbone | None, _option(_LOOK, "The network: vgg19, or slim, which comes along.")] = None,
    weights: Annotated[str | None, _option(_LOOK, "The backbone's weights: a file, or `random`.")] = None,
    losses: Annotated[
        bool, _option(_LOOK, "Evaluate style and content loss of every frame.", "--losses/--no-losses")
    ] = True,
    start: Annotated[str | None, _option(_RANGE, "First frame of SOURCE that OUTPUT shows.")] = None,
    end: Annotated[str | None, _option(_RANGE, "End of the range (not included).")] = None,
    fps: Annotated[str | None, _option(_RANGE, "Frames per second of pictures.")] = None,
    flow_size: Annotated[int, typer.Option(help="Longest side at which flow is found, in pixels.", min=64)] = 640,
    per_frame: Annotated[bool, typer.Option("--per-frame", help="Also each frame's numbers.")] = False,
    file: Annotated[Path | None, typer.Option("--output", "-o", help="Also write the JSON here.")] = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Measure how steady OUTPUT is: warping errors, flicker, drift, sharpness and losses, beside the source's own."""
    _verbosity(verbose)
    from vidnst import console
    from vidnst.errors import OutputError
    from vidnst.events import ignore
    from vidnst.measure import MeasureRequest, measure_output
    from vidnst.store.atomic import write_bytes_whole

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
    with console.progress(as_json=False) as on_event:
        found = measure_output(request, on_event=ignore if as_json else on_event)
    if file is not None:
        write_bytes_whole(file, json.dumps(found.plain(per_frame=per_frame), indent=2).encode() + b"\n")
    console.show_measurement(found, as_json=as_json, per_frame=per_frame)


@app.command()
def probe(
    source: Source,
    fps: Annotated[str, typer.Option(help="Frames per second of pictures.")] = "25",
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Show what SOURCE holds: size, frames, rate, time stamps, colour, audio."""
    _verbosity(verbose)
    from vidnst import console
    from vidnst.media.probe import probe as look
    from vidnst.presets import build_config

    rate = build_config({"input": {"fps": fps}}).input.fps
    console.show_clip(look(source[0] if len(source) == 1 else source, fps=rate), as_json=as_json)


@app.command()
def weights(
    path: Annotated[str | None, typer.Argument(help="A weights file to verify; default: the usual places.")] = None,
    fetch: Annotated[
        bool, typer.Option("--fetch", help="Download torchvision's VGG19 (548 MB; RAFT: 21 MB) if there is none.")
    ] = False,
    raft: Annotated[bool, typer.Option("--raft", help="RAFT's weights, for motion.method=raft, not VGG19's.")] = False,
    backbone: Annotated[Backbone, typer.Option(help="Whose weights.")] = "vgg19",
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Show where the backbone's (or RAFT's) weights are and what they are; fetch VGG19's; verify them."""
    _verbosity(verbose)
    from vidnst import console
    from vidnst.raft.weights import resolve_raft_weights, verify_raft
    from vidnst.style.weights import resolve_weights, verify

    if raft:
        with console.download() as on_progress:
            file = resolve_raft_weights(path, download=fetch, on_progress=on_progress)
        console.show_weights(verify_raft(file), as_json=as_json)
        return
    with console.download() as on_progress:
        found = resolve_weights(path, backbone=backbone, download=fetch, on_progress=on_progress)
    console.show_weights(verify(found, backbone=backbone), as_json=as_json)


@app.command()
def doctor(
    weights: Annotated[str | None, typer.Option(help="Weights to look for.")] = None,
    raft: Annotated[bool, typer.Option("--raft", help="Look for RAFT's weights, too.")] = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Check this machine: Python, torch, GPUs, ffmpeg and its encoders, Ray, weights."""
    _verbosity(verbose)
    from vidnst import console
    from vidnst.doctor import checks

    if not console.show_checks(checks(weights, raft=raft), as_json=as_json):
        raise typer.Exit(1)


@app.command()
def presets(
    show: Annotated[str | None, typer.Option("--show", help="Print this preset, with its comments.")] = None,
) -> None:
    """List the presets that ship, or print one."""
    from vidnst.errors import ConfigError
    from vidnst.presets import preset_folder, preset_names, preset_summary

    if show is None:
        for name in preset_names():
            typer.echo(f"{name:<10} {preset_summary(name)}")
    elif show in preset_names():
        typer.echo((preset_folder() / f"{show}.yaml").read_text("utf-8"), nl=False)
    else:
        raise ConfigError(f"no preset {show!r}", f"take one of {', '.join(preset_names())}")


@app.command()
def bench(
    sizes: Annotated[list[str] | None, typer.Option("--size", help="WIDTHxHEIGHT; repeatable.")] = None,
    weights: Annotated[str, typer.Option(help="Weights; their values do not matter for speed.")] = "random",
    backbone: Annotated[Backbone, typer.Option(help="The network that is timed.")] = "vgg19",
    iterations: Annotated[int, typer.Option(help="Iterations timed at each size.", min=1)] = 10,
    threads: Annotated[int | None, typer.Option(help="Threads on a CPU; default: all cores.", min=1)] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Also write the JSON here.")] = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Measure seconds per iteration and per frame, and the share of this machine's arithmetic rate."""
    _verbosity(verbose)
    from vidnst import console
    from vidnst.bench import measure

    report = measure(sizes=sizes, weights=weights, backbone=backbone, iterations=iterations, threads=threads)
    if output is not None:
        output.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    console.show_bench(report, as_json=as_json)


@app.command()
def distill(
    images: Annotated[
        list[str], typer.Option("--images", help="Pictures to learn from: a folder, a glob, a clip; repeatable.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write, .safetensors.")],
    teacher: Annotated[str | None, typer.Option(help="VGG19 weights; default: the usual places.")] = None,
    held_out: Annotated[
        list[str] | None, typer.Option(help="Names (patterns) of pictures to judge by, not to learn from; repeatable.")
    ] = None,
    learn_to: Annotated[str, typer.Option(help="Deepest layer that is learned; deeper ones are random.")] = "relu3_4",
    steps: Annotated[int, typer.Option(help="Steps of the optimiser.", min=1)] = 8000,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="Any setting of the teaching; repeatable.", metavar="KEY=VALUE")
    ] = None,
    clip_frames: Annotated[int, typer.Option(help="Frames taken from each clip.", min=1)] = 8,
    seed: Annotated[int, typer.Option(help="Seed of everything random.", min=0)] = 0,
    threads: Annotated[int | None, typer.Option(help="Threads on a CPU; default: all cores.", min=1)] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Do not go on from a checkpoint.")] = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Teach the small network `slim` what VGG19 sees; given again, the command goes on where it was stopped."""
    _verbosity(verbose)
    import shlex

    from vidnst import console
    from vidnst.distill import DistillRequest
    from vidnst.distill import distill as teach
    from vidnst.style.distill import DistillSettings, changed

    settings = changed(DistillSettings(learn_to=learn_to, steps=steps, seed=seed), assignments or ())
    command = shlex.join(["vidnst", *sys.argv[1:]])
    request = DistillRequest(
        teacher,
        tuple(images),
        output,
        settings,
        held_out=tuple(held_out or ()),
        clip_frames=clip_frames,
        threads=threads,
        command=command,
    )
    stop = _stop_on_signal()
    with console.progress(as_json=as_json) as on_event:
        report = teach(request, restart=restart, on_event=on_event, cancelled=stop.is_set)
    console.show_weights(report, as_json=as_json)
