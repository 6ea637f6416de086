"""A render that is killed, stopped, or told to be another one: what is lost, what goes on, what is refused."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.media import write_burst, write_style
from support.renders import done_nodes, frame_files

import vidnst
from vidnst.config import RenderConfig
from vidnst.config.loader import build_config
from vidnst.errors import CancelledError, DiskFullError, OutputError, RunError
from vidnst.events import Event, FrameDone, RunStarted
from vidnst.farm.plan import StateId, plan_shot
from vidnst.frames import Shot
from vidnst.rendering.pipeline import run
from vidnst.runs import RunStore
from vidnst.runs.async_writer import WriteLimits
from vidnst.runs.request import recall_request

FRAMES = 10
NODES = sum(isinstance(node.id, StateId) for node in plan_shot(RenderConfig().schedule, Shot(0, FRAMES)))
LOOK = {
    "losses": {"style_layers": {"relu1_1": 1, "relu2_1": 1}, "content_layers": {"relu2_1": 1}},
    "optimize": {"iterations": 12, "scales": 2},
    "model": {"weights": "random"},
    "farm": {"executor": "inline", "threads": 1},
    "output": {"keep_frames": True},
}


@pytest.fixture(scope="module")
def burst(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_burst(tmp_path_factory.mktemp("burst"), FRAMES, size=(96, 64), cells=(12, 16))


@pytest.fixture(scope="module")
def style(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_style(tmp_path_factory.mktemp("style") / "style.png")


@pytest.fixture(scope="module")
def config() -> RenderConfig:
    return build_config(LOOK)


@pytest.fixture(scope="module")
def undisturbed(burst: Path, style: Path, config: RenderConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a render that nothing happened to."""
    output = tmp_path_factory.mktemp("undisturbed") / "out"
    vidnst.render(burst, style=style, output=output, config=config)
    return output.with_name("out.vidnst")


