"""Nothing that a command reads is replaced or removed by what it writes, whatever links and options there are."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.command_line import Vidnst
from support.media import write_burst, write_style
from support.renders import QUICK, run_folder, write_settings

from vidnst.errors import ConfigError, OutputError
from vidnst.files.weights_file import encode_safetensors
from vidnst.media.output.spared_inputs import check_spares_inputs
from vidnst.rendering.batch.job_file import read_jobs
from vidnst.style.network.random_filters import random_features

LINKS: dict[str, Callable[[Path, Path], object]] = {
    "hard link": lambda path, name: os.link(path, name),
    "symlink": lambda path, name: name.symlink_to(path),
    "link to a link": lambda path, name: (
        name.with_name("between").symlink_to(path),
        name.symlink_to(name.with_name("between")),
    ),
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a clip, styles, a mask, weights and settings."""
    monkeypatch.chdir(tmp_path)
    write_burst(tmp_path / "clip", 3)
    write_burst(tmp_path / "moving", 3, seed=4)
    for number, name in enumerate(("style.png", "mask.png")):
        write_style(tmp_path / name, number)
    (tmp_path / "w.safetensors").write_bytes(encode_safetensors(random_features("relu1_1"), {}))
    write_settings(tmp_path / "look.yaml", QUICK)
    return tmp_path


