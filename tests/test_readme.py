"""README's commands run as they stand there: over generated media, small, and with few evaluations."""

import json
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from _pytest.mark import ParameterSet
from support import exr, hdr, media, stills
from support.command_line import Vidnst
from support.readme import ReadCommand, block_commands, code_blocks, table_commands, with_options
from support.renders import write_settings
from support.sound_clips import write_clip, write_sound
from support.sounds import rain, syllables

SMALL = {
    "model": {"backbone": "slim"},
    "optimize": {"iterations": 2, "scales": 1},
    "schedule": {"passes": 1, "training": {"steps": 2, "stage_steps": 2, "crop": 64}},
    "audio": {"filters": 16, "iterations": 2},
    "farm": {"executor": "inline", "workers": 1, "threads": 1},
    "output": {"measure": False, "report": False, "keep_frames": True},
}
"""What the tests add to a command by `--config`, which presets come before and options after."""
TAKES_SETTINGS = ("render", "train", "proof", "evolve", "plan")
SMALLER = {
    "--train 500": "--train 4",
    "--train 60s": "--train 1s",
    "120-140": "2-3",
    "--frame 40": "--frame 4",
    "--frame 34": "--frame 4",
    "--key 40=": "--key 4=",
}
"""Numbers of README that suit its long clips, and what stands for them here."""
COMPLETED = {
    "--passes": "--passes 1 --engine network",
    "--train": "--engine network",
    "--work-dir": "--work-dir elsewhere",
    "--style clip.mp4": "",
    "--hdr": "--set output.codec=h265",
    "@shot": "--set input.shots=[3,6]",
    "--strict": "-o frames_of.gif",
    "--redo": "--overwrite",
}
"""What README tells in words about an option, which is added to it; by a part of it."""
SOURCES = {
    "--order": "burst",
    "--register": "burst",
    "--background": "clear",
    "--hdr": "hdr.mp4",
    "--deinterlace": "holiday.mp4",
}
"""Sources other than README's clip that options are for."""
BEFORE = {
    "--network": "vidnst train first.mp4 --style starry_night.jpg -o look.safetensors",
    "--redo": "vidnst render holiday.mp4 --style starry_night.jpg -o holiday_starry.mp4",
    "holiday_starry.mp4": "vidnst render holiday.mp4 --style starry_night.jpg -o holiday_starry.mp4",
    "painted.mp4": "vidnst render evening.mp4 --style painting.jpg --preset timelapse -o painted.mp4",
}
"""Commands that must have run before those in which a word begins so."""
NOT_COMMANDS = {
    "vidnst proof": "has a section of its own, whose block runs",
    "--style": "the option of that name, in a sentence about another",
    "resume": "the command of that name, in a sentence about an option",
    "report.html": "a file",
    "vidnst probe SOURCE -o OUTPUT": "names its arguments only; the same command runs in another row",
}
NOT_RUN = {
    "python3 -m venv .venv": "the tests run in an environment that is installed",
    ".venv/bin/pip install -e .": "takes a network; test_wheel.py installs the package",
    ".venv/bin/pip install -e '.[dev]'": "takes a network",
    ".venv/bin/pytest": "the tests themselves",
    "python samples/paint_key.py keys painted": "test_samples.py runs the script",
}
"""Commands that do not run here, with the reason."""
REFUSED = {"--strict": 6}
"""Options that exist to refuse, and the status."""
CLUSTER = ("(umask", "export RAY_AUTH_MODE", "ray start")
"""Beginnings of the commands that test_readme_cluster.py runs."""

SERVE = "vidnst serve ."
"""The command that runs until it is stopped, in a test of its own."""

TABLE = [command for command in table_commands() if command.text not in NOT_COMMANDS and command.text != SERVE]
BLOCKS = [text for text in block_commands() if text not in NOT_RUN and not text.startswith(CLUSTER)]


def _marked(command: ReadCommand) -> ParameterSet:
    """The case of a command; a network that is loaded and trained takes its time."""
    is_slow = any(word in command.text for word in ("draft", "train", "network", "jobs.yaml"))
    return pytest.param(command, id=command.text, marks=[pytest.mark.slow] if is_slow else [])


TABLE_CASES = [_marked(command) for command in TABLE]


