"""A whole render on real Ray actors."""

import json
import os
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torchvision.models.optical_flow import raft_small

import vidnst
from vidnst.config.loader import build_config
from vidnst.errors import FarmError
from vidnst.events import Event, NodeStarted, WorkerDied

pytestmark = pytest.mark.ray

LOOK = {
    "losses": {"style_layers": {"relu1_1": 1}, "content_layers": {"relu2_1": 1}},
    "optimize": {"iterations": 6, "scales": 1},
    "model": {"weights": "random"},
    "output": {"keep_frames": True},
}
FRAMES = 6


@pytest.fixture
def burst(tmp_path: Path) -> Path:
    folder = tmp_path / "burst"
    folder.mkdir()
    big = cv2.resize(np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8), (96, 64))
    for number in range(FRAMES):
        cv2.imwrite(str(folder / f"{number}.png"), np.roll(big, 2 * number, axis=1))
    cv2.imwrite(str(tmp_path / "style.png"), np.kron(big[:8, :8], np.ones((8, 8, 1))))
    return folder


def worker_processes() -> list[int]:
    """Processes of stylizing actors below this one."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if words.startswith(b"ray::") and b"_Actor" in words:
                found.append(int(entry.name))
    return found


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the actors' processes in /proc")
def test_when_actors_die_in_mid_run_nothing_is_missing_and_the_log_says_so(burst: Path, tmp_path: Path) -> None:
    config = build_config({**LOOK, "farm": {"executor": "inline", "threads": 1}})
    vidnst.render(burst, style=tmp_path / "style.png", output=tmp_path / "quiet", config=config)
    seen: list[Event] = []

    def kill_once(event: Event) -> None:
        seen.append(event)
        if isinstance(event, NodeStarted) and sum(isinstance(other, NodeStarted) for other in seen) == 6:
            for process in worker_processes():
                os.kill(process, signal.SIGKILL)

    config = build_config({**LOOK, "farm": {"threads": 1}})
    vidnst.render(burst, style=tmp_path / "style.png", output=tmp_path / "out", config=config, on_event=kill_once)
    assert any(isinstance(event, WorkerDied) for event in seen)
    log = [json.loads(line) for line in (tmp_path / "out.vidnst" / "events.jsonl").read_text().splitlines()]
    assert any(line["kind"] == "died" for line in log)
    for number in range(FRAMES):
        name = f"{number:06d}.png"
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "quiet" / name).read_bytes()


def test_more_gpus_than_there_are_is_an_error_that_counts_them(burst: Path, tmp_path: Path) -> None:
    config = build_config({**LOOK, "farm": {"device": "cuda", "workers": 64}})
    with pytest.raises(FarmError, match=r"64 workers .* there are \d+ GPU"):
        vidnst.render(burst, style=tmp_path / "style.png", output=tmp_path / "out", config=config)
    assert not (tmp_path / "out").exists()


def test_raft_s_flows_are_the_same_in_actors_as_in_threads(burst: Path, tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        torch.save(raft_small(weights=None).state_dict(), tmp_path / "raft.pth")
    motion = {"method": "raft", "raft_weights": str(tmp_path / "raft.pth")}
    for executor in ("ray", "inline"):
        config = build_config({**LOOK, "motion": motion, "farm": {"executor": executor, "device": "cpu", "threads": 1}})
        vidnst.render(burst, style=tmp_path / "style.png", output=tmp_path / executor, config=config)
    for path in sorted((tmp_path / "ray").iterdir()):
        assert path.read_bytes() == (tmp_path / "inline" / path.name).read_bytes(), path.name
