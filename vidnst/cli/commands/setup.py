"""Commands that prepare for renders: weights, doctor, presets, distill, pretrain."""

import shlex
import sys
import textwrap
from typing import Annotated

import typer

from vidnst.cli import progress, terminal
from vidnst.cli.commands import options as opt
from vidnst.cli.tables.results import write_checks, write_weights, write_weights_list
from vidnst.errors import ConfigError


def weights(
    path: Annotated[
        str | None, typer.Argument(help="A weights file to verify; default: list all that are here.")
    ] = None,
    fetch: Annotated[
        bool, typer.Option("--fetch", help="Download torchvision's VGG19 (548 MB; with --raft: RAFT, 21 MB), too.")
    ] = False,
    raft: Annotated[bool, typer.Option("--raft", help="RAFT's weights, for motion.method=raft, not VGG19's.")] = False,
    backbone: Annotated[opt.Backbone, typer.Option(help="The network of the weights.")] = "vgg19",
    as_json: opt.Json = False,
    verbose: opt.Verbose = False,
) -> None:
    """List, verify and describe the weights of the backbones or of RAFT."""
    from vidnst.motion.raft import resolve_raft_weights, verify_raft
    from vidnst.style.network.weights import installed_weights, resolve_weights, verify_weights

    if path is None and backbone == "vgg19" and not raft:
        if not fetch:
            write_weights_list(installed_weights(), as_json=as_json)
            return
        path = "torchvision"
    with progress.download_bar() as on_progress:
        if raft:
            raft_file = resolve_raft_weights(path, download=fetch, on_progress=on_progress)
        else:
            file = resolve_weights(path, backbone=backbone, download=fetch, on_progress=on_progress)
    write_weights(verify_raft(raft_file) if raft else verify_weights(file, backbone=backbone), as_json=as_json)


def doctor(
    weights: Annotated[str | None, typer.Option(help="The weights to look for.")] = None,
    raft: Annotated[bool, typer.Option("--raft", help="Look for RAFT's weights, too.")] = False,
    as_json: opt.Json = False,
    verbose: opt.Verbose = False,
) -> None:
    """Check this machine: Python, torch, GPUs, ffmpeg and its encoders, Ray, weights.

    The exit status is 0 if a render at the defaults works; what else is missing is called optional.
    """
    from vidnst.tools.doctor import checks

    if not write_checks(checks(weights, raft=raft), as_json=as_json):
        raise typer.Exit(1)


def presets(
    show: Annotated[str | None, typer.Option("--show", help="Print this preset, with its comments.")] = None,
) -> None:
    """List the bundled presets, or print one."""
    from vidnst.config.loader import preset_folder, preset_names, preset_summary

    if show is None:
        for name in preset_names():
            for line in textwrap.wrap(f"{name:<13}{preset_summary(name)}", 80, subsequent_indent=" " * 13):
                terminal.out.line(line)
    elif show in preset_names():
        terminal.out.text((preset_folder() / f"{show}.yaml").read_text("utf-8"))
    else:
        raise ConfigError(f"unknown preset {show!r}", f"choose one of {', '.join(preset_names())}")


def distill(
    images: Annotated[
        list[str], typer.Option("--images", help="Training pictures: a folder, a glob, a clip; repeatable.")
    ],
    output: opt.TrainingFile,
    teacher: Annotated[str | None, typer.Option(help="VGG19 weights; default: the usual places.")] = None,
    held_out: Annotated[
        list[str] | None, typer.Option(help="Names (patterns) of pictures for evaluation only; repeatable.")
    ] = None,
    learn_to: Annotated[str, typer.Option(help="Deepest layer to train; the file ends there.")] = "relu5_1",
    steps: opt.TrainingSteps = 1500,
    assignments: opt.TrainingSettings = None,
    clip_frames: opt.ClipFrames = 8,
    seed: opt.Seed = 0,
    threads: opt.Threads = None,
    device: opt.TrainingDevice = "auto",
    overwrite: opt.Overwrite = False,
    restart: opt.RestartTraining = False,
    as_json: opt.Json = False,
    verbose: opt.Verbose = False,
) -> None:
    """Train the small network `slim` to reproduce the features of VGG19; the same command resumes after a stop."""
    from vidnst.style.distill.distillation import DistillSettings
    from vidnst.tools import distill as tool
    from vidnst.tools.training_settings import with_assignments

    settings = with_assignments(DistillSettings(learn_to=learn_to, steps=steps, seed=seed), assignments or ())
    request = tool.DistillRequest(
        teacher,
        tuple(images),
        output,
        settings,
        held_out=tuple(held_out or ()),
        clip_frames=clip_frames,
        threads=threads,
        device=device,
        command=shlex.join(["vidnst", *sys.argv[1:]]),
    )
    with progress.running(as_json=as_json) as (on_event, cancelled):
        report = tool.distill(request, overwrite=overwrite, restart=restart, on_event=on_event, cancelled=cancelled)
    write_weights(report, as_json=as_json, after_events=True)


def pretrain(
    contents: Annotated[
        list[str], typer.Option("--contents", help="Pictures to paint: a folder, a glob, a clip; repeatable.")
    ],
    styles: Annotated[list[str], typer.Option("--styles", help="Pictures to paint them like; repeatable.")],
    output: opt.TrainingFile,
    weights: Annotated[str | None, typer.Option(help="VGG19 weights; default: the usual places.")] = None,
    held_out: Annotated[
        list[str] | None, typer.Option(help="Names (patterns) of pictures that are left out; repeatable.")
    ] = None,
    steps: opt.TrainingSteps = 2000,
    assignments: opt.TrainingSettings = None,
    clip_frames: opt.ClipFrames = 8,
    seed: opt.Seed = 0,
    threads: opt.Threads = None,
    device: opt.TrainingDevice = "auto",
    overwrite: opt.Overwrite = False,
    restart: opt.RestartTraining = False,
    as_json: opt.Json = False,
    verbose: opt.Verbose = False,
) -> None:
    """Train the network of `--engine instant`, which paints any style; the same command resumes after a stop."""
    from vidnst.style.transform.pretraining import PretrainSettings
    from vidnst.tools import pretrain as tool
    from vidnst.tools.training_settings import with_assignments

    settings = with_assignments(PretrainSettings(steps=steps, seed=seed), assignments or ())
    request = tool.PretrainRequest(
        tuple(contents),
        tuple(styles),
        output,
        settings,
        weights,
        held_out=tuple(held_out or ()),
        clip_frames=clip_frames,
        threads=threads,
        device=device,
        command=shlex.join(["vidnst", *sys.argv[1:]]),
    )
    with progress.running(as_json=as_json) as (on_event, cancelled):
        network = tool.pretrain(request, overwrite=overwrite, restart=restart, on_event=on_event, cancelled=cancelled)
    if as_json:
        terminal.out.json({"path": str(output), "sha256": network.fingerprint})
    else:
        terminal.out.name(str(output))
