"""Help texts: short where many options are rare, never cut off, with defaults and what is required."""

import json
import re
from pathlib import Path

import pytest
from support.command_line import Vidnst
from support.media import write_burst, write_style
from typer.testing import CliRunner

from vidnst.cli.app import app

FIRST = ("style", "preset", "output", "size", "start", "end", "stability", "keep-colours", "overwrite", "dry-run")
COMMANDS = sorted(command.name or command.callback.__name__ for command in app.registered_commands if command.callback)


def help_of(*words: str, columns: int = 80) -> str:
    said = CliRunner().invoke(app, list(words), env={"COLUMNS": str(columns)}, prog_name="vidnst")
    assert said.exit_code == 0, said.output
    return said.output


def options_in(text: str) -> list[str]:
    return re.findall(r"^  (?:-\w, )?--([a-z-]+)", text, re.MULTILINE)


def test_render_shows_ten_options_first() -> None:
    text = help_of("render", "--help")
    assert tuple(options_in(text)) == FIRST
    assert len(text.splitlines()) < 45
    assert "vidnst render --help-all shows all" in " ".join(text.split())
    assert len(options_in(help_of("render", "--help-all"))) > 50


def test_help_all_shows_every_command_with_all_options() -> None:
    text = help_of("--help-all")
    for command in COMMANDS:
        assert f"Usage: vidnst {command} " in text
    assert len(set(options_in(text))) > len(set(options_in(help_of("render", "--help-all"))))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_whole_in_80_columns(command: str) -> None:
    for flag in ("-h", "--help-all"):
        text = help_of(command, flag)
        assert text.startswith(f"Usage: vidnst {command}")
        assert max(map(len, text.splitlines())) <= 80
        assert "\N{HORIZONTAL ELLIPSIS}" not in text


def test_help_marks_what_is_required_and_shows_defaults() -> None:
    text = " ".join(help_of("render", "--help-all").split())
    for name, when in (("SOURCE", ""), ("--style TEXT", " without --keys or --iterations 0"), ("--output PATH", "")):
        assert re.search(rf"{name}[^\[]*\[required{when}\]", text), name
    assert re.search(r"--style TEXT[^\[]*\[required\]", " ".join(help_of("proof", "-h").split()))
    assert "Weight of the style. [default: 15.0]" in text
    assert "--count N" in help_of("keys", "-h")
    assert "Training steps. [default: 1500]" in " ".join(help_of("distill", "-h").split())


def test_bare_command_shows_three_commands_to_start_with() -> None:
    text = help_of()
    assert re.findall(r"^  (vidnst \w+)", text, re.MULTILINE) == ["vidnst doctor", "vidnst render", "vidnst render"]
    assert max(map(len, text.splitlines())) <= 80


def test_american_spellings_are_accepted(vidnst: Vidnst, tmp_path: Path) -> None:
    burst, style = write_burst(tmp_path / "burst", 2, size=(64, 48)), write_style(tmp_path / "style.png")
    command = ("render", burst, "-s", style, "-o", tmp_path / "out", "--backbone", "slim", "--dry-run", "--json")
    for given in (("--keep-colors",), ("--color", "matched"), ("--set", "color.keep=matched")):
        result = vidnst(*command, *given, "--background", "gray")
        assert result.status == 0, result.err
        assert json.loads(result.out)["config"]["colour"]["keep"] == "matched"
