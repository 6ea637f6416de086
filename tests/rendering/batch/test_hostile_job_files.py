"""Job files and state folders of batches that a stranger made."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from support.batches import job_states, write_jobs
from support.planted import Canary, plant

from vidnst.config.loader import load_config, read_yaml
from vidnst.errors import ConfigError, RunError, SourceError
from vidnst.events import ignore
from vidnst.media.input import bounded_glob as globs
from vidnst.media.input.image_files import list_images
from vidnst.rendering.batch import job_file
from vidnst.rendering.batch.job_file import read_jobs
from vidnst.rendering.batch.job_states import JobStates, ask
from vidnst.rendering.batch.run import run_batch


@pytest.fixture
def canary(tmp_path: Path) -> Canary:
    return Canary(tmp_path / "elsewhere")


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return write_jobs(tmp_path / "work", clips=1, styles=1, frames=1)


def changed(path: Path, **defaults: Any) -> Path:
    values = json.loads(path.read_text())
    values["defaults"] |= defaults
    path.write_text(json.dumps(values))
    return path


@pytest.mark.parametrize("name", ["control", "", "lock", "events.jsonl", "jobs.json"])
def test_links_in_a_state_folder_are_refused(name: str, jobs: Path, canary: Canary) -> None:
    folder = jobs.with_suffix(".batch")
    (folder / "control").mkdir(parents=True)
    if name:
        plant("link", folder / name, canary)
    else:
        (folder / "control").rmdir()
        folder.rmdir()
        folder.symlink_to(canary.folder)
    with pytest.raises(RunError, match="is a link"):
        run_batch(jobs)
    assert canary.is_untouched()


def test_only_commands_are_deleted(jobs: Path, canary: Canary) -> None:
    states = JobStates(jobs, ignore)
    states.update(read_jobs(jobs).clips)
    control = states.folder / "control"
    (control / "notes.txt").write_text("mine")
    (control / f"{1:020d}-1.json").symlink_to(canary.file)
    states.write(now=True)
    ask(jobs, "cancel", "all")
    states.obey()
    states.close()
    assert set(job_states(jobs).values()) == {"cancelled"}
    assert os.listdir(control) == ["notes.txt"]
    assert canary.is_untouched()


def test_command_is_not_left_through_a_link(jobs: Path, canary: Canary) -> None:
    states = JobStates(jobs, ignore)
    states.update(read_jobs(jobs).clips)
    states.close()
    plant("link", states.folder / "control", canary)
    with pytest.raises(RunError, match="control is a link"):
        ask(jobs, "cancel", "all")
    assert canary.is_untouched()


@pytest.mark.parametrize("row", [{}, {"name": ["x"], "state": []}, {"name": None}, 7, [[]]])
def test_states_with_nonsense_in_them_are_ignored(row: object, jobs: Path) -> None:
    folder = jobs.with_suffix(".batch")
    folder.mkdir()
    (folder / "jobs.json").write_text(json.dumps({"jobs": [row], "threads": 10**9}))
    states = JobStates(jobs, ignore)
    states.update(read_jobs(jobs).clips)
    assert states.threads is None
    states.close()
    assert set(job_states(jobs).values()) == {"queued"}


@pytest.mark.parametrize("folder", ["/tmp", "..", "out/../../x", "linked"])
def test_outputs_lie_below_the_job_file(folder: str, jobs: Path, canary: Canary) -> None:
    (jobs.parent / "linked").symlink_to(canary.folder)
    with pytest.raises(ConfigError, match=r"defaults\.folder = .* is not below"):
        read_jobs(changed(jobs, folder=folder))


@pytest.mark.parametrize(
    ("key", "text"),
    [("sources", "a\0.mp4"), ("sources", "\ud800"), ("styles", "s\0.png"), ("output", "\0"), ("name", "x\0"),
     ("sources", "x" * 5000), ("presets", "\0"), ("styles", "a" * 4000 + "/" + "b" * 4000)],
)  # fmt: skip
def test_texts_that_name_no_file_are_refused(key: str, text: str, jobs: Path) -> None:
    values = json.loads(jobs.read_text())
    values["jobs"][0][key] = [text] if key in ("sources", "styles", "presets") else text
    jobs.write_text(json.dumps(values))
    with pytest.raises(ConfigError, match="cannot be used: it"):
        read_jobs(jobs)


def test_glob_walks_neither_far_nor_in_circles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path
    for number in range(30):
        deep /= f"d{number}"
    deep.mkdir(parents=True)
    (deep / "x.png").write_bytes(b"1")
    (tmp_path / "d0" / "y.png").write_bytes(b"1")
    (tmp_path / "d0" / "circle").symlink_to(tmp_path)
    (tmp_path / ".hidden").mkdir()
    found = list(globs.bounded_glob(tmp_path, Path("**/*.png")))
    assert found == [tmp_path / "d0" / "y.png"]
    with pytest.raises(SourceError, match="more than 5 files"):
        list(globs.bounded_glob(tmp_path, Path("**/*.tif"), max_entries=5))


def test_glob_of_a_job_file_is_bounded(jobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        (jobs.parent / f"c{number}.mp4").touch()
    values = json.loads(jobs.read_text())
    values["jobs"][0]["sources"] = ["c*.mp4"]
    jobs.write_text(json.dumps(values))
    monkeypatch.setattr(job_file, "_MOST_CLIPS", 20)
    with pytest.raises(ConfigError, match=r"sources\[0\] = 'c\*.mp4' fits more than 20 files"):
        read_jobs(jobs)
    values["jobs"][0]["sources"] = ["/**/nothing-is-called-so"]
    jobs.write_text(json.dumps(values))
    monkeypatch.setattr(globs, "MAX_ENTRIES", 3)
    monkeypatch.setattr(globs.bounded_glob, "__kwdefaults__", {"max_entries": 3})
    with pytest.raises(ConfigError, match="looks at more than 3 files"):
        read_jobs(jobs)
    with pytest.raises(SourceError, match="looks at more than 3 files"):
        list_images("/**/*.png")


@pytest.mark.parametrize(
    ("text", "value"),
    [("1:30", "1:30"), ("1:0:0.5", "1:0:0.5"), ("9" * 50, "9" * 50), ("0x" + "f" * 5000, "0x" + "f" * 5000),
     ("0x1F", 31), ("-12", -12), ("1_000", 1000), ("010", 8), ("0b11", 3), ("1.5", 1.5), ("1.5e+3", 1500.0)],
)  # fmt: skip
def test_numbers_are_decimal_and_short(text: str, value: object, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"a: {text}")
    assert read_yaml(path) == {"a": value}


@pytest.mark.parametrize("text", ["!!int 1:30", "!!float 1:30", "!!int 9" + ":9" * 1000, "!!int 0x" + "f" * 5000])
def test_numbers_to_the_base_60_are_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"a: {text}")
    with pytest.raises(ConfigError, match="no plain number"):
        read_yaml(path)


def test_moments_are_written_without_quotes(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("input: {start: 0:01:30}")
    assert load_config(file=path).input.start == "0:01:30"
