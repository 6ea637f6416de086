"""What becomes of each thing that a source holds: kept, changed or dropped."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from vidnst.errors import OutputError

_LONGEST_TEXT = 80


class Fate(StrEnum):
    """The fate in an output of a thing that its source holds."""

    KEPT = "kept"
    CHANGED = "changed"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class FateRow:
    """A thing that a source holds, and what becomes of it."""

    name: str
    """The name of the thing, such as `subtitles 2`."""
    value: str
    """What the source holds, such as `subrip, eng`; letters are printable."""
    fate: Fate
    how: str = ""
    """How it is kept or changed, or why it is dropped; without a full stop."""
    asked: bool = False
    """True if the settings ask for the change, so that nobody needs to be warned."""

    said: bool = False
    """True if a note of the source names it, so that it is not named twice."""

    @property
    def is_notable(self) -> bool:
        """True if something is changed or dropped that the settings do not ask for."""
        return self.fate is not Fate.KEPT and not self.asked

    @property
    def note(self) -> str:
        """The row as one sentence without a full stop."""
        value = f" ({self.value})" if self.value else ""
        return f"{self.name}{value}: {self.fate}{f', {self.how}' if self.how else ''}"


def notable(rows: Iterable[FateRow]) -> tuple[str, ...]:
    """Return the notes of all rows of which the user should know."""
    return tuple(row.note for row in rows if row.is_notable and not row.said)


def check_strict(rows: Sequence[FateRow], output: str) -> None:
    """Refuse an output that does not keep everything.

    Raises:
        OutputError: something is changed or dropped that the settings do not ask for.
    """
    if notes := [row.note for row in rows if row.is_notable]:
        raise OutputError(
            f"{output} does not keep all that its source holds: {'; '.join(notes)}",
            "choose another output, or leave --strict out",
        )


def shown(text: str) -> str:
    """Return a text of a file for messages: without control characters, and short."""
    printable = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    return printable if len(printable) <= _LONGEST_TEXT else f"{printable[: _LONGEST_TEXT - 3]}..."
