"""Runs the command line in the process of the tests."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest


class CommandResult(NamedTuple):
    """Exit status and texts of a command."""

    status: int
    out: str
    err: str


Vidnst = Callable[..., CommandResult]
"""Runs `vidnst` with some arguments, each turned into a text."""


@contextmanager
def command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Vidnst]:
    """Yield a function that runs commands; restores the signal handlers and the logger that these change."""
    from vidnst.__main__ import main
    from vidnst.cli import stop_signals
    from vidnst.cli.process_end import process_end

    monkeypatch.setattr(process_end, "register", lambda: None)

    def run(*arguments: object) -> CommandResult:
        monkeypatch.setattr(sys, "argv", ["vidnst", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main()
        printed = capsys.readouterr()
        return CommandResult(int(exit_.value.code or 0), printed.out, printed.err)

    yield run
    stop_signals.remove()
    logger = logging.getLogger("vidnst")
    logger.setLevel(logging.NOTSET)
    logger.handlers.clear()
