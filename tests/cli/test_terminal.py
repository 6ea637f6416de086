"""What strangers named reaches the terminal as visible escapes, from every command, with a terminal and without."""

import io
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO, cast

import pytest
from rich.progress import Progress
from support.forked_commands import write_by
from support.media import write_burst, write_style
from support.renders import QUICK, run_folder, write_settings

from vidnst.cli import streams, terminal
from vidnst.cli.process_log import set_up_logging
from vidnst.files.weights_file import encode_safetensors
from vidnst.formatting import printable, printable_lines
from vidnst.media import ffmpeg
from vidnst.style.network.random_filters import random_features

EVIL = "\x1b]52;c;aGk=\x07\x1b]0;title\x07\x9b5m\x1b[38;5;123m\rFORGED\u202e\u2066\x7f[red]x[/]"
"""Sets clipboard and title, colours, returns to the start of the line, turns the direction, and looks like markup."""
BYTE = os.fsdecode(b"\x9b")
NAME = EVIL.replace("/", "") + BYTE
FORBIDDEN = (
    *(b"\x1b]", b"\x07", "\x9b".encode(), b"\x1b[38;5;123m", b"\rFORGED", "\u202e".encode(), "\u2066".encode()),
    *(b"\x7f", b"\x9b"),
)
_OF_RICH = re.compile(rb"\x1b\[\??[0-9;]*[A-Za-z]|[\x20-\x7e\r\n\t]|[\xc2-\xf4][\x80-\xbf]+")
"""What rich writes: sequences without texts, and letters."""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_burst(tmp_path / "clip", 3).rename(tmp_path / f"clip{NAME}")
    write_style(tmp_path / "style.png").rename(tmp_path / f"style{NAME}.png")
    write_settings(tmp_path / "look.yaml", QUICK)
    return tmp_path


def check(arguments: list[str], written: bytes) -> None:
    assert b"Traceback" not in written or "-v" in arguments
    for sequence in FORBIDDEN:
        assert sequence not in re.sub(rb"[\xc2-\xf4][\x80-\xbf]+", b"", written) or len(sequence) > 1, written
        assert sequence not in written or sequence == b"\x9b", written
    assert not _OF_RICH.sub(b"", written), written


def check_both(commands: list[list[str]], folder: Path) -> None:
    """Run commands in pipes and in a terminal; what each writes must be clean, and hold an escape that is seen."""
    for in_terminal in (False, True):
        for arguments, written in zip(commands, write_by(commands, folder, in_terminal=in_terminal), strict=True):
            check(arguments, written)
            assert b"\\x1b]52" in written, (arguments, written)
            if not in_terminal:
                assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", written), written


LOOK = ["-s", f"style{NAME}.png", "--config", "look.yaml"]
COMMANDS: dict[str, list[str]] = {
    "probe": ["probe", f"clip{NAME}", "-o", f"out{NAME}.mp4"],
    "missing source": ["probe", f"no{NAME}"],
    "plan": ["plan", f"clip{NAME}", *LOOK, "--no-time", "-o", f"out{NAME}.mp4"],
    "dry run": ["render", f"clip{NAME}", *LOOK, "-o", f"out{NAME}.mp4", "--dry-run"],
    "wrong style": ["render", f"clip{NAME}", "-s", f"no{NAME}", "-o", "out.mp4"],
    "wrong setting": ["render", f"clip{NAME}", *LOOK, "-o", "out.mp4", "--set", f"losses.{NAME}=1"],
    "wrong value": ["render", f"clip{NAME}", *LOOK, "-o", "out.mp4", "--set", f"output.codec={json.dumps(EVIL)}"],
    "wrong option": ["render", f"--{NAME}"],
    "wrong choice": ["render", f"clip{NAME}", "--hdr", f"x{NAME}"],
    "too many arguments": ["status", f"clip{NAME}", f"style{NAME}.png"],
    "preset": ["presets", "--show", NAME],
    "status": ["status", f"no{NAME}"],
    "report": ["report", f"no{NAME}"],
    "resume": ["resume", f"no{NAME}"],
    "weights": ["weights", f"no{NAME}.safetensors"],
    "batch": ["batch", f"no{NAME}.yaml"],
    "compare": ["compare", f"clip{NAME}", f"no{NAME}", "-o", "x.png"],
    "proof": ["proof", f"no{NAME}", *LOOK],
    "evolve": ["evolve", f"no{NAME}", *LOOK, "-o", f"{NAME}.png"],
    "measure": ["measure", f"no{NAME}"],
    "bench": ["bench", "--compare", f"no{NAME}"],
    "distill": ["distill", "--images", f"no{NAME}", "-o", "x.safetensors"],
    "pretrain": ["pretrain", "--contents", f"no{NAME}", "--styles", "x", "-o", "x.safetensors"],
    "train": ["train", f"no{NAME}", *LOOK, "-o", "x.safetensors"],
    "serve": ["serve", f"no{NAME}", "--host", f"{NAME}"],
    "verbose": ["probe", f"no{NAME}", "-v"],
}


