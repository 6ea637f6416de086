"""Renders with painted keys that are killed, fail, are retried, or run on more workers: the same bytes and coverage."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.batches import job_states
from support.media import write_picture
from support.renders import (
    QUICK,
    Settings,
    done_nodes,
    frame_files,
    logged_events,
    quick_config,
    quick_settings,
    run_folder,
    stop_after,
)
from typer.testing import CliRunner

import vidnst
from vidnst.cli.app import app
from vidnst.errors import CancelledError, ConfigError, FramesFailedError, RunError, SourceError
from vidnst.farm.jobs import StylizeJob
from vidnst.farm.plan import StateId
from vidnst.farm.workers import StyleWorker
from vidnst.frames import Shot
from vidnst.media.images import read_image
from vidnst.rendering.pipeline import run
from vidnst.report.key_coverage import KeyCoverage, read_key_coverage
from vidnst.report.write_report import write_report
from vidnst.runs.record import find_record
from vidnst.runs.request import Request, load_request

FRAMES = 8

KILLED = """
import json, os, signal, sys
import vidnst
from vidnst.events import FrameDone

done = []

def die(event):
    done.extend([event] if isinstance(event, FrameDone) else [])
    if len(done) == 5:
        os.kill(os.getpid(), signal.SIGKILL)

