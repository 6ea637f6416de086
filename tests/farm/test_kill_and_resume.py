"""A process that is killed at any moment loses only what is in flight, and ends with the same bytes."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from support import killable_render

from vidnst.runs import RunStore
from vidnst.runs.event_log import read_events

FRAMES = killable_render.SHOTS[-1].end


def start(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, killable_render.__file__, str(folder)], stderr=subprocess.PIPE)


def finish(folder: Path) -> None:
    with start(folder) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors.decode()


def frames_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "frames").iterdir()}


def done_in(folder: Path) -> Counter[str]:
    path = folder / "events.jsonl"
    if not path.exists():
        return Counter()
    return Counter(event["node"] for event in read_events(path) if event["kind"] == "done")


def kill_after(folder: Path, nodes: int, seconds: float) -> None:
    """Kill a fresh process once it has finished some nodes, and a little later."""
    before = done_in(folder).total()
    with start(folder) as process:
        while process.poll() is None and done_in(folder).total() < before + nodes:
            time.sleep(0.002)
        time.sleep(seconds)
        process.kill()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    finish(folder)
    frames = frames_of(folder)
    assert len(frames) == FRAMES
    return frames


def test_killed_runs_resume_to_the_same_bytes(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    moments = random.Random(5)
    for nodes in (0, 4, 9, 11):
        kill_after(tmp_path / "run", nodes, moments.uniform(0, 0.02))
    killed_with = done_in(tmp_path / "run").total()
    assert 0 < killed_with < FRAMES
    finish(tmp_path / "run")
    assert frames_of(tmp_path / "run") == undisturbed
    assert done_in(tmp_path / "run") == Counter({f"{frame}.0": 1 for frame in range(FRAMES)})
    assert not list((tmp_path / "run" / "state").iterdir())


KILLED_WHILE_RESULTS_WAIT = """
import os, signal, sys, time
from pathlib import Path
from support import killable_render
from vidnst.runs import RunStore, Writer

place, folder = sys.argv[1], Path(sys.argv[2])
writers, calls = [], 0
keep = Writer.keep

def noted(writer, result):
    writers[:] = [writer]
    keep(writer, result)

def slow(real, here):
    def call(store, *args, **options):
        global calls
        time.sleep(0.02)
        calls += here
        patience = time.monotonic() + 0.5
        while here and calls >= 4 and not writers[0]._queue and time.monotonic() < patience:
            time.sleep(0.002)  # on a busy machine results come more slowly than they are written
        if here and calls >= 4 and writers[0]._queue:
            print(len(writers[0]._waiting), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return real(store, *args, **options)
    return call

Writer.keep = noted
for name in ("write", "record_done", "release"):
    setattr(RunStore, name, slow(getattr(RunStore, name), name == place))
killable_render.main(folder)
"""


@pytest.mark.parametrize("place", ["write", "record_done", "release"])
def test_only_unwritten_results_are_made_again(place: str, tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    command = [sys.executable, "-c", KILLED_WHILE_RESULTS_WAIT, place, str(tmp_path / "run")]
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run(command, capture_output=True, check=False, env=paths, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert int(killed.stdout) > 0
    before = done_in(tmp_path / "run")
    assert 0 < before.total() < FRAMES
    finish(tmp_path / "run")
    assert frames_of(tmp_path / "run") == undisturbed
    assert done_in(tmp_path / "run") == Counter({f"{frame}.0": 1 for frame in range(FRAMES)})


def test_deleted_frame_is_rendered_to_the_same_bytes(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    finish(tmp_path / "run")
    (tmp_path / "run" / "frames" / "00000040.png").unlink()
    finish(tmp_path / "run")
    assert frames_of(tmp_path / "run") == undisturbed
    again = {node for node, times in done_in(tmp_path / "run").items() if times == 2}
    assert again == {f"{frame}.0" for frame in range(26, 41)}  # from the start of its shot, and no frame after it


def test_two_processes_cannot_render_into_one_folder(tmp_path: Path) -> None:
    with start(tmp_path / "run") as first:
        while first.poll() is None and not done_in(tmp_path / "run"):
            time.sleep(0.005)
        os.kill(first.pid, signal.SIGSTOP)  # else it may be done before the second one has begun
        with start(tmp_path / "run") as second:
            _, errors = second.communicate(timeout=60)
        first.kill()
    assert f"is in use by process {first.pid} on" in errors.decode()
    with RunStore.open(tmp_path / "run") as store:  # the killed process does not block
        assert store.folder == tmp_path / "run"
