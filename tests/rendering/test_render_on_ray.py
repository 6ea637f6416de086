"""Renders on real Ray actors."""

import os
import signal
from pathlib import Path

import pytest
import torch
from support.renders import logged_events, png_files, quick_config, quick_settings
from torchvision.models.optical_flow import raft_small

import vidnst
from vidnst.errors import FarmError, FramesFailedError
from vidnst.events import Event, FrameDone, NodeStarted, Paced, WorkerDied
from vidnst.processes.child_guard import CHILD_GUARD, family
from vidnst.rendering.pipeline import run
from vidnst.runs.request import Request

pytestmark = pytest.mark.ray

SETTINGS = quick_settings(optimize={"iterations": 6}, farm={"executor": "ray"})
FRAMES = 6


def worker_processes() -> list[int]:
    """Return the process ids of this process's Ray actors."""
    processes = []
    for process in family(CHILD_GUARD.mark()):
        try:
            words = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        except OSError:
            continue
        if words.startswith(b"ray::") and b"_Actor" in words:
            processes.append(process.pid)
    return processes


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the actors' processes in /proc")
def test_killed_actors_keep_bytes_and_are_logged(burst: Path, style: Path, tmp_path: Path) -> None:
    config = quick_config(SETTINGS, farm={"executor": "inline"})
    vidnst.render(burst, style=style, output=tmp_path / "undisturbed", config=config)
    seen: list[Event] = []

    def kill_once(event: Event) -> None:
        seen.append(event)
        if isinstance(event, NodeStarted) and sum(isinstance(other, NodeStarted) for other in seen) == 6:
            for process in worker_processes():
                os.kill(process, signal.SIGKILL)

    config = quick_config(SETTINGS)
    vidnst.render(burst, style=style, output=tmp_path / "out", config=config, on_event=kill_once)
    assert any(isinstance(event, WorkerDied) for event in seen)
    assert logged_events(tmp_path / "out.vidnst", "died")
    for number in range(FRAMES):
        name = f"{number:06d}.png"
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()


def test_time_left_comes_before_the_first_frame(burst: Path, style: Path, tmp_path: Path) -> None:
    heard: list[Event] = []
    request = Request(str(burst), (str(style),), tmp_path / "out", quick_config(SETTINGS))
    run(request, on_event=heard.append, forecaster=lambda checked: lambda node: 100.0)
    paced = [event for event in heard if isinstance(event, Paced)]
    assert paced[0].is_forecast
    assert paced[0].seconds_left is not None
    assert paced[0].seconds_left >= 100
    assert not paced[-1].is_forecast
    first = next(number for number, event in enumerate(heard) if isinstance(event, FrameDone))
    assert heard.index(paced[0]) < first


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the actors' processes in /proc")
def test_workers_killed_again_and_again_are_said(burst: Path, style: Path, tmp_path: Path) -> None:
    def kill(event: Event) -> None:
        if isinstance(event, NodeStarted):
            for process in worker_processes():
                os.kill(process, signal.SIGKILL)

    config = quick_config(SETTINGS, farm={"workers": 1})
    with pytest.raises((FarmError, FramesFailedError), match=r"workers are lost|failed"):
        vidnst.render(burst, style=style, output=tmp_path / "out", config=config, on_event=kill)
    vidnst.render(burst, style=style, output=tmp_path / "out", config=config)
    vidnst.render(burst, style=style, output=tmp_path / "undisturbed", config=config)
    assert png_files(tmp_path / "out") == png_files(tmp_path / "undisturbed")


def test_too_many_gpu_workers_are_refused_with_gpu_count(burst: Path, style: Path, tmp_path: Path) -> None:
    config = quick_config(SETTINGS, farm={"device": "cuda", "workers": 64, "threads": None})
    with pytest.raises(FarmError, match=r"there is no GPU|64 workers .* there are \d+ GPU"):
        vidnst.render(burst, style=style, output=tmp_path / "out", config=config)
    assert not (tmp_path / "out").exists()


def test_raft_flow_is_same_in_actors_and_threads(burst: Path, style: Path, tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        torch.save(raft_small(weights=None).state_dict(), tmp_path / "raft.pth")
    motion = {"method": "raft", "raft_weights": str(tmp_path / "raft.pth")}
    for executor in ("ray", "inline"):
        config = quick_config(SETTINGS, motion=motion, farm={"executor": executor, "device": "cpu"})
        vidnst.render(burst, style=style, output=tmp_path / executor, config=config)
    for path in sorted((tmp_path / "ray").iterdir()):
        assert path.read_bytes() == (tmp_path / "inline" / path.name).read_bytes(), path.name