@pytest.fixture(scope="module")
def readme_media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every file that README names, small."""
    folder = tmp_path_factory.mktemp("readme")
    frames = media.numbered_pictures(13, (64, 48))
    one_a_second = (
        "holiday.mp4",
        "clip.mp4",
        "first.mp4",
        "second.mp4",
        "evening.mp4",
        "samples/timelapse.mp4",
        "samples/garden.mp4",
    )
    for name in (*one_a_second, "urgent.mp4", "clips/one.mp4", "clips/two.mp4"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        media.write_video(folder / name, frames if name == "holiday.mp4" else frames[:6], rate=1)
    (folder / "samples" / "styles").mkdir()
    media.write_picture(folder / "painted.png", 255 - frames[4])
    media.write_picture(folder / "painted" / "0002.png", 255 - frames[2])
    pictures = ("starry_night", "a", "b", "s", "day", "night", "painting", "scream", "wave", "samples/styles/swirls")
    for seed, name in enumerate(pictures):
        media.write_picture(folder / f"{name}.jpg", media.painting(seed))
    mask = np.zeros((48, 64, 3), np.uint8)
    mask[:24] = 255
    media.write_picture(folder / "mask.png", mask)
    for number in range(1, 4):
        stills.write_photo(folder / "burst" / f"IMG_{number:04}.jpg", number, taken=f"2024:05:01 10:00:0{number}")
    exr.write_shot(folder, (1001, 1002), "shot.{:04d}.exr")
    hdr.write_hdr(folder / "hdr.mp4", "smpte2084", [0.1, 0.3, 0.5, 0.6])
    write_clip(folder / "harbour.mp4", syllables(3), codec="aac")
    write_sound(folder / "rain.wav", rain(2))
    (folder / "clear").mkdir()
    for number, frame in enumerate(frames[:2]):
        alpha = np.full((48, 64, 1), 128, np.uint8)
        assert cv2.imwrite(str(folder / "clear" / f"{number}.png"), np.dstack([frame, alpha]))
    (jobs,) = code_blocks("yaml")
    (folder / "jobs.yaml").write_text(jobs.replace("defaults:\n", f"defaults:\n  set: {json.dumps(SMALL)}\n"))
    write_settings(folder / "small.yaml", SMALL)
    return folder


@pytest.fixture(autouse=True)
def _folder(readme_media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run in a folder of their own."""
    shutil.copytree(readme_media, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")


def arguments_here(command: list[str]) -> list[str]:
    """Fit a command of README to the media and the time of a test."""
    text = shlex.join(command[1:])
    for theirs, ours in SMALLER.items():
        text = text.replace(theirs, ours)
    words = shlex.split(text)
    for part, more in COMPLETED.items():
        if part in text:
            words = with_options(words, [word for word in shlex.split(more) if word != part])
    for option, source in SOURCES.items():
        if option in words:
            words = [source if word == "holiday.mp4" else word for word in words]
    if words[0] in TAKES_SETTINGS and "jobs.yaml" not in words:
        words += ["--config", "small.yaml"]
    return words


def run_before(vidnst: Vidnst, words: list[str]) -> None:
    """Run what a command needs to have run."""
    for beginning, command in BEFORE.items():
        is_named = any(word.startswith(beginning) for word in words[1:])
        if is_named and not (words[0] == "render" and beginning.endswith(".mp4")):
            done = vidnst(*arguments_here(shlex.split(command)))
            assert done.status == 0, done.err
    if words[0] in ("resume", "retry"):
        Path("holiday_starry.mp4").unlink()  # as after a run that was stopped


@pytest.mark.parametrize("command", TABLE_CASES)
def test_command_of_a_table_runs(vidnst: Vidnst, command: ReadCommand) -> None:
    words = arguments_here(command.arguments)
    run_before(vidnst, words)
    done = vidnst(*words)
    assert done.status == REFUSED.get(command.text, 0), f"{shlex.join(words)}\n{done.out}\n{done.err}"


@pytest.mark.parametrize("text", BLOCKS)
def test_command_of_a_block_runs(vidnst: Vidnst, text: str) -> None:
    words = arguments_here(shlex.split(text.removeprefix(".venv/bin/")))
    done = vidnst(*words)
    assert done.status == 0, f"{shlex.join(words)}\n{done.out}\n{done.err}"


@pytest.mark.slow
def test_example_of_jobs_runs_as_a_batch(vidnst: Vidnst) -> None:
    done = vidnst("batch", "jobs.yaml")
    assert done.status == 0, done.err
    outputs = sorted(path.name for path in Path("out").glob("*.mp4"))
    assert len(outputs) == 2 * 2 + 1, outputs


def test_example_in_python_runs() -> None:
    (code,) = code_blocks("python")
    assert code.count('config={"') == 1
    small = json.dumps({"optimize.iterations": 2, "farm.executor": "inline", "farm.workers": 1, "farm.threads": 1})
    code = code.replace('config={"', f'config={{**{small}, "', 1).replace(
        '"model.weights": "vgg19.pth"', '"model.weights": "random"'
    )
    names: dict[str, object] = {"content": torch.rand(3, 32, 48), "style": torch.rand(3, 32, 48)}
    exec(code.replace("stylize(content, style)", 'stylize(content, style, config={"optimize.iterations": 2})'), names)
    assert Path("out.mp4").is_file()


def test_every_command_of_readme_is_run_or_listed() -> None:
    read = {command.text for command in table_commands()} | set(block_commands())
    listed = set(NOT_COMMANDS) | set(NOT_RUN)
    assert not listed - read, "README has these no more"
    run = {command.text for command in TABLE} | set(BLOCKS) | {text for text in read if text.startswith(CLUSTER)}
    assert read - listed - run == {SERVE}


def test_server_of_readme_answers_and_ends() -> None:
    command = [sys.executable, "-m", "vidnst", *shlex.split(SERVE)[1:], "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            address = server.stdout.readline().split()[-1]
            with urllib.request.urlopen(address) as page:
                assert page.status == 200
        finally:
            server.send_signal(signal.SIGINT)
    assert server.returncode in (0, 130)