source, style, output, settings = sys.argv[1:]
vidnst.render(source, style=style, output=output, config=json.loads(settings), on_event=die)
"""
"""A render that is killed after five frames."""


@pytest.fixture(scope="module")
def keys(burst: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Two negatives of the source's frames; of the second the right half is transparent."""
    folder = tmp_path_factory.mktemp("keys")
    sources = sorted(burst.iterdir())
    first, second = (255 - read_image(sources[frame]) for frame in (1, 6))
    alpha = np.full(second.shape[:2], 255, np.uint8)
    alpha[:, second.shape[1] // 2 :] = 0
    cv2.imwrite(str(folder / "6.png"), np.dstack([cv2.cvtColor(second, cv2.COLOR_RGB2BGR), alpha]))
    return {1: write_picture(folder / "1.png", first), 6: folder / "6.png"}


def settings_with(keys: dict[int, Path], **farm: Any) -> Settings:
    pictures = {str(frame): str(path) for frame, path in keys.items()}
    return quick_settings(
        schedule={"spacing": 3, "passes": 1}, keys={"pictures": pictures}, farm={"workers": 1, **farm}
    )


def coverage_of(folder: Path) -> KeyCoverage:
    record = find_record(folder)
    assert record is not None
    found = read_key_coverage(folder, record.request.config, [Shot(0, FRAMES)])
    assert found is not None
    return found


@pytest.fixture(scope="module")
def undisturbed(burst: Path, style: Path, keys: dict[int, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a render by one worker that nothing disturbs."""
    output = tmp_path_factory.mktemp("undisturbed") / "out"
    vidnst.render(burst, style=style, output=output, config=quick_config(settings_with(keys)))
    return run_folder(output)


def test_every_flow_between_neighbours_is_sketched_once(undisturbed: Path) -> None:
    assert sorted(event["frame"] for event in logged_events(undisturbed, "flow")) == list(range(1, FRAMES))
    coverage = coverage_of(undisturbed)
    assert sorted(coverage.covered) == list(range(FRAMES))
    assert coverage.covered[1] == 1
    assert 0.5 <= coverage.covered[6] < 1
    assert write_report(undisturbed).read_text().count("Painted key, frame") == 2


def test_renders_without_keys_keep_no_sketches(burst: Path, style: Path, tmp_path: Path) -> None:
    vidnst.render(burst, style=style, output=tmp_path / "out", config=quick_config())
    assert not logged_events(run_folder(tmp_path / "out"), "flow")
    assert "Painted keys" not in write_report(run_folder(tmp_path / "out")).read_text()


def test_more_workers_give_the_same_bytes(
    burst: Path, style: Path, keys: dict[int, Path], undisturbed: Path, tmp_path: Path
) -> None:
    config = quick_config(settings_with(keys, workers=3))
    vidnst.render(burst, style=style, output=tmp_path / "out", config=config)
    assert frame_files(run_folder(tmp_path / "out")) == frame_files(undisturbed)
    assert coverage_of(run_folder(tmp_path / "out")) == coverage_of(undisturbed)


@pytest.mark.ray
@pytest.mark.parametrize("workers", [1, 3])
def test_workers_on_ray_give_the_same_bytes(
    workers: int, burst: Path, style: Path, keys: dict[int, Path], undisturbed: Path, tmp_path: Path
) -> None:
    config = quick_config(settings_with(keys, executor="ray", workers=workers))
    vidnst.render(burst, style=style, output=tmp_path / "out", config=config)
    assert frame_files(run_folder(tmp_path / "out")) == frame_files(undisturbed)
    assert coverage_of(run_folder(tmp_path / "out")) == coverage_of(undisturbed)


def test_killed_render_resumes_to_the_same_bytes(
    burst: Path, style: Path, keys: dict[int, Path], undisturbed: Path, tmp_path: Path
) -> None:
    folder, total = run_folder(tmp_path / "out"), len(done_nodes(undisturbed))
    command = [sys.executable, "-c", KILLED, str(burst), str(style), str(tmp_path / "out")]
    killed = subprocess.run([*command, json.dumps(settings_with(keys))], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    left = done_nodes(folder)
    assert 0 < len(left) < total
    vidnst.resume(folder)
    assert len(done_nodes(folder)) == total
    assert done_nodes(folder)[: len(left)] == left
    assert frame_files(folder) == frame_files(undisturbed)
    assert coverage_of(folder) == coverage_of(undisturbed)


@pytest.mark.parametrize(("frame", "failed"), [(1, range(FRAMES)), (4, [3, 4, 5])])
def test_failed_frames_are_retried_to_the_same_bytes(
    frame: int,
    failed: Any,
    burst: Path,
    style: Path,
    keys: dict[int, Path],
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original: Callable[..., Any] = StyleWorker.run

    def fail_once(worker: StyleWorker, job: StylizeJob, **options: Any) -> Any:
        if job.node == StateId(frame):
            raise MemoryError("no room for it")
        return original(worker, job, **options)

    folder = run_folder(tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(StyleWorker, "run", fail_once)
        with pytest.raises(FramesFailedError) as caught:
            vidnst.render(burst, style=style, output=tmp_path / "out", config=quick_config(settings_with(keys)))
    assert set(failed) <= set(caught.value.frames)
    assert set(frame_files(folder)) == set(range(FRAMES)) - set(caught.value.frames)
    retried = CliRunner().invoke(app, ["retry", str(folder)])
    assert retried.exit_code == 0, retried.output
    assert frame_files(folder) == frame_files(undisturbed)
    assert coverage_of(folder) == coverage_of(undisturbed)


def test_job_with_a_wrong_key_leaves_others_alone(
    burst: Path, style: Path, keys: dict[int, Path], undisturbed: Path, tmp_path: Path
) -> None:
    settings = settings_with(keys)
    chosen = {name: settings[name] for name in (*QUICK, "schedule")} | {"output": {"keep_frames": True}}
    given = {str(frame): str(path) for frame, path in keys.items()}
    common = {"sources": [str(burst)], "styles": [str(style)]}
    jobs = [
        common | {"keys": {str(FRAMES): str(keys[1])}, "output": "wrong"},
        common | {"keys": given, "output": "out"},
    ]
    path = tmp_path / "jobs.yaml"
    path.write_text(json.dumps({"defaults": {"set": chosen}, "jobs": jobs}))
    result = vidnst.batch(path)
    assert (result.done, result.failed) == (1, 1)
    assert job_states(path) == {"wrong": "failed", "out": "done"}
    assert "is for frame 8, and the range has frames 0 to 7" in (path.with_suffix(".batch") / "jobs.json").read_text()
    assert frame_files(run_folder(tmp_path / "out")) == frame_files(undisturbed)
    path.write_text(
        json.dumps({"defaults": {"set": chosen}, "jobs": [jobs[0] | {"keys": given, "output": "corrected"}]})
    )
    assert vidnst.batch(path).done == 1
    assert frame_files(run_folder(tmp_path / "corrected")) == frame_files(undisturbed)


def test_key_of_an_unfinished_run_is_replaced(burst: Path, style: Path, keys: dict[int, Path], tmp_path: Path) -> None:
    mine = write_picture(tmp_path / "mine.png", read_image(keys[1]))
    better = write_picture(tmp_path / "better.png", 255 - read_image(keys[1]))
    folder = run_folder(tmp_path / "out")
    with pytest.raises(CancelledError):
        vidnst.render(
            burst,
            style=style,
            output=tmp_path / "out",
            config=quick_config(settings_with(keys | {1: mine})),
            **stop_after(3),
        )
    frames = frame_files(folder)
    write_picture(mine, read_image(better))
    with pytest.raises(RunError, match="the key of frame 1 has other bytes; undo the change"):
        vidnst.resume(folder)
    mine.unlink()
    with pytest.raises(SourceError, match=r"there is no key .*mine.png of frame 1"):
        vidnst.resume(folder)
    assert frame_files(folder) == frames
    with pytest.raises(CancelledError):
        run(load_request(folder, {}), redo_keys={1: better}, **stop_after(2))
    vidnst.resume(folder)
    config = quick_config(settings_with(keys | {1: better}))
    vidnst.render(burst, style=style, output=tmp_path / "fresh", config=config)
    assert frame_files(folder) == frame_files(run_folder(tmp_path / "fresh"))


def test_keys_that_are_not_there_cannot_be_replaced(
    burst: Path, style: Path, keys: dict[int, Path], tmp_path: Path
) -> None:
    request = Request(burst, (str(style),), tmp_path / "out", quick_config())
    with pytest.raises(RunError, match=r"is no run folder, .*; render with --key, not --redo-key"):
        run(request, redo_keys={1: keys[1]})
    assert not run_folder(tmp_path / "out").exists()
    run(request)
    log = (run_folder(tmp_path / "out") / "events.jsonl").read_bytes()
    with pytest.raises(ConfigError, match=r"frame 1 has no key in the run .*; add one with --key"):
        run(request, overwrite=True, redo_keys={1: keys[1]})
    assert (run_folder(tmp_path / "out") / "events.jsonl").read_bytes() == log