@pytest.mark.slow
def test_killed_at_random_moments_a_run_goes_on_to_the_same_bytes(
    burst: Path, style: Path, undisturbed: Path, config: RenderConfig, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    settings = tmp_path / "settings.yaml"
    settings.write_text(json.dumps(LOOK))  # JSON is YAML
    command = [sys.executable, "-m", "vidnst", "render", str(burst), "--style", str(style), "-o", str(output)]
    command += ["--config", str(settings)]
    events = output.with_name("out.vidnst") / "events.jsonl"
    moments = random.Random(5)
    for kill in (2, 15, 30):  # of 80: what is left takes several times as long as the wait
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not events.exists() or events.read_text().count('"done"') < kill:
            assert process.poll() is None, "the render ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.05))
        process.kill()
        assert process.wait() == -signal.SIGKILL
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert frame_files(output.with_name("out.vidnst")) == frame_files(undisturbed)
    done = done_nodes(output.with_name("out.vidnst"))
    assert len(set(done)) == NODES
    assert len(done) <= NODES + 3 * 2  # at most what two workers have in flight is lost with each kill
    assert [path.read_bytes() for path in sorted(output.iterdir())] == list(frame_files(undisturbed).values())


KILLED_AT_THE_END = """
import os, signal, sys
from vidnst.__main__ import main
from vidnst.runs import RunStore

def die(store, *, keep):
    os.kill(os.getpid(), signal.SIGKILL)

RunStore.finish = die
main()
"""


@pytest.mark.slow
def test_killed_with_the_output_in_its_place_a_run_goes_on_and_takes_it_for_its_own(
    burst: Path, style: Path, undisturbed: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    settings = tmp_path / "settings.yaml"
    settings.write_text(json.dumps(LOOK))
    arguments = ["render", str(burst), "--style", str(style), "-o", str(output), "--config", str(settings)]
    killed = subprocess.run([sys.executable, "-c", KILLED_AT_THE_END, *arguments], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert output.is_dir()
    done = done_nodes(output.with_name("out.vidnst"))
    subprocess.run([sys.executable, "-m", "vidnst", *arguments], check=True, stdout=subprocess.DEVNULL)
    assert done_nodes(output.with_name("out.vidnst")) == done
    assert [path.read_bytes() for path in sorted(output.iterdir())] == list(frame_files(undisturbed).values())
    again = subprocess.run([sys.executable, "-m", "vidnst", *arguments], capture_output=True, text=True, check=False)
    assert "exists already" in again.stderr  # once all is done, it is a finished work like any other


def test_what_comes_to_lie_where_an_encode_failed_is_not_replaced(
    burst: Path, style: Path, config: RenderConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **options: object) -> None:
        raise DiskFullError("no space left", "make room")

    with monkeypatch.context() as patch:
        patch.setattr("vidnst.media.output.encode.encode", fail)
        with pytest.raises(DiskFullError):
            vidnst.render(burst, style=style, output=tmp_path / "out", config=config)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "000001.png").write_bytes(b"somebody's")
    with pytest.raises(OutputError, match="exists already"):
        vidnst.render(burst, style=style, output=tmp_path / "out", config=config)
    vidnst.render(burst, style=style, output=tmp_path / "out", config=config, overwrite=True)


@pytest.fixture
def promptly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has every result written before the next one is taken, so that what is told is never far behind what is made."""
    monkeypatch.setattr("vidnst.runs.async_writer._ROOM", WriteLimits(1))


def stop_after(count: int) -> tuple[Callable[[Event], None], Callable[[], bool]]:
    """A listener that counts frames, and a question that says stop after so many."""
    seen = 0

    def listen(event: Event) -> None:
        nonlocal seen
        seen += isinstance(event, FrameDone)

    return listen, lambda: seen >= count


@pytest.mark.usefixtures("promptly")
def test_a_stopped_run_is_gone_on_with_by_its_folder_alone(
    burst: Path, style: Path, undisturbed: Path, config: RenderConfig, tmp_path: Path
) -> None:
    listen, stop = stop_after(3)
    with pytest.raises(CancelledError, match=r"go on with: vidnst resume .*out\.vidnst"):
        vidnst.render(burst, style=style, output=tmp_path / "out", config=config, on_event=listen, cancelled=stop)
    folder = tmp_path / "out.vidnst"
    assert 3 <= len(frame_files(folder)) < FRAMES
    before = len(frame_files(folder))
    seen: list[Event] = []
    run(recall_request(folder, {}), on_event=seen.append)
    (started,) = [event for event in seen if isinstance(event, RunStarted)]
    assert started.frames_done == before
    assert len(done_nodes(folder)) == NODES
    assert frame_files(folder) == frame_files(undisturbed)


def test_another_number_of_workers_changes_no_byte(burst: Path, style: Path, undisturbed: Path, tmp_path: Path) -> None:
    config = build_config({**LOOK, "farm": {"executor": "inline", "threads": 1, "workers": 3}})
    vidnst.render(burst, style=style, output=tmp_path / "out", config=config)
    assert frame_files(tmp_path / "out.vidnst") == frame_files(undisturbed)


@pytest.mark.usefixtures("promptly")
def test_a_deleted_frame_alone_is_made_again(
    burst: Path, style: Path, undisturbed: Path, config: RenderConfig, tmp_path: Path
) -> None:
    listen, stop = stop_after(6)
    with pytest.raises(CancelledError):
        vidnst.render(burst, style=style, output=tmp_path / "out", config=config, on_event=listen, cancelled=stop)
    folder = tmp_path / "out.vidnst"
    before = len(done_nodes(folder))
    (folder / "frames" / "00000002.png").unlink()
    vidnst.render(burst, style=style, output=tmp_path / "out", config=config)
    assert frame_files(folder) == frame_files(undisturbed)
    assert len(done_nodes(folder)) == NODES + 1
    assert before < NODES


@pytest.mark.parametrize("what", ["setting", "style", "source"])
def test_a_changed_render_is_refused_with_what_changed(
    what: str, burst: Path, style: Path, config: RenderConfig, tmp_path: Path
) -> None:
    listen, stop = stop_after(1)
    with pytest.raises(CancelledError):
        vidnst.render(burst, style=style, output=tmp_path / "out", config=config, on_event=listen, cancelled=stop)
    other = tmp_path / "other"
    other.mkdir()
    if what == "setting":
        config = build_config({**LOOK, "losses": {**LOOK["losses"], "tv_weight": 0.7}})  # type: ignore[dict-item]
    elif what == "style":
        cv2.imwrite(str(other / style.name), cv2.imread(str(style))[::-1])
        style = other / style.name
    else:
        for path in burst.iterdir():
            cv2.imwrite(str(other / path.name), cv2.imread(str(path))[::-1])
        burst = other
    with pytest.raises(RunError) as caught:
        vidnst.render(burst, style=style, output=tmp_path / "out", config=config)
    word = {"setting": "losses.tv_weight: 0.1 -> 0.7", "style": "style.png has other bytes", "source": "source"}[what]
    assert word.split(" ->")[0].split(": ")[0] in str(caught.value)
    assert "--restart" in str(caught.value)
    vidnst.render(burst, style=style, output=tmp_path / "out", config=config, restart=True)


def test_a_run_in_work_is_not_worked_on_twice(burst: Path, style: Path, config: RenderConfig, tmp_path: Path) -> None:
    listen, stop = stop_after(1)
    with pytest.raises(CancelledError):
        vidnst.render(burst, style=style, output=tmp_path / "out", config=config, on_event=listen, cancelled=stop)
    with RunStore.open(tmp_path / "out.vidnst"), pytest.raises(RunError, match=str(os.getpid())):
        vidnst.render(burst, style=style, output=tmp_path / "out", config=config)


def test_too_little_disk_is_said_before_the_start(
    burst: Path, style: Path, config: RenderConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    with pytest.raises(DiskFullError, match="are free"):
        vidnst.render(burst, style=style, output=tmp_path / "out", config=config)
    assert not (tmp_path / "out.vidnst").exists()


def test_noise_is_the_same_in_every_frame_and_another_with_another_seed(style: Path, tmp_path: Path) -> None:
    still = tmp_path / "still"
    still.mkdir()
    for number in range(2):
        cv2.imwrite(str(still / f"{number}.png"), np.full((48, 64, 3), 120, np.uint8))

    def look(seed: int) -> list[bytes]:
        values = {**LOOK, "optimize": {"iterations": 3, "init": "noise", "seed": seed, "scales": 1}}
        config = build_config({**values, "schedule": {"kind": "independent"}})
        vidnst.render(still, style=style, output=tmp_path / f"out{seed}", config=config)
        return list(frame_files(tmp_path / f"out{seed}.vidnst").values())

    one, two = look(1), look(2)
    assert one[0] == one[1]
    assert one != two