def test_names_in_commands_are_escaped(place: Path) -> None:
    check_both(list(COMMANDS.values()), place)


@pytest.mark.parametrize("in_terminal", [False, True])
def test_render_and_what_follows_write_clean_texts(in_terminal: bool, place: Path) -> None:
    output = f"out{NAME}"
    commands = [
        ["render", f"clip{NAME}", *LOOK, "-o", output, "--set", "output.report=true", "-v"],
        ["status", "."],
        ["status", output],
        ["resume", output, "--overwrite"],
        ["measure", output, "--no-losses"],
        ["report", output],
        ["compare", f"clip{NAME}", output, "-o", f"sheet{NAME}.png"],
        ["proof", f"clip{NAME}", *LOOK, "-o", f"proof{NAME}.png", "--count", "1"],
        ["evolve", f"clip{NAME}", *LOOK, "-o", f"still{NAME}.png"],
        ["retry", output],
    ]
    for arguments, written in zip(commands, write_by(commands, place, in_terminal=in_terminal), strict=True):
        check(arguments, written)
        assert b"\\x1b]52" in written or arguments[0] == "measure", (arguments, written)
    page = (run_folder(place / output) / "report.html").read_text("utf-8")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", page)


def test_keys_and_values_of_job_files_are_escaped(place: Path) -> None:
    entry = {"sources": f"clip{NAME}", "styles": f"style{NAME}.png"}
    files = {
        "key": {"jobs": [entry], EVIL: 1},
        "setting": {"jobs": [entry | {"set": {EVIL: 1}}]},
        "value": {"jobs": [entry | {"set": {"output.codec": EVIL}}]},
        "name": {"jobs": [entry | {"name": EVIL, "output": "{nothing}"}]},
        "address": {"defaults": {"set": {"farm.address": EVIL}}, "jobs": [entry]},
        "fine": {"defaults": {"set": QUICK}, "jobs": [entry | {"name": EVIL, "output": "{name}.mp4"}]},
    }
    for name, values in files.items():
        (place / f"{name}{NAME}.yaml").write_text(json.dumps(values))
    commands = [["batch", f"{name}{NAME}.yaml", "--dry-run"] for name in files]
    check_both([*commands, ["plan", f"fine{NAME}.yaml", "--no-time"]], place)


def test_metadata_of_clips_and_networks_are_escaped(place: Path) -> None:
    text = EVIL.replace("\r", "\x0b")
    video = place / f"video{NAME}.mkv"
    sources = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=5:duration=1", "-f", "lavfi", "-i", "sine=duration=1"]
    tags = [word for stream in ("v", "a") for word in (f"-metadata:s:{stream}:0", f"title={text}")]
    plain = place / "plain.mkv"
    ffmpeg.run([*sources, "-metadata", f"title={text}", "-metadata", f"{text}=1", *tags, "-c:v", "ffv1", str(plain)])
    plain.rename(video)
    weights = place / f"w{NAME}.safetensors"
    weights.write_bytes(encode_safetensors(random_features("relu1_1"), {EVIL: EVIL}))
    check_both([["probe", video.name, "-o", "out.mp4"], ["weights", weights.name]], place)


