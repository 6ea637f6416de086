"""Names that are not UTF-8, or that a terminal would obey, from the command line to the report, and in batches."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from support.batches import job_states
from support.command_line import Vidnst
from support.media import numbered_pictures, write_picture, write_style, write_video
from support.renders import QUICK, frame_files, run_folder, write_settings

from vidnst.files.weights_file import encode_safetensors
from vidnst.runs import Manifest, RunLog
from vidnst.runs.request import load_request
from vidnst.style.network.random_filters import random_features

BYTE = os.fsdecode(b"\xe9")
ESCAPES = f"{BYTE}\x1b[31m\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A clip, a style and a mask under names that hold a byte that is no UTF-8, an escape and a line feed."""
    mask = np.zeros((64, 96, 3), np.uint8)
    mask[:, :48] = 255
    for plain, name in (
        (write_video(tmp_path / "a.mkv", numbered_pictures(3)), f"clip{ESCAPES}.mkv"),
        (write_style(tmp_path / "b.png"), f"style{ESCAPES}.png"),
        (write_picture(tmp_path / "c.png", mask), f"mask{ESCAPES}.png"),
    ):
        plain.rename(tmp_path / name)
    return tmp_path


def render(vidnst: Vidnst, place: Path, output: Path, *more: object) -> tuple[int, str, str]:
    style, mask = place / f"style{ESCAPES}.png", place / f"mask{ESCAPES}.png"
    settings = write_settings(place / f"settings{BYTE}.yaml", QUICK)
    styles = ("-s", style, "-s", f"{style}#left", "--region", f"left={mask}")
    return vidnst("render", place / f"clip{ESCAPES}.mkv", *styles, "--config", settings, "-o", output, *more)


def test_render_is_resumed_and_reported_under_such_names(vidnst: Vidnst, place: Path) -> None:
    output = place / f"out{ESCAPES}.mkv"
    status, out, err = render(vidnst, place, output, "--json", "--set", "output.report=true")
    assert status == 0, err
    assert json.loads(out.splitlines()[-1])["output"] == str(output)
    run = run_folder(output)
    assert Manifest.read(run).sources == (str(place / f"clip{ESCAPES}.mkv"),)
    assert load_request(run, {}).config.regions.masks == {"left": str(place / f"mask{ESCAPES}.png")}
    assert "\\xe9" not in (run / "report.html").read_text()
    assert "\ufffd" in (run / "report.html").read_text()
    frames = frame_files(run)
    output.unlink()
    status, out, err = vidnst("resume", run, "--json")
    assert status == 0, err
    assert frame_files(run) == frames
    assert RunLog.read(run).complete
    for command in ("status", "measure"):
        status, out, err = vidnst(command, run)
        assert status == 0, err
        assert "\x1b" not in out + err
    status, out, err = vidnst("status", run, "--json")
    assert json.loads(out)["output"] == str(output)


def test_plain_names_give_same_frames(vidnst: Vidnst, place: Path) -> None:
    for name in ("one.mkv", f"two{ESCAPES}.mkv"):
        assert render(vidnst, place, place / name, "--json")[0] == 0
    assert frame_files(run_folder(place / "one.mkv")) == frame_files(run_folder(place / f"two{ESCAPES}.mkv"))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_are_read_under_such_names(suffix: str, vidnst: Vidnst, place: Path) -> None:
    import torch

    filters = random_features("relu1_1")
    plain = place / f"plain{suffix}"
    if suffix == ".pth":
        torch.save({name: torch.from_numpy(array) for name, array in filters.items()}, plain)
    else:
        plain.write_bytes(encode_safetensors(filters, {"note": ESCAPES}))
    weights = plain.rename(place / f"weights{ESCAPES}{suffix}")
    status, _, err = render(vidnst, place, place / "out.mkv", "--weights", weights)
    assert status == 0, err
    given = {} if suffix == ".safetensors" else {"model.weights": str(weights)}
    assert load_request(run_folder(place / "out.mkv"), given).config.model.weights == str(weights)


@pytest.mark.parametrize(
    "options",
    [("--weights", f"w{ESCAPES}.pth"), ("--config", f"c{ESCAPES}"), ("--preset", ESCAPES),
     ("--set", f"output.codec={BYTE}"),
     ("-s", f"s{ESCAPES}"), ("--region", f"x=m{ESCAPES}"), ("--work-dir", "x" * 300), ("-o", "x" * 300 + ".mkv"),
     ("-o", f"{ESCAPES}/a.mkv"), ("--start", ESCAPES)],
)  # fmt: skip
def test_wrong_name_is_one_plain_sentence(options: tuple[str, str], vidnst: Vidnst, place: Path) -> None:
    status, out, err = render(vidnst, place, place / "out.mkv", *options)
    assert status != 0
    assert not out
    assert "Traceback" not in err
    assert "\x1b" not in err
    assert err.splitlines()[-1].startswith("vidnst: ")
    assert err.endswith(".\n")


def test_hostile_clip_does_not_disturb_others_of_batch(vidnst: Vidnst, place: Path) -> None:
    (place / f"broken{BYTE}.mkv").write_bytes(b"\x1aE\xdf\xa3" + bytes(range(256)) * 20)
    write_video(place / "plain.mkv", numbered_pictures(3))
    write_video(place / "long.mkv", numbered_pictures(3)).rename(place / f"{'x' * 245}.mkv")
    write_style(place / "style.png")
    jobs = [
        {"sources": "*.mkv", "styles": "style.png", "output": "{source}.mkv"},
        {"sources": ["plain.mkv", "a\nb.mkv"], "styles": "style.png", "output": f"{ESCAPES[1:]}{{n}}.mkv"},
    ]
    path = place / f"jobs{BYTE}.yaml"
    path.write_text(json.dumps({"defaults": {"set": QUICK, "folder": "out"}, "jobs": jobs}))
    status, out, err = vidnst("batch", path)
    assert (status, out.splitlines()[0]) == (9, "4 done, 2 failed"), err
    assert "\x1b" not in out
    assert job_states(path) == {
        f"broken{BYTE}.mkv": "failed",
        f"clip{ESCAPES}.mkv": "done",
        "plain.mkv": "done",
        f"{'x' * 245}.mkv": "done",
        f"{ESCAPES[1:]}1.mkv": "done",
        f"{ESCAPES[1:]}2.mkv": "failed",
    }
    assert "\x1b" not in err
    frames = [frame_files(place / "out" / f"{name}.mkv.vidnst") for name in (f"clip{ESCAPES}", "plain")]
    assert frames[0] == frames[1]
    assert len(frames[0]) == 3
    for command in (("batch", path, "--dry-run"), ("status", path.with_suffix(".batch"))):
        status, out, err = vidnst(*command)
        assert status == (9 if "--dry-run" in command else 0), err  # one clip is broken
        assert "\x1b" not in out


def test_zero_byte_in_name_of_batch_output_is_named(vidnst: Vidnst, place: Path) -> None:
    entry = {"sources": "*.mkv", "styles": "*.png", "output": "a\0b.mkv"}
    (place / "jobs.yaml").write_text(json.dumps({"defaults": {"set": QUICK}, "jobs": [entry]}))
    status, _, err = vidnst("batch", place / "jobs.yaml")
    assert status == 2
    assert "zero byte" in err
