"""The building blocks of all tables and of JSON output."""

import dataclasses
from collections.abc import Iterable, Sequence
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from vidnst.cli import terminal
from vidnst.formatting import printable

_MIN_COLUMN_WIDTH = 6


def to_plain(value: object) -> Any:
    """Convert a value that JSON does not know; the `default` of `json.dumps`."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (Fraction, Path)):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def write_json(values: Any) -> None:
    """Write the result of a command: an indented JSON document."""
    terminal.out.json(values, indent=2, default=to_plain)


def write_json_line(values: Any) -> None:
    """Write one item of a stream: a JSON document on one line."""
    terminal.out.json(values, default=to_plain)


def write_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Write lines of name and value, never wrapped, so that they can be copied."""
    for key, value in pairs:
        terminal.out.line(f"{key:<24} {value}")


def make_table(
    names: Iterable[str], rows: Iterable[Sequence[str]], *, title: str | None = None, left: Sequence[str] = ()
) -> Table:
    """Return a table without borders whose columns are aligned to the right, except those in `left`."""
    table = Table(title=None if title is None else safe_text(title), title_justify="left", box=None, pad_edge=False)
    for name in names:
        if name in left:
            table.add_column(name, overflow="fold", min_width=_MIN_COLUMN_WIDTH)
        else:
            table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*map(safe_text, row))
    return table


def safe_text(value: str) -> Text:
    """Return a text from an untrusted source without markup and without control characters for the terminal."""
    return Text(printable(value))
