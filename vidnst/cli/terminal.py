"""The terminal: the one way on which the command line's texts reach standard output and standard error.

Names of files, keys of YAML, metadata of clips and networks, and messages of libraries may hold sequences that a
terminal obeys. Everything that is written here gets them as visible escapes, whether the reader is a terminal or not,
since logs are looked at in terminals, too. Square brackets mean nothing: rich's markup is off.
"""

import json
import re
import sys
import traceback
from collections.abc import Iterable
from typing import IO, Any, Literal, cast

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn
from rich.segment import Segment

from vidnst.formatting import printable, printable_lines

_BYTE = re.compile("[\udca0-\udcff]")
"""A byte of a file name that is not UTF-8, and that no terminal of 8 bits takes for a control character."""


class Terminal:
    """Standard output or standard error, by name, since tests and progress displays replace the streams.

    Args:
        name: the attribute of `sys`.
    """

    def __init__(self, name: Literal["stdout", "stderr"]) -> None:
        self._name = name

    @property
    def stream(self) -> IO[str]:
        """The stream as it is at the moment."""
        return cast(IO[str], getattr(sys, self._name))

    @property
    def is_terminal(self) -> bool:
        """True if somebody looks at it."""
        return self.stream.isatty()

    def line(self, text: str = "") -> None:
        """Write a text on one line, at once."""
        self.stream.write(f"{printable(text)}\n")
        self.stream.flush()

    def text(self, text: str) -> None:
        """Write a text of several lines."""
        self.stream.write(printable_lines(text))

    def message(self, text: str) -> None:
        """Write a sentence of the program."""
        self.line(f"vidnst: {text}")

    def name(self, text: str) -> None:
        """Write the name of a result on a line of its own, for scripts with the bytes that it has on the disk.

        To a terminal these are escapes, and control characters are so everywhere; `--json` has the exact name.
        """
        if self.is_terminal:
            self.line(text)
            return
        parts = [printable(part) if number % 2 == 0 else part for number, part in enumerate(_parts(text))]
        stream = self.stream
        getattr(stream, "write_as_is", stream.write)(f"{''.join(parts)}\n")
        stream.flush()

    def json(self, values: Any, *, indent: int | None = None, default: Any = None) -> None:
        """Write a JSON document, in ASCII without control characters."""
        text = json.dumps(values, indent=indent, default=default)
        self.stream.write(text.replace("\x7f", "\\u007f") + "\n")
        self.stream.flush()

    def traceback(self) -> None:
        """Write the traceback of the error that is being handled."""
        self.text(traceback.format_exc())

    def show(self, what: RenderableType, *, width: int | None = None, wrap: bool = True, end: str = "\n") -> None:
        """Write a table or a text with styles.

        Args:
            what: what rich can draw; a plain text is shown as it is.
            width: characters of a line; None takes the terminal's.
            wrap: False lets a line be as long as it is.
            end: what follows.
        """
        self.console(width=width).print(what, soft_wrap=not wrap, end=end)

    def console(self, *, width: int | None = None) -> "CleanConsole":
        """Return a console of rich for displays that change."""
        return CleanConsole(self, width=width)

    def bars(self, *columns: ProgressColumn) -> Progress:
        """Return a display of bars."""
        return Progress(*columns, console=self.console())


class CleanConsole(Console):
    """A console of rich in which all texts are clean, wherever in a table or a display they are."""

    def __init__(self, terminal: Terminal, *, width: int | None = None) -> None:
        file = cast(IO[str], _TrustedFile(terminal))
        super().__init__(file=file, width=width, markup=False, emoji=False, highlight=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as rich does, with clean texts; only rich's own control sequences stay."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text == "\n" or segment.text.isprintable():
                yield segment
            else:
                yield Segment(printable_lines(segment.text), segment.style)


class _TrustedFile:
    """Takes what a `CleanConsole` has made, with sequences that `_PipeStream` would escape."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def write(self, text: str) -> int:
        stream = self._real()
        return cast(int, getattr(stream, "write_as_is", stream.write)(text))

    def _real(self) -> IO[str]:
        """The stream that a display of rich has put a proxy before, which would lead back here."""
        stream = self._terminal.stream
        return cast(IO[str], getattr(stream, "rich_proxied_file", stream))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real(), name)


def plain_column(form: str) -> TextColumn:
    """Return a column of texts without markup."""
    return TextColumn(form, markup=False)


def bar_column() -> BarColumn:
    """Return the column of bars that all displays have."""
    return BarColumn(bar_width=30)


def _parts(text: str) -> list[str]:
    """Split a text into what is to be cleaned, at even places, and bytes that are to stay."""
    return re.split(f"({_BYTE.pattern}+)", text)


out, err = Terminal("stdout"), Terminal("stderr")
