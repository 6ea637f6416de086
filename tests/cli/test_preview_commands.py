"""proof, evolve and compare as a person uses them."""

import json
from pathlib import Path

import pytest
from support.command_line import Vidnst
from support.media import painting, photo, read_picture, write_picture

from vidnst.media.input.probe import probe

FAST = (
    *("--weights", "random", "--iterations", "3", "--set", "farm.threads=1"),
    *("--set", "losses.style_layers={relu1_1: 1}", "--set", "losses.content_layers={relu2_1: 1}"),
)


@pytest.fixture(autouse=True)
def _folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where commands run: there are a clip of two frames and a style."""
    (tmp_path / "clip").mkdir()
    for seed in range(2):
        write_picture(tmp_path / "clip" / f"{seed}.png", photo(seed))
    write_picture(tmp_path / "style.png", painting(0))
    monkeypatch.chdir(tmp_path)


def test_proof_writes_sheet_and_report(vidnst: Vidnst) -> None:
    axes = ("--axis", "losses.style_weight=1,100", "--axis", "optimize.init=content,noise,blend")
    status, out, err = vidnst("proof", "clip", "-s", "style.png", *FAST, *axes, "--size", 48, "--frames", "1,0")
    assert (status, out) == (0, "proof.png\n"), err
    cells = json.loads(Path("proof.json").read_text())["cells"]
    assert len(cells) == 2 * 2 * 3
    assert [cell["frame"] for cell in cells[::6]] == [0, 1]
    assert read_picture(Path("proof.png")).shape[2] == 3
    assert vidnst("proof", "clip", "-s", "style.png", *FAST)[0] == 6
    told = vidnst(
        *("proof", "clip", "-s", "style.png", "-s", "style.png", *FAST, "--overwrite", "--json", "--count", 1),
        *("--report", "told.json"),
    )[1]
    assert [json.loads(line) for line in told.splitlines()][-1]["event"] == "run_finished"
    assert len(json.loads(Path("told.json").read_text())["cells"]) == 2


def test_evolve_writes_a_film_and_stills(vidnst: Vidnst) -> None:
    command = ("evolve", "clip", "-s", "style.png", *FAST)
    status, out, err = vidnst(*command, "-o", "e.mkv", "--at", "1,3", "--frame", 1, "--rate", 10, "--size", 64)
    assert (status, out) == (0, "e.mkv\n"), err
    assert sorted(path.name for path in Path().glob("e*")) == ["e.mkv", "e_000001.png", "e_000003.png"]
    assert probe("e.mkv").frame_count == 2 + 10
    slim = ("--preset", "draft", "--size", 48, "--no-curve", "--every", 2)
    assert vidnst(*command, "-o", "f.gif", *slim)[0] == 0
    assert probe("f.gif").frame_count == 3 - 1 + 25


def test_compare_writes_a_video_or_a_sheet(vidnst: Vidnst) -> None:
    command = ("compare", "clip", "clip", "--source", "clip", "--diff", "--gain", 4, "--label", "one", "--label", "two")
    status, out, err = vidnst(*command, "-o", "side.mp4")
    assert (status, out) == (0, "side.mp4\n"), err
    assert probe("side.mp4").frame_count == 2
    assert vidnst(*command, "-o", "sheet.png", "--zoom", "8,8,16,16", "--count", 1)[0] == 0
    warning, made = vidnst("compare", "clip", "style.png", "-o", "s.png")[2].splitlines()
    assert warning == "vidnst: they are of different length (clip has 2, style.png has 1 frames); the first 1 are shown"
    assert made.startswith("vidnst: made s.png: 1 frame in ")


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("proof", "clip", "-s", "style.png", "--axis", "losses.style_weight"), 2, "KEY=VALUE"),
        (("proof", "clip", "-s", "style.png", "--axis", "optimize.seed=1", "--axis", "optimize.seed=2"), 2, "twice"),
        (("proof", "clip", "--axis", "losses.style_weight=1"), 4, "--style"),
        (("proof", "gone.mp4", "-s", "style.png"), 3, "gone.mp4"),
        (("evolve", "clip", "-s", "style.png"), 2, "-o evolve.mp4"),
        (("evolve", "clip", "-s", "style.png", "-o", "e.mp4", "--at", "1,x"), 2, "--at '1,x'"),
        (("evolve", "clip", "-s", "style.png", "-o", "e.mp4", "--at", ""), 2, "--at ''"),
        (("evolve", "clip", "-s", "style.png", "-o", "e.mp4", "--at", "151"), 2, "step 151"),
        (("compare", "clip", "clip"), 2, "-o side.mp4"),
        (("compare", "clip", "-o", "side.mp4"), 2, "at least two"),
        (("compare", "clip", "clip", "-o", "side.mp4", "--zoom", "1,2,3"), 2, "X,Y,W,H"),
        (("compare", "clip", "clip", "-o", "side.mp4", "--zoom", "1,2,3,400"), 2, "zoom 1,2,3,400"),
    ],
)
def test_errors_are_one_sentence(vidnst: Vidnst, arguments: tuple[str, ...], status: int, words: str) -> None:
    before = sorted(Path().iterdir())
    found, out, err = vidnst(*arguments)
    assert (found, out) == (status, "")
    assert err.startswith("vidnst: ")
    assert err.count("\n") == 1
    assert words in err
    assert sorted(Path().iterdir()) == before
