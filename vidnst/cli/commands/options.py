"""What the commands share: common options, how much is said, how they are stopped."""

import logging
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

Source = Annotated[
    list[str],
    typer.Argument(help="A video, a folder, a glob, a printf pattern, or several pictures.", metavar="SOURCE"),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more, and show tracebacks.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON event per line on stdout.")]
Backbone = Literal["vgg19", "slim"]
LOOK, RANGE, WORK, OUT = "Look", "Source and range", "Workers", "Output"
"""Panels of `--help`."""


def option(panel: str, text: str, *names: str, **extra: Any) -> Any:
    """An option in a panel of `--help`; without names it is called like its parameter."""
    return typer.Option(*names, help=text, rich_help_panel=panel, **extra)


Styles = Annotated[
    list[str] | None,
    option(LOOK, "A style picture, optionally with a weight (a.jpg:100); repeatable.", "--style", "-s"),
]
Preset = Annotated[str | None, option(LOOK, "Settings that ship: see `vidnst presets`.")]
SettingsFile = Annotated[Path | None, option(LOOK, "Settings from a YAML file.")]
Assignments = Annotated[
    list[str] | None, option(LOOK, "Any setting: key.sub=value; repeatable.", "--set", metavar="KEY=VALUE")
]
Iterations = Annotated[int | None, option(LOOK, "Loss evaluations of a cold frame.")]
Network = Annotated[Backbone | None, option(LOOK, "The network: vgg19, or slim, which comes along.")]
Weights = Annotated[str | None, option(LOOK, "The backbone's weights: a file, or `random`.")]
Start = Annotated[str | None, option(RANGE, "First frame: a number, seconds (1.5s) or a timecode.")]
End = Annotated[str | None, option(RANGE, "End of the range (not included), written like --start.")]
Overwrite = Annotated[bool, option(OUT, "Replace an output that exists.")]


def numbers(text: str | None, name: str) -> tuple[int, ...]:
    """Whole numbers out of a text like `500,1000`; none out of None.

    Raises:
        ConfigError: something else is in it.
    """
    from vidnst.errors import ConfigError

    parts = [part.strip() for part in (text or "").split(",")] if text is not None else []
    if not all(part.isdecimal() and len(part) < 10 for part in parts):
        raise ConfigError(f"{name} {text!r} is not whole numbers with commas", f"write for example {name} 10,20")
    return tuple(map(int, parts))


def verbosity(verbose: bool) -> None:
    """How much is said on stderr from now on."""
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("vidnst").setLevel(logging.DEBUG if verbose else logging.WARNING)


def stop_on_signal() -> threading.Event:
    """An event that the first Ctrl-C or SIGTERM sets; the second Ctrl-C ends at once."""
    stop = threading.Event()

    def ask(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    signal.signal(signal.SIGINT, ask)
    signal.signal(signal.SIGTERM, ask)
    return stop
