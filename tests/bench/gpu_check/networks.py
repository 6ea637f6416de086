"""Transform networks: some steps of a training, painting, and the network that ships, against the CPU."""

import numpy as np
import torch
from bench.gpu_check.check import Check, gib
from bench.gpu_check.findings import FAIL
from bench.gpu_check.material import config_of, frame, styles, worker_of
from numpy.typing import NDArray

from vidnst.config import RenderConfig
from vidnst.config.loader import with_settings
from vidnst.farm.jobs import PaintJob, Shared, Stylized, Trained, TrainingPair, TrainJob
from vidnst.farm.plan import NetworkId, StateId
from vidnst.farm.workers import StyleWorker, StyleWorkerFactory
from vidnst.motion.flow import estimate_pair
from vidnst.style.network.weights import load_features, resolve_weights

_CPU_MEAN = 1.0
"""Largest mean difference from the CPU's painting, in levels of 255."""


def check_network(check: Check) -> None:
    """Train a few steps twice and paint with the result."""
    size = (96, 80) if check.dry else (640, 360)
    steps = 2 if check.dry else 16
    training = {"steps": 2 * steps, "stage_steps": steps, "alone": 0.5, "crop": 64 if check.dry else 448}
    config = config_of(check, schedule={"kind": "network", "training": training})
    one, two = (_train(worker_of(check, config), config, size) for _ in range(2))
    same = all(np.array_equal(a.state, b.state) for a, b in zip(one, two, strict=True))
    check.judge("a training, twice", "the same bytes" if same else "other weights", same, bad=FAIL)
    losses = [stage.losses["total"] for stage in one[1:]]
    seconds = min(stage.seconds for stage in two[1:]) / steps
    check.keep(seconds_per_step=seconds, losses=losses)
    shown = " to ".join(f"{loss:.3f}" for loss in losses)
    check.judge(
        f"{2 * steps} steps at {size[0]}x{size[1]}", f"{seconds * 1e3:.1f} ms each; loss {shown}", _finite(losses)
    )
    _paint(check, config, one[-1].state)


def check_instant(check: Check) -> None:
    """What `--engine instant` does: the network that ships measures the clip, then paints."""
    size = (96, 80) if check.dry else (640, 360)
    training = {"start": "pretrained", "steps": 0}
    config = config_of(
        check, model={"backbone": "slim"}, schedule={"kind": "network", "passes": 0, "training": training}
    )
    states = []
    for device in (check.device.type, "cpu"):
        on_device = with_settings(config, {"farm.device": device})
        worker = _slim_worker(on_device)
        states.append(_train(worker, on_device, size)[-1].state)
    scale = float(np.abs(states[1]).max())
    off = float(np.abs(states[0] - states[1]).max())
    check.judge("the measured network against the CPU's", f"off by up to {off:.1e} of {scale:.1f}", off < 1e-2 * scale)
    _paint(check, config, states[0])


def _slim_worker(config: RenderConfig) -> StyleWorker:
    """A worker with the small network for the losses, whatever the settings say: painting asks for none."""
    config = with_settings(config, {"model.backbone": "slim", "model.weights": None})
    features = load_features(resolve_weights(None, backbone="slim"), "relu5_1", backbone="slim")
    return StyleWorkerFactory(config, features, styles())()


def _train(worker: StyleWorker, config: RenderConfig, size: tuple[int, int]) -> list[Trained]:
    frames = (frame(size, 1), frame(size))
    pairs = (TrainingPair(0, 1, estimate_pair(*frames)),)
    state: NDArray[np.float32] | None = None
    stages = []
    for stage in range(1, config.schedule.training.stages + 1):
        job = TrainJob(NetworkId(0, stage), state, frames, (None, None), pairs, seed=0)
        trained = worker.run(job)
        assert isinstance(trained, Trained)
        state = trained.state
        stages.append(trained)
    return stages


def _paint(check: Check, config: RenderConfig, network: NDArray[np.float32]) -> None:
    """The same bytes every time, nearly those of a CPU, whole and in tiles."""
    size = check.size_720p
    job = PaintJob(StateId(0), frame(size), Shared("", network))
    worker = worker_of(check, config) if config.model.backbone != "slim" else _slim_worker(config)
    one, two = (worker.run(job) for _ in range(2))
    assert isinstance(one, Stylized)
    assert isinstance(two, Stylized)
    same = np.array_equal(one.state, two.state)
    check.judge("a painted frame, twice", "the same bytes" if same else "other bytes", same, bad=FAIL)
    on_cpu = with_settings(config, {"farm.device": "cpu"})
    there = _slim_worker(on_cpu).run(job)
    assert isinstance(there, Stylized)
    off = np.abs(one.state.astype(np.float32) - there.state.astype(np.float32)) / 257
    text = f"off by up to {off.max():.2f} levels of 255, {off.mean():.4f} in the mean"
    check.judge("a painted frame against a CPU's", text, float(off.mean()) < _CPU_MEAN, bad=FAIL)
    peak = check.peak_gib(lambda: worker.run(job))
    seconds = check.shortest_seconds(lambda: worker.run(job))
    check.keep(painting_ms=seconds * 1e3, peak_gib=peak)
    check.say(f"a painted frame of {size[0]}x{size[1]}", f"{seconds * 1e3:.1f} ms, peak {gib(peak)}")
    if not check.dry:
        _paint_4k(check, worker, network)


def _paint_4k(check: Check, worker: StyleWorker, network: NDArray[np.float32]) -> None:
    job = PaintJob(StateId(1), frame((3840, 2160)), Shared("", network))
    seconds = check.shortest_seconds(lambda: worker.run(job), tries=2)
    peak = check.peak_gib(lambda: worker.run(job))
    check.keep(painting_4k_ms=seconds * 1e3, peak_4k_gib=peak)
    check.say("a painted frame of 3840x2160, in tiles", f"{seconds * 1e3:.1f} ms, peak {gib(peak)}")
    torch.cuda.empty_cache()


def _finite(losses: list[float]) -> bool:
    return bool(np.isfinite(losses).all())
