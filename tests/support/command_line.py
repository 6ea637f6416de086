"""The command line in the tests' own process."""

import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest


class Said(NamedTuple):
    """What a command said."""

    status: int
    out: str
    err: str


Vidnst = Callable[..., Said]
"""Runs `vidnst` with some arguments."""


@contextmanager
def command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Vidnst]:
    """Something that runs commands; what these change in the process is as it was afterwards."""
    from vidnst.__main__ import main

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["vidnst", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        return Said(int(left.value.code or 0), said.out, said.err)

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)
    logging.getLogger("vidnst").setLevel(logging.NOTSET)
