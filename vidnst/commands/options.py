"""What the commands share: common options, how much is said, how they are stopped."""

import logging
import signal
import sys
import threading
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