def test_cleaning_keeps_no_control_character() -> None:
    every = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0), 0x61C, *range(0x200B, 0x2010), *range(0x2028, 0x202F)]))
    every += "".join(map(chr, [*range(0x2060, 0x2070), 0xFEFF, 0xDC9B, 0xD800, 0xE0001]))
    assert printable(every).isprintable()
    assert printable(printable(every)) == printable(every)
    assert set(printable_lines(every)) - {"\n", "\t"} <= set(map(chr, range(0x20, 0x7F)))
    assert printable_lines(f"a\n{EVIL}\tb").splitlines()[1].endswith("\tb")
    assert printable_lines("\x1b[1;31mred\x1b[0m\x1b[2J", colours=True) == "\x1b[1;31mred\x1b[0m\\x1b[2J"
    assert printable("日本語 éß.png") == "日本語 éß.png"


class Screen(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@contextmanager
def on_screen() -> Iterator[Screen]:
    """Put a terminal in the place of standard error."""
    found, before = Screen(), sys.stderr
    sys.stderr = cast(TextIO, streams._PipeStream(found))
    try:
        yield found
    finally:
        sys.stderr = before


def without_rich(text: str) -> str:
    return re.sub(r"\x1b\[\??[0-9;]*[A-Za-z]|[\r\n]", "", text.replace("\rFORGED", "\0"))


SHOWS: dict[str, Callable[[], object]] = {
    "line": lambda: terminal.err.line(EVIL),
    "text": lambda: terminal.err.text(f"{EVIL}\n"),
    "name": lambda: terminal.err.name(NAME),
    "styled": lambda: terminal.err.show(EVIL),
    "log": lambda: logging.getLogger("vidnst.test").error("%s", EVIL),
    "library": lambda: sys.stderr.write(f"{EVIL}\n"),
    "console": lambda: terminal.err.console().print([EVIL], {EVIL: EVIL}, EVIL),
}


@pytest.mark.parametrize("way", SHOWS)
@pytest.mark.parametrize("under_bars", [False, True])
def test_every_way_to_the_terminal_is_clean(way: str, under_bars: bool) -> None:
    with on_screen() as screen, ExitStack() as stack:
        set_up_logging(True)
        if under_bars:
            columns = (terminal.plain_column("{task.description}"), terminal.bar_column())
            stack.enter_context(terminal.err.bars(*columns)).add_task(EVIL)
        SHOWS[way]()
    written = screen.getvalue()
    assert "\\x1b]52" in written
    assert "[red]x[" in written.replace("\n", "")
    for sequence in ("\x1b]", "\x07", "\x9b", "\rFORGED", "\u202e", "\u2066", "\x7f"):
        assert sequence not in written
    assert "\x1b[38;5;123m" not in written or way == "library"


def test_traceback_is_clean() -> None:
    with on_screen() as screen:
        try:
            raise ValueError(EVIL)
        except ValueError:
            terminal.err.traceback()
    assert "\\x1b]52" in screen.getvalue()
    assert "\x1b" not in screen.getvalue()


def test_message_of_log_stays_on_one_line() -> None:
    with on_screen() as screen:
        set_up_logging(False)
        logging.getLogger("vidnst.test").warning("%s", "a\nvidnst: done")
    assert screen.getvalue() == "vidnst.test: a\\nvidnst: done\n"


def test_json_has_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.out.json({NAME: NAME})
    written = capsys.readouterr().out
    assert written.strip().isprintable()
    assert written.isascii()
    assert json.loads(written) == {NAME: NAME}


@pytest.fixture(autouse=True)
def plain_logger() -> Iterator[None]:
    yield
    logger = logging.getLogger("vidnst")
    logger.setLevel(logging.NOTSET)
    logger.handlers.clear()


def test_bars_are_those_of_rich() -> None:
    assert isinstance(terminal.err.bars(terminal.bar_column()), Progress)
