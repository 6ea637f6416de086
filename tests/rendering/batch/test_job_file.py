"""Job files: the jobs that they stand for, and the error for each mistake."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.batches import write_jobs
from support.media import write_style

from vidnst.errors import ConfigError
from vidnst.rendering.batch.job_file import read_jobs


def write_job_file(where: Path, entry: dict[str, Any], **defaults: Any) -> Path:
    path = where / "jobs.yaml"
    path.write_text(json.dumps({"defaults": defaults, "jobs": [entry]}))
    return path


def test_jobs_are_product_of_sources_styles_and_presets(tmp_path: Path) -> None:
    for name in ("b.mp4", "a.mp4", "notes.txt"):
        (tmp_path / name).touch()
    write_style(tmp_path / "x.png")
    path = write_job_file(
        tmp_path,
        {
            "sources": ["*.mp4", "missing.mov"],
            "styles": ["x.png:3", ["x.png", "y.png:2@5"]],
            "presets": ["draft", "photo"],
            "set": {"losses": {"style_weight": 7}, "input.size": 64},
            "output": "{preset}/{n:02}-{source}-{style}.mp4",
            "priority": 3,
        },
        set={"losses.style_weight": 5, "losses.content_weight": 2, "farm": {"workers": 3}},
        folder="out",
    )
    jobs = read_jobs(path)
    assert [clip.name for clip in jobs.clips[:5]] == [
        "draft/01-a-x.mp4",
        "photo/02-a-x.mp4",
        "draft/03-a-x+y.mp4",
        "photo/04-a-x+y.mp4",
        "draft/05-b-x.mp4",
    ]
    assert len(jobs.clips) == 12
    assert len({clip.request.output for clip in jobs.clips} | {clip.request.folder for clip in jobs.clips}) == 24
    third = jobs.clips[2]
    assert third.request.styles == (str(tmp_path / "x.png"), str(tmp_path / "y.png:2@5"))
    assert third.source == str(tmp_path / "a.mp4")
    assert third.priority == 3
    config = third.request.config
    assert (config.losses.style_weight, config.losses.content_weight, config.input.size) == (7, 2, 64)
    assert config.farm.workers == jobs.farm.workers == 3
    assert read_jobs(path, farm={"workers": 1}).farm.workers == 1


GOOD = {"sources": ["a.mp4"], "styles": ["x.png"]}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"styles": ["x.png"]}, ["jobs[0].sources", "missing"]),
        (GOOD | {"style": "x.png"}, ["unknown key jobs[0].style", "styles"]),
        (GOOD | {"styles": []}, ["jobs[0]: styles is missing"]),
        (GOOD | {"styles": [[]]}, ["jobs[0]: styles[0]", "empty"]),
        (GOOD | {"styles": ["x.png:-1"]}, ["styles[0]", "weight -1"]),
        (GOOD | {"priority": "high"}, ["jobs[0].priority", "high"]),
        (GOOD | {"presets": ["drat"], "name": "night"}, ["jobs[0] (night)", "drat", "did you mean draft"]),
        (GOOD | {"set": {"losses": {"stile_weight": 3}}}, ["jobs[0]", "losses.stile_weight", "style_weight"]),
        (GOOD | {"set": {"losses.style_weight": -3}}, ["jobs[0]", "losses.style_weight", "-3"]),
        (GOOD | {"set": {"farm": {"workers": 2}}}, ["jobs[0]", "farm.workers", "defaults.set"]),
        (GOOD | {"sources": ["*.mkv"]}, ["jobs[0]", "sources[0]", "*.mkv", "no file"]),
        (GOOD | {"output": "{sauce}.mp4"}, ["jobs[0]", "{sauce}", "{source}"]),
        (GOOD | {"output": "{source.__class__}.mp4"}, ["jobs[0]", "unknown part"]),
        (GOOD | {"output": "{n:99999999}.mp4"}, ["jobs[0]", "unknown part"]),
        (GOOD | {"output": "{source"}, ["jobs[0]", "output ="]),
        (GOOD | {"output": "../{source}.mp4"}, ["jobs[0]", "../a.mp4", "outside"]),
        (GOOD | {"output": "/tmp/{source}.mp4"}, ["jobs[0]", "outside"]),
        (GOOD | {"output": "link/{source}.mp4"}, ["jobs[0]", "outside"]),
        (GOOD | {"output": "."}, ["jobs[0]", "outside"]),
        (GOOD | {"sources": ["a.mp4", "b/a.mov"]}, ["the output a-x.mp4", "b/a.mov", "a.mp4", "{n}"]),
    ],
)
def test_errors_name_file_and_key(tmp_path: Path, entry: dict[str, Any], words: list[str]) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path)
    path = write_job_file(tmp_path, entry, folder="out")
    with pytest.raises(ConfigError) as caught:
        read_jobs(path)
    for word in [str(path), *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize("text", ["jobs: []", "- 1", "jobs: &a [*a]", "jobs: {", "defaults: {folder: 3}\njobs: [1]"])
def test_malformed_job_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "jobs.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"jobs\.yaml"):
        read_jobs(path)


def test_two_jobs_with_same_output_are_refused(tmp_path: Path) -> None:
    path = write_jobs(tmp_path, clips=1, styles=1, name="day")
    values = json.loads(path.read_text())
    values["jobs"].append(values["jobs"][0] | {"name": "night"})
    path.write_text(json.dumps(values))
    with pytest.raises(ConfigError, match=r"jobs\[1\] \(night\): the output clip0-style0 .*\(day\)"):
        read_jobs(path)