def contents(folder: Path) -> dict[str, str]:
    """The fingerprints of all files, by their paths."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def refused(vidnst: Vidnst, place: Path, *arguments: object) -> str:
    """Run a command that must be refused and change nothing; returns what it says."""
    before = contents(place)
    status, _, err = vidnst(*arguments)
    assert contents(place) == before
    assert status in (2, 6), err
    assert err.count("\n") == 1, err
    return err


RENDER = ("render", "clip", "-s", "style.png", "--config", "look.yaml")


@pytest.mark.parametrize(
    ("options", "output"),
    [
        ((), "clip"),
        ((), "clip/0000.png"),
        ((), "style.png"),
        ((), "clip/%04d.png"),
        (("-s", "moving"), "moving"),
        (("-s", "moving/*.png"), "moving"),
        (("--weights", "w.safetensors"), "w.safetensors"),
        (("--region", "sky=mask.png", "-s", "style.png#sky"), "mask.png"),
        ((), "look.yaml"),
    ],
)
def test_render_spares(options: tuple[str, ...], output: str, vidnst: Vidnst, place: Path) -> None:
    refused(vidnst, place, *RENDER, *options, "-o", output, "--overwrite")


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("what", ["clip/0001.png", "style.png", "mask.png"])
def test_links_count(link: str, what: str, vidnst: Vidnst, place: Path) -> None:
    found = sorted((place / "clip").iterdir())[1] if what.startswith("clip") else place / what
    LINKS[link](found, place / "out.png")
    options = ("--region", "sky=mask.png", "-s", "style.png#sky", "--end", "1")
    assert "is an input" in refused(vidnst, place, *RENDER, *options, "-o", "out.png", "--overwrite")


def test_linked_folder_of_frames_is_spared(vidnst: Vidnst, place: Path) -> None:
    (place / "out").symlink_to(place / "clip")
    assert "is an input" in refused(vidnst, place, *RENDER, "-o", "out", "--overwrite")
    (place / "out").unlink()
    (place / "out").mkdir()
    sorted((place / "clip").iterdir())[0].rename(place / "out" / "00000007.png")
    assert "holds" in refused(vidnst, place, "render", "out/00000007.png", *RENDER[2:], "-o", "out", "--overwrite")


def test_output_does_not_join_the_frames_that_are_read(vidnst: Vidnst, place: Path) -> None:
    first = sorted((place / "clip").iterdir())[0]
    numbered = f"clip/%0{len(first.stem)}d.png"
    for source, output in (("clip", "new"), ("clip/*.png", "new"), (numbered, first.stem.replace("0", "7"))):
        command = ("render", source, *RENDER[2:], "--end", "1", "-o", f"clip/{output}.png", "--overwrite")
        assert "would become a picture of" in refused(vidnst, place, *command)


def test_inputs_in_the_run_folder_are_spared(vidnst: Vidnst, place: Path) -> None:
    assert vidnst(*RENDER, "-o", "out")[0] == 0
    frames = run_folder(place / "out") / "frames"
    said = refused(vidnst, place, "render", frames, *RENDER[2:], "-o", "out", "--overwrite", "--restart")
    assert "whose frames is replaced" in said


def test_resume_spares(vidnst: Vidnst, place: Path) -> None:
    assert vidnst(*RENDER, "--end", "1", "-o", "out.png")[0] == 0
    (place / "out.png").unlink()
    os.link(place / "style.png", place / "out.png")
    assert "is an input" in refused(vidnst, place, "resume", "out.png", "--overwrite")


def jobs(place: Path, *entries: dict[str, object], folder: str = ".") -> Path:
    path = place / "jobs.yaml"
    path.write_text(json.dumps({"defaults": {"set": QUICK, "folder": folder}, "jobs": entries}))
    return path


@pytest.mark.parametrize("output", ["clip", "style.png", "jobs.yaml", "moving", "moving/new.png", "./clip/../clip"])
def test_batch_spares_what_any_job_reads(output: str, vidnst: Vidnst, place: Path) -> None:
    path = jobs(
        place,
        {"sources": "clip", "styles": "style.png", "output": output},
        {"sources": "moving", "styles": "style.png", "output": "other"},
    )
    for command in (("batch", path), ("batch", path, "--dry-run"), ("plan", path)):
        assert "input" in refused(vidnst, place, *command)


@pytest.mark.parametrize("key", ["regions.masks", "keys.pictures", "audio.style"])
def test_no_job_reads_in_its_settings_what_another_writes(key: str, place: Path) -> None:
    path = str(place / "a.mp4")
    value: object = {"regions.masks": {"sky": path}, "keys.pictures": {"0": path}, "audio.style": path}[key]
    entry = {"sources": "moving", "styles": "style.png", "output": "b.mp4", "set": {key: value}}
    with pytest.raises(ConfigError, match=r"a\.mp4 is an input"):
        read_jobs(jobs(place, {"sources": "clip", "styles": "style.png", "output": "a.mp4"}, entry))


def test_no_job_reads_what_another_writes(place: Path) -> None:
    first = {"sources": "clip", "styles": "style.png", "output": "a.mp4"}
    with pytest.raises(ConfigError, match=r"a\.mp4 is an input"):
        read_jobs(jobs(place, first, {"sources": "a.mp4", "styles": "style.png", "output": "b.mp4"}))
    with pytest.raises(ConfigError, match=r"a\.mp4 is an input"):
        read_jobs(jobs(place, first, {"sources": "moving", "styles": "a.mp4", "output": "b.mp4"}))
    (place / "alias").symlink_to(place)
    with pytest.raises(ConfigError, match=r"a\.mp4 is an input"):
        read_jobs(jobs(place, first, {"sources": "alias/a.mp4", "styles": "style.png", "output": "b.mp4"}))


def test_previews_spare(vidnst: Vidnst, place: Path) -> None:
    look = ("--config", "look.yaml", "--overwrite")
    frame = sorted((place / "clip").iterdir())[0]
    masked = ("--set", "regions.masks={sky: mask.png}")
    refused(vidnst, place, "proof", "clip", "-s", "style.png", *look, "-o", "style.png")
    refused(vidnst, place, "proof", "clip", "-s", "style.png", *look, "-o", frame)
    refused(vidnst, place, "proof", "clip", "-s", "style.png", *look, *masked, "-o", "mask.png")
    refused(vidnst, place, "proof", "clip", "-s", "style.png", *look, "-o", "new.png", "--report", "look.yaml")
    refused(vidnst, place, "evolve", "clip", "-s", "style.png", *look, "-o", frame)
    os.link(place / "style.png", place / "film_000001.png")
    refused(vidnst, place, "evolve", "clip", "-s", "style.png", *look, "-o", "film.png", "--at", "1")
    refused(vidnst, place, "compare", "clip", "moving", "-o", "moving", "--overwrite")
    refused(vidnst, place, "compare", "clip", "--source", "moving", "-o", "moving", "--overwrite")
    refused(vidnst, place, "compare", "style.png", "mask.png", "-o", "film_000001.png", "--overwrite")


def test_previews_do_not_join_what_is_read(vidnst: Vidnst, place: Path) -> None:
    look = ("-s", "style.png", "--config", "look.yaml")
    (place / "linked").symlink_to(place / "clip")
    for command in (
        ("proof", "clip", *look, "-o", "clip/new.png"),
        ("proof", "clip/*.png", *look, "-o", "linked/new.png"),
        ("evolve", "clip", *look, "-o", "clip/new.png"),
        ("compare", "clip", "moving", "-o", "moving/new.png"),
    ):
        assert "would become a picture of" in refused(vidnst, place, *command)


@pytest.mark.parametrize("output", ["clip", "linked"])
@pytest.mark.parametrize("source", ["clip", "clip/*.png"])
def test_keys_join_no_source(source: str, output: str, vidnst: Vidnst, place: Path) -> None:
    (place / "linked").symlink_to(place / "clip")
    assert "clip" in refused(vidnst, place, "keys", source, "--count", "1", "-o", output, "--overwrite")


def test_keys_replace_no_source(vidnst: Vidnst, place: Path) -> None:
    (place / "keys").mkdir()
    for number, path in enumerate(sorted((place / "clip").iterdir())):
        (place / "keys" / f"{number:04}.png").symlink_to(path)
    assert "is an input" in refused(vidnst, place, "keys", "clip", "--count", "1", "-o", "keys", "--overwrite")


def test_reports_spare(vidnst: Vidnst, place: Path) -> None:
    assert vidnst(*RENDER, "-o", "out")[0] == 0
    run, frame = run_folder(place / "out"), sorted((place / "clip").iterdir())[0]
    written = sorted((place / "out").iterdir())[0]
    kept = sorted((run / "frames").iterdir())[0]
    for file in ("style.png", frame, written, run / "run.json", run / "events.jsonl", kept):
        refused(vidnst, place, "measure", "out", "--no-losses", "-o", file)
        refused(vidnst, place, "report", "out", "-o", file)
    refused(vidnst, place, "measure", "out", "--weights", "w.safetensors", "-o", "w.safetensors")
    assert vidnst("report", "out", "-o", run / "report.html")[0] == 0
    (place / "bench.json").write_text("{}")
    refused(vidnst, place, "bench", "--compare", "bench.json", "-o", "bench.json")
    refused(vidnst, place, "bench", "--weights", "w.safetensors", "-o", "w.safetensors")
    refused(vidnst, place, "bench", "--set", "model.weights=w.safetensors", "-o", "w.safetensors")


def test_trainings_spare(vidnst: Vidnst, place: Path) -> None:
    frames = place / "clip"
    sorted(frames.iterdir())[0].rename(place / "a.md")
    (place / "a.md").rename(frames / "a.png")
    train = ("train", "clip", "-s", "style.png", "--config", "look.yaml", "--overwrite")
    refused(vidnst, place, *train, "--weights", "w.safetensors", "-o", "w.safetensors")
    (place / "b.safetensors").symlink_to(place / "style.png")
    refused(vidnst, place, *train, "-o", "b.safetensors")
    refused(vidnst, place, "distill", "--images", "clip", "-o", "b.safetensors", "--images", "style.png")
    (place / "c.md").symlink_to(frames / "a.png")
    refused(vidnst, place, "distill", "--images", "clip", "-o", "c.safetensors")
    (place / "d.checkpoint.safetensors").symlink_to(frames / "a.png")
    pretrain = ("pretrain", "--contents", "clip", "--styles", "style.png")
    refused(vidnst, place, *pretrain, "-o", "d.safetensors")
    refused(vidnst, place, *pretrain, "-o", "b.safetensors")


def test_secrets_are_inputs(vidnst: Vidnst, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "token.mp4").write_text("secret")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(place / "token.mp4"))
    assert "is an input" in refused(vidnst, place, *RENDER, "-o", "token.mp4", "--overwrite")


def test_what_is_not_read_may_be_replaced(vidnst: Vidnst, place: Path) -> None:
    for _ in range(2):
        assert vidnst(*RENDER, "-o", "out", "--overwrite", "--restart")[0] == 0
    assert len(list((place / "out").iterdir())) == 3


def test_missing_names_and_odd_texts_are_compared(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is an input"):
        check_spares_inputs([tmp_path / "x" / ".." / "a"], [tmp_path / "a", "zero\0byte"])
    check_spares_inputs([tmp_path / "b"], [tmp_path / "a", "", "/"[:0]])
    (tmp_path / "dangling").symlink_to(tmp_path / "a")
    with pytest.raises(OutputError, match="is an input"):
        check_spares_inputs([tmp_path / "dangling"], [tmp_path / "a"])
