"""Resuming a render that was killed, stopped or changed: which work is repeated, and what is refused."""

import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from support.processes import kill_when
from support.renders import (
    TWO_LAYERS,
    done_nodes,
    frame_files,
    quick_config,
    quick_settings,
    run_folder,
    stop_after,
    write_settings,
)

import vidnst
from vidnst.config import RenderConfig
from vidnst.errors import CancelledError, DiskFullError, FarmError, OutputError, RunError, UnmeasuredError
from vidnst.events import Event, RunStarted, Warned
from vidnst.farm.plan import StateId
from vidnst.farm.schedules import plan_shot
from vidnst.frames import Shot
from vidnst.rendering.pipeline import run
from vidnst.runs import RunStore
from vidnst.runs.request import Request, load_request
from vidnst.tools.forecast.render_plan import describe_render

FRAMES = 10
SETTINGS = quick_settings(losses=TWO_LAYERS, optimize={"iterations": 12, "scales": 2})
NODES = sum(isinstance(node.id, StateId) for node in plan_shot(quick_config(SETTINGS).schedule, Shot(0, FRAMES)))


@pytest.fixture(scope="module")
def config() -> RenderConfig:
    return quick_config(SETTINGS)


@pytest.fixture(scope="module")
def undisturbed(burst: Path, style: Path, config: RenderConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a render that was not interrupted."""
    output = tmp_path_factory.mktemp("undisturbed") / "out"
    vidnst.render(burst, style=style, output=output, config=config)
    return run_folder(output)


@pytest.mark.slow
def test_killed_run_resumes_to_same_bytes(
    burst: Path, style: Path, undisturbed: Path, config: RenderConfig, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    settings = write_settings(tmp_path / "settings.yaml", SETTINGS)
    command = [sys.executable, "-m", "vidnst", "render", str(burst), "--style", str(style), "-o", str(output)]
    command += ["--config", str(settings)]
    events = run_folder(output) / "events.jsonl"
    moments = random.Random(5)
    for nodes in (2, 8, 15):  # of 30: the rest takes several times as long as the delay
        kill_when(
            command,
            lambda nodes=nodes: events.exists() and events.read_text().count('"done"') >= nodes,
            delay_seconds=moments.uniform(0, 0.05),
        )
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert frame_files(run_folder(output)) == frame_files(undisturbed)
    done = done_nodes(run_folder(output))
    assert len(set(done)) == NODES
    assert len(done) <= NODES + 3 * 2  # a kill loses at most what two workers have in flight
    assert [path.read_bytes() for path in sorted(output.iterdir())] == list(frame_files(undisturbed).values())


KILLED_AT_THE_END = """
import os, signal, sys
from vidnst.__main__ import main
from vidnst.runs import RunStore

def die(store, **_):
    os.kill(os.getpid(), signal.SIGKILL)

RunStore.finish = die
main()
"""


@pytest.mark.slow
def test_run_killed_after_encoding_accepts_its_own_output(
    burst: Path, style: Path, undisturbed: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    settings = write_settings(tmp_path / "settings.yaml", SETTINGS)
    arguments = ["render", str(burst), "--style", str(style), "-o", str(output), "--config", str(settings)]
    killed = subprocess.run([sys.executable, "-c", KILLED_AT_THE_END, *arguments], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert output.is_dir()
    done = done_nodes(run_folder(output))
    subprocess.run([sys.executable, "-m", "vidnst", *arguments], check=True, stdout=subprocess.DEVNULL)
    assert done_nodes(run_folder(output)) == done
    assert [path.read_bytes() for path in sorted(output.iterdir())] == list(frame_files(undisturbed).values())
    again = subprocess.run([sys.executable, "-m", "vidnst", *arguments], capture_output=True, text=True, check=False)
    assert "exists already" in again.stderr  # the run is finished, so the output is not its own any more


def test_resume_does_not_replace_foreign_output(
    burst: Path, style: Path, config: RenderConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **options: object) -> None:
        raise DiskFullError("no space left", "make room")

    with monkeypatch.context() as patch:
        patch.setattr("vidnst.rendering.pipeline.encode", fail)
        with pytest.raises(DiskFullError):
            vidnst.render(burst, style=style, output=tmp_path / "out", config=config)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "000001.png").write_bytes(b"somebody's")
    with pytest.raises(OutputError, match="exists already"):
        vidnst.render(burst, style=style, output=tmp_path / "out", config=config)
    vidnst.render(burst, style=style, output=tmp_path / "out", config=config, overwrite=True)


@pytest.mark.usefixtures("immediate_writes")
def test_stopped_run_resumes_from_its_folder_alone(
    burst: Path, style: Path, undisturbed: Path, config: RenderConfig, tmp_path: Path
) -> None:
    with pytest.raises(CancelledError, match=r"continue with: vidnst resume .*out\.vidnst"):
        vidnst.render(burst, style=style, output=tmp_path / "out", config=config, **stop_after(3))
    folder = tmp_path / "out.vidnst"
    assert 3 <= len(frame_files(folder)) < FRAMES
    before = len(frame_files(folder))
    seen: list[Event] = []
    run(load_request(folder, {}), on_event=seen.append)
    (started,) = [event for event in seen if isinstance(event, RunStarted)]
    assert started.frames_done == before
    assert len(done_nodes(folder)) == NODES
    assert frame_files(folder) == frame_files(undisturbed)


def test_worker_count_keeps_bytes(burst: Path, style: Path, undisturbed: Path, tmp_path: Path) -> None:
    config = quick_config(SETTINGS, farm={"workers": 3})
    vidnst.render(burst, style=style, output=tmp_path / "out", config=config)
    assert frame_files(tmp_path / "out.vidnst") == frame_files(undisturbed)


@pytest.mark.usefixtures("immediate_writes")
def test_deleted_frame_alone_is_made_again(
    burst: Path, style: Path, undisturbed: Path, config: RenderConfig, tmp_path: Path
) -> None:
    with pytest.raises(CancelledError):
        vidnst.render(burst, style=style, output=tmp_path / "out", config=config, **stop_after(6))
    folder = tmp_path / "out.vidnst"
    before = len(done_nodes(folder))
    (folder / "frames" / "00000002.png").unlink()
    vidnst.render(burst, style=style, output=tmp_path / "out", config=config)
    assert frame_files(folder) == frame_files(undisturbed)
    assert len(done_nodes(folder)) == NODES + 1
    assert before < NODES


@pytest.mark.parametrize("what", ["setting", "style", "source"])
def test_changed_render_refuses_resume_with_reason(
    what: str, burst: Path, style: Path, config: RenderConfig, tmp_path: Path
) -> None:
    with pytest.raises(CancelledError):
        vidnst.render(burst, style=style, output=tmp_path / "out", config=config, **stop_after(1))
    other = tmp_path / "other"
    other.mkdir()
    if what == "setting":
        config = quick_config(SETTINGS, losses={"tv_weight": 0.7})
    elif what == "style":
        cv2.imwrite(str(other / style.name), cv2.imread(str(style))[::-1])
        style = other / style.name
    else:
        for path in burst.iterdir():
            cv2.imwrite(str(other / path.name), cv2.imread(str(path))[::-1])
        burst = other
    with pytest.raises(RunError) as caught:
        vidnst.render(burst, style=style, output=tmp_path / "out", config=config)
    word = {"setting": "losses.tv_weight: 6.0 -> 0.7", "style": "style.png has other bytes", "source": "source"}[what]
    assert word in str(caught.value)
    assert "--overwrite, which deletes the" in str(caught.value)
    events: list[Event] = []
    vidnst.render(burst, style=style, output=tmp_path / "out", config=config, overwrite=True, on_event=events.append)
    (said,) = [event.message for event in events if isinstance(event, Warned) and "starting over" in event.message]
    assert word in said
    assert re.search("which deletes the [0-9]+ frames? that it has finished", said)


def test_overwrite_goes_on_with_the_same_render(burst: Path, style: Path, config: RenderConfig, tmp_path: Path) -> None:
    with pytest.raises(CancelledError):
        vidnst.render(burst, style=style, output=tmp_path / "out", config=config, **stop_after(3))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "00000000.png").write_bytes(next(burst.iterdir()).read_bytes())
    already = len(done_nodes(run_folder(tmp_path / "out")))
    outline, _ = describe_render(Request(str(burst), (str(style),), tmp_path / "out", config), overwrite=True)
    assert outline["existing"] == {"output": "is replaced", "run": f"goes on: {already} of {NODES} pieces done"}
    vidnst.render(burst, style=style, output=tmp_path / "out", config=config, overwrite=True)
    done = done_nodes(run_folder(tmp_path / "out"))
    assert len(done) == len(set(done)) == NODES


def test_overwrite_spares_the_run_of_another_output(
    burst: Path, style: Path, config: RenderConfig, tmp_path: Path
) -> None:
    with pytest.raises(CancelledError):
        vidnst.render(burst, style=style, output=tmp_path / "out", config=config, **stop_after(1))
    work, other = run_folder(tmp_path / "out"), quick_config(SETTINGS, losses={"tv_weight": 0.7})
    done = done_nodes(work)
    with pytest.raises(RunError, match="another --work-dir"):
        vidnst.render(burst, style=style, output=tmp_path / "b", config=other, work_dir=work, overwrite=True)
    with pytest.raises(RunError, match="undo the change"):
        vidnst.resume(work, config={"losses.tv_weight": 0.7}, overwrite=True)
    assert done_nodes(work) == done


def test_kept_frames_are_not_deleted_unasked(burst: Path, style: Path, tmp_path: Path) -> None:
    settings = quick_settings(SETTINGS, optimize={"iterations": 0}, output={"measure": False, "report": False})
    output, keeping = tmp_path / "out", quick_config(settings, output={"keep_frames": True})
    vidnst.render(burst, style=style, output=output, config=keeping)
    log, kept = (run_folder(output) / "events.jsonl").read_bytes(), frame_files(run_folder(output))
    assert len(kept) == FRAMES
    with pytest.raises(RunError, match=r"kept its 10 frames; give --keep-frames .*, or --restart to delete"):
        vidnst.render(
            burst,
            style=style,
            output=output,
            config=quick_config(settings, output={"keep_frames": False}),
            overwrite=True,
        )
    with pytest.raises(RunError, match="of another output"):
        vidnst.render(burst, style=style, output=tmp_path / "b", config=keeping, work_dir=run_folder(output))
    assert frame_files(run_folder(output)) == kept
    assert (run_folder(output) / "events.jsonl").read_bytes() == log  # a refused request is no session
    assert not (tmp_path / "b").exists()


def test_locked_run_refuses_second_render(burst: Path, style: Path, config: RenderConfig, tmp_path: Path) -> None:
    with pytest.raises(CancelledError):
        vidnst.render(burst, style=style, output=tmp_path / "out", config=config, **stop_after(1))
    with RunStore.open(tmp_path / "out.vidnst"), pytest.raises(RunError, match=str(os.getpid())):
        vidnst.render(burst, style=style, output=tmp_path / "out", config=config)


def test_too_little_disk_space_is_refused_at_start(
    burst: Path, style: Path, config: RenderConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(DiskFullError, match="are free"):
        vidnst.render(burst, style=style, output=tmp_path / "out", config=config)
    assert not (tmp_path / "out.vidnst").exists()


def test_noise_is_same_in_all_frames_and_depends_on_seed(style: Path, tmp_path: Path) -> None:
    still = tmp_path / "still"
    still.mkdir()
    for number in range(2):
        cv2.imwrite(str(still / f"{number}.png"), np.full((48, 64, 3), 120, np.uint8))

    def frames(seed: int) -> list[bytes]:
        optimize = {"iterations": 3, "init": "noise", "seed": seed, "scales": 1}
        config = quick_config(SETTINGS, optimize=optimize, schedule={"kind": "independent"})
        vidnst.render(still, style=style, output=tmp_path / f"out{seed}", config=config)
        return list(frame_files(tmp_path / f"out{seed}.vidnst").values())

    one, two = frames(1), frames(2)
    assert one[0] == one[1]
    assert one != two


def test_stop_while_measuring_leaves_a_finished_run(burst: Path, style: Path, tmp_path: Path) -> None:
    config = quick_config(SETTINGS, output={"measure": True, "keep_frames": False})
    output = tmp_path / "out.mp4"
    with pytest.raises(UnmeasuredError, match=r"out\.mp4 is finished; it was not measured.*vidnst measure") as caught:
        vidnst.render(burst, style=style, output=output, config=config, **stop_after(0, stage="measuring file"))
    assert caught.value.exit_code == 130
    with RunStore.open(run_folder(output)) as store:
        assert store.complete
        assert store.frames_kept == 0
    assert vidnst.measure(output, with_losses=False).frames == FRAMES


@pytest.mark.parametrize(("stops", "error"), [(True, CancelledError), (False, FarmError)])
def test_workers_that_a_stop_ended_first_are_no_error(
    stops: bool,
    error: type[Exception],
    burst: Path,
    style: Path,
    config: RenderConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def prepare(*_: object, **__: object) -> None:
        raise FarmError("the workers have ended")

    monkeypatch.setattr("vidnst.rendering.pipeline.prepare_render", prepare)
    with pytest.raises(error):
        vidnst.render(burst, style=style, output=tmp_path / "out", config=config, cancelled=lambda: stops)


@pytest.mark.parametrize("change", [{"end": "6"}, {"start": "1"}, {"start": "1", "end": "9"}])
def test_another_range_goes_on_with_independent_frames(
    burst: Path, style: Path, tmp_path: Path, change: dict[str, str]
) -> None:
    alone = quick_settings(SETTINGS, schedule={"kind": "independent"})
    with pytest.raises(CancelledError):
        vidnst.render(burst, style=style, output=tmp_path / "out", config=quick_config(alone), **stop_after(3))
    run = run_folder(tmp_path / "out")
    begun = done_nodes(run)
    changed = quick_config(alone, input=change)
    vidnst.render(burst, style=style, output=tmp_path / "out", config=changed)
    vidnst.render(burst, style=style, output=tmp_path / "whole", config=changed)
    whole = frame_files(run_folder(tmp_path / "whole"))
    found = frame_files(run)
    assert {index: found[index] for index in whole} == whole
    assert len(done_nodes(run)) == len(set(done_nodes(run)))
    assert len(begun) >= 3
    assert len(list((tmp_path / "out").iterdir())) == len(whole)


def test_another_range_is_refused_where_it_changes_frames(
    burst: Path, style: Path, config: RenderConfig, tmp_path: Path
) -> None:
    with pytest.raises(CancelledError):
        vidnst.render(burst, style=style, output=tmp_path / "out", config=config, **stop_after(3))
    for changed in (quick_config(SETTINGS, input={"end": "6"}), quick_config(SETTINGS, input={"start": "1"})):
        with pytest.raises(RunError, match="is of another render: input"):
            vidnst.render(burst, style=style, output=tmp_path / "out", config=changed)
