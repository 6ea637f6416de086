"""Commands around renders: weights, presets, this machine, and teaching slim."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from vidnst.cli.commands.options import Backbone, Json, Verbose, stop_on_signal, verbosity


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
    verbosity(verbose)
    from vidnst.cli import progress, tables
    from vidnst.motion.raft.weights import resolve_raft_weights, verify_raft
    from vidnst.style.network.weights import resolve_weights, verify_weights

    if raft:
        with progress.download() as on_progress:
            file = resolve_raft_weights(path, download=fetch, on_progress=on_progress)
        tables.show_weights(verify_raft(file), as_json=as_json)
        return
    with progress.download() as on_progress:
        found = resolve_weights(path, backbone=backbone, download=fetch, on_progress=on_progress)
    tables.show_weights(verify_weights(found, backbone=backbone), as_json=as_json)


def doctor(
    weights: Annotated[str | None, typer.Option(help="Weights to look for.")] = None,
    raft: Annotated[bool, typer.Option("--raft", help="Look for RAFT's weights, too.")] = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Check this machine: Python, torch, GPUs, ffmpeg and its encoders, Ray, weights."""
    verbosity(verbose)
    from vidnst.cli import tables
    from vidnst.tools.doctor import checks

    if not tables.show_checks(checks(weights, raft=raft), as_json=as_json):
        raise typer.Exit(1)


def presets(
    show: Annotated[str | None, typer.Option("--show", help="Print this preset, with its comments.")] = None,
) -> None:
    """List the presets that ship, or print one."""
    from vidnst.config.loader import preset_folder, preset_names, preset_summary
    from vidnst.errors import ConfigError

    if show is None:
        for name in preset_names():
            typer.echo(f"{name:<10} {preset_summary(name)}")
    elif show in preset_names():
        typer.echo((preset_folder() / f"{show}.yaml").read_text("utf-8"), nl=False)
    else:
        raise ConfigError(f"no preset {show!r}", f"take one of {', '.join(preset_names())}")


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
    verbosity(verbose)
    import shlex

    from vidnst.cli import progress, tables
    from vidnst.style.distill.distillation import DistillSettings, changed
    from vidnst.tools.distill import DistillRequest
    from vidnst.tools.distill import distill as teach

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
    stop = stop_on_signal()
    with progress.progress(as_json=as_json) as on_event:
        report = teach(request, restart=restart, on_event=on_event, cancelled=stop.is_set)
    tables.show_weights(report, as_json=as_json)
