"""Options that several commands share."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from vidnst.cli.process_log import set_up_logging
from vidnst.errors import ConfigError, OutputError


def option(panel: str, text: str, *names: str, **extra: Any) -> Any:
    """Declare an option in a panel of `--help`; without names it is called like its parameter."""
    return typer.Option(*names, help=text, rich_help_panel=panel, **extra)


look = partial(option, "Look")
clip = partial(option, "Source and range")
work = partial(option, "Workers")
out = partial(option, "Output")
"""Options in the panels of `vidnst render`."""


Source = Annotated[
    list[str],
    typer.Argument(
        help="A video, a folder, a glob, a pattern (shot_%04d.exr, shot.####.exr), or several pictures.",
        metavar="SOURCE",
    ),
]
Run = Annotated[Path, typer.Argument(help="A run folder, or the output that belongs to it.", metavar="RUN")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Log details to stderr, and show tracebacks.", callback=set_up_logging)
]
"""Takes effect by its callback; commands need not look at it."""
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout: one event per line, or the result.")]

Backbone = Literal["vgg19", "slim"]
Styles = Annotated[
    list[str] | None, look("A style picture, optionally with a weight (a.jpg:100); repeatable.", "--style", "-s")
]
Preset = Annotated[str | None, look("A bundled preset: see `vidnst presets`.")]
SettingsFile = Annotated[Path | None, look("Settings from a YAML file.")]
Assignments = Annotated[list[str] | None, look("Any setting: key.sub=value; repeatable.", "--set", metavar="KEY=VALUE")]
Network = Annotated[Backbone | None, look("The network: vgg19, or slim, which is bundled.")]
Weights = Annotated[str | None, look("The backbone's weights: a file, `torchvision`, or `random`.")]

TransformNetwork = Annotated[
    str | None, look("A network that `vidnst train` made, with --engine network: none is trained then.")
]

Start = Annotated[str | None, clip("First frame: a number, seconds (1.5s) or a timecode.")]
End = Annotated[str | None, clip("End of the range (exclusive), written like --start.")]
OnBadFrame = Annotated[
    Literal["error", "repeat"] | None, clip("For a frame that does not decode: stop, or repeat the previous frame.")
]
Fps = Annotated[str | None, clip("Frames per second of a picture sequence, also as a fraction.")]
Order = Annotated[
    Literal["given", "name", "time"] | None,
    clip("Order of pictures: as given, by name, or by their time of capture (EXIF)."),
]

Workers = Annotated[int | None, work("Number of stylizing workers; default: one per GPU, or to suit the cores.")]
Address = Annotated[str | None, work("Ray cluster to join (else RAY_ADDRESS, else Ray starts here).")]
Executor = Annotated[Literal["ray", "inline"] | None, work("Ray actors, or threads of this process.")]

TrainingFile = Annotated[Path, typer.Option("--output", "-o", help="The file to write, .safetensors.")]
TrainingSettings = Annotated[
    list[str] | None, typer.Option("--set", help="Any setting of the training; repeatable.", metavar="KEY=VALUE")
]
TrainingSteps = Annotated[int, typer.Option(help="Training steps.", min=1)]
ClipFrames = Annotated[int, typer.Option(help="Frames taken from each clip.", min=1)]
Seed = Annotated[int, typer.Option(help="Seed of all random numbers.", min=0)]
Threads = Annotated[int | None, typer.Option(help="CPU threads; default: all cores.", min=1)]
TrainingDevice = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Where it trains; auto: on a GPU if there is one.")
]
RestartTraining = Annotated[
    bool, typer.Option("--restart", help="Start over, not from a checkpoint; replaces the output.")
]
"""Options of the commands that train the networks that ship."""

Overwrite = Annotated[bool, out("Replace an existing output.")]
ReplaceRun = Annotated[
    bool, out("Replace an existing output; go on with its run, or start over where its settings differ.")
]


def farm_settings(*, workers: int | None, address: str | None, executor: str | None) -> dict[str, Any]:
    """Return the settings of the `farm` section that were given."""
    values = {"workers": workers, "address": address, "executor": executor}
    return {key: value for key, value in values.items() if value is not None}


def run_settings(
    farm: Mapping[str, Any],
    assignments: Sequence[str] | None,
    *,
    weights: str | None,
    network: str | None,
    on_bad_frame: str | None,
) -> dict[str, Any]:
    """Return the settings by dotted key that were given for a run that exists already.

    Raises:
        ConfigError: one of --set is not KEY=VALUE.
    """
    from vidnst.config.loader import parse_assignment

    options = {"model.weights": weights, "model.network": network, "input.on_bad_frame": on_bad_frame}
    return {
        **dict(map(parse_assignment, assignments or ())),
        **{f"farm.{key}": value for key, value in farm.items()},
        **{key: value for key, value in options.items() if value is not None},
    }


def parse_integers(text: str | None, name: str) -> tuple[int, ...]:
    """Parse a text such as `500,1000`; None is empty.

    Raises:
        ConfigError: the text contains anything but comma-separated whole numbers.
    """
    parts = [] if text is None else [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and len(part) < 10 for part in parts):
        raise ConfigError(
            f"{name} {text!r} is not a list of whole numbers separated by commas", f"write for example {name} 10,20"
        )
    return tuple(map(int, parts))


def check_report(output: Path | None, inputs: Iterable[str | Path]) -> None:
    """Check, before any work, that the folder of a report exists, and that the report replaces nothing that is read.

    Raises:
        OutputError: the folder does not exist, or it would.
    """
    from vidnst.media.output.spared_inputs import check_spares_inputs

    if output is not None and not output.absolute().parent.is_dir():
        raise OutputError(
            f"there is no folder {output.absolute().parent} for {output.name}", "create it, or choose another with -o"
        )
    if output is not None:
        check_spares_inputs([output], inputs)
