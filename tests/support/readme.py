"""README's commands, read out of its code blocks and its tables."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

README = Path(__file__).resolve().parents[2] / "README.md"
TABLES = ("What it can do", "Everyday use", "Time-lapses")
"""Sections whose tables say what to write."""
BASE = "vidnst render holiday.mp4 --style starry_night.jpg -o holiday_starry.mp4"
"""What the options of these tables are added to."""
OTHER_BASES = {"--gpu-memory": "vidnst plan holiday.mp4 --style starry_night.jpg"}
"""What some options are added to instead."""


@dataclass(frozen=True)
class ReadCommand:
    """A command, or a part of one, as it stands in README."""

    text: str
    before: str = ""
    """The part before it in the same row of a table: a word alone is another value for it."""

    @property
    def arguments(self) -> list[str]:
        """The whole command: options are added to `BASE`, and replace those that it has."""
        if self.text.startswith("vidnst "):
            return shlex.split(self.text)
        options = self.text if self.text.startswith("-") else self.before.replace(_value(self.before), self.text)
        base = next((base for option, base in OTHER_BASES.items() if option in options), BASE)
        return with_options(shlex.split(base), shlex.split(options))


def with_options(command: list[str], options: list[str]) -> list[str]:
    """Add options to a command, without its own style or output where they give others."""
    kept = list(command)
    for option in ("--style", "-o"):
        if option in options and option in kept:
            place = kept.index(option)
            del kept[place : place + 2]
    return kept + options


def _value(options: str) -> str:
    return re.split(r"[ =]", options)[-1]


def table_commands() -> list[ReadCommand]:
    """The parts of commands in the tables, each once."""
    found: dict[tuple[str, str], ReadCommand] = {}
    text = README.read_text("utf-8")
    for section in TABLES:
        for row in re.findall(r"^\| (?!to \||\| to ).+$", _section(text, section), re.MULTILINE):
            for command in _of_row(row):
                found.setdefault((command.text, command.before * (not command.text.startswith(("-", "v")))), command)
    return list(found.values())


def _section(text: str, name: str) -> str:
    return text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]


def _of_row(row: str) -> Iterator[ReadCommand]:
    before = ""
    for text in re.findall(r"`([^`]+)`", row.partition(" | ")[2]):
        yield ReadCommand(text, before)
        if text.startswith("-"):
            before = text


def code_blocks(language: str = "") -> list[str]:
    """The code blocks of a language; those of the shell have none."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", README.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [text for of, text in found if of == language]


def block_commands() -> list[str]:
    """The commands of the shell's blocks, each once."""
    lines = [line for block in code_blocks() for line in block.splitlines()]
    parts = [part.strip() for line in lines for part in line.split(" && " if ".venv" in line else "\n")]
    return list(dict.fromkeys(part for part in parts if part))
