"""What the parts work with: frames, styles, filters, settings, jobs. Everything is drawn and seeded."""

import threading
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import torch
from bench.gpu_check.check import Check, Size
from numpy.typing import NDArray
from torch import Tensor

from vidnst.config import RenderConfig
from vidnst.config.loader import build_config
from vidnst.farm.jobs import Stylized, StylizeJob
from vidnst.farm.plan import StateId
from vidnst.farm.workers import StyleWorker, StyleWorkerFactory
from vidnst.frames import to_16_bits
from vidnst.motion.blend import WarmSource
from vidnst.motion.flow import estimate_pair
from vidnst.motion.quality_gate import thumbnail_luma
from vidnst.style.losses.objective import Objective, WarmStart
from vidnst.style.network.weights import load_features, resolve_weights
from vidnst.style.stylizer import Stylizer
from vidnst.style.tensors import from_pixels

KINDS = ("gram", "moments", "mmd_linear", "mmd_polynomial", "mmd_gaussian", "wasserstein", "sliced")
"""All statistics of the style loss."""
_STEP_PX, _WAY_PX = 2, 240


def frame(size: Size, number: int = 0) -> NDArray[np.uint8]:
    """A frame `(H, W, 3)` of a textured scene that moves sideways, forth and back; read-only, as Ray's are."""
    way = _STEP_PX * number % (2 * _WAY_PX)
    left = min(way, 2 * _WAY_PX - way)
    picture = np.ascontiguousarray(_scene(size)[:, left : left + size[0]])
    picture.setflags(write=False)
    return picture


@lru_cache(maxsize=8)
def _scene(size: Size) -> NDArray[np.uint8]:
    """All that frames of a size show."""
    width, height = size
    random = np.random.default_rng(5)
    area = (height, width + _WAY_PX)
    total = np.zeros((*area, 3), np.float32)
    for cell in (4, 16, 64):
        noise = random.normal(0, 1, (-(-area[0] // cell) + 1, -(-area[1] // cell) + 1, 3)).astype(np.float32)
        total += cv2.resize(noise, area[::-1], interpolation=cv2.INTER_CUBIC) * np.float32(cell**0.4)
    total = (total - total.min()) / (total.max() - total.min())
    return np.asarray(total * 255, np.uint8)


def style_picture(side: int = 256) -> NDArray[np.uint8]:
    """A style of few hard colours."""
    return frame((side, side)) // 64 * 85


def styles() -> list[tuple[NDArray[np.uint8], float]]:
    """One style with its weight."""
    return [(style_picture(), 1.0)]


def backbone(check: Check) -> str:
    """VGG19, or in a dry run the small network."""
    return "slim" if check.dry else "vgg19"


def features(check: Check) -> Any:
    """The filters of the network that is checked."""
    return _features(check.options.weights, backbone(check))


@lru_cache(maxsize=2)
def _features(weights: str | None, network: str) -> Any:
    return load_features(resolve_weights(weights, backbone=network, download=False), "relu5_1", backbone=network)


def config_of(check: Check, **sections: dict[str, Any]) -> RenderConfig:
    """The defaults at one scale that never stop early, with what is different."""
    values: dict[str, dict[str, Any]] = {
        "optimize": {"scales": 1, "tolerance": 0.0},
        "model": {"backbone": backbone(check)},
        "farm": {"executor": "inline", "device": check.device.type},
    }
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section}
    return build_config(values)


def stylizer_of(check: Check, config: RenderConfig, device: torch.device | None = None) -> Stylizer:
    """A stylizer on the device that is checked, or on another."""
    return Stylizer(features(check), styles(), config, device=device or check.device)


def content_of(check: Check, size: Size, device: torch.device | None = None) -> Tensor:
    """A frame as a tensor."""
    return from_pixels(frame(size), device or check.device)


def warm_start(size: Size, device: torch.device, *, lit: bool = False) -> WarmStart:
    """A random start, on request with changing light and static areas."""
    generator = torch.Generator().manual_seed(1)
    width, height = size

    def random(channels: int) -> Tensor:
        return torch.rand(1, channels, height, width, generator=generator).to(device)

    start = WarmStart(random(3), random(1), hold=1.5, rate=0.35)
    if not lit:
        return start
    return WarmStart(start.picture, start.mask, light=random(1) - 0.5, still=random(1))


def losses_and_gradient(objective: Objective, picture: Tensor) -> tuple[dict[str, float], Tensor]:
    """The terms of a picture, and the gradient of their total."""
    leaf = picture.detach().requires_grad_(True)
    terms = objective(leaf)
    (gradient,) = torch.autograd.grad(terms["total"] * picture.numel(), leaf)
    return {name: float(value.detach()) for name, value in terms.items()}, gradient


def jobs_of(count: int, size: Size, *, iterations: int = 4, with_sources: bool = False) -> list[StylizeJob]:
    """Jobs of a pass: each frame's own state, and its two neighbours' along flows."""
    before, here, after = (frame(size, number) for number in range(3))
    flows = [estimate_pair(here, other).forward for other in (before, after)]
    states = [to_16_bits(np.ascontiguousarray(255 - pixels)) for pixels in (here, before, after)]
    sources = [pixels if with_sources else None for pixels in (here, before, after)]
    starts = tuple(
        WarmSource(state, flow, 1.0, source)
        for state, flow, source in zip(states, (None, *flows), sources, strict=True)
    )
    thumbnails = (None, thumbnail_luma(before), thumbnail_luma(after))
    return [
        StylizeJob(StateId(number), here, starts, iterations, number, hold=1.5, rate=0.35, source_thumbnails=thumbnails)
        for number in range(count)
    ]


def worker_of(check: Check, config: RenderConfig) -> StyleWorker:
    """A stylizing worker as a render makes it."""
    return StyleWorkerFactory(config, features(check), styles())()


def stylize(worker: StyleWorker, job: StylizeJob) -> Stylized:
    """Do a job as a pool does it."""
    result = worker.run(job)
    assert isinstance(result, Stylized)
    return result


def run_with_hands(worker: StyleWorker, jobs: Sequence[StylizeJob], hands: int) -> tuple[float, list[Stylized]]:
    """Seconds in which so many threads do jobs on one worker, and the results in order."""
    todo, lock = list(enumerate(jobs)), threading.Lock()
    done: dict[int, Stylized] = {}
    errors: list[BaseException] = []

    def work() -> None:
        while True:
            with lock:
                if not todo or errors:
                    return
                number, job = todo.pop(0)
            try:
                done[number] = stylize(worker, job)
            except BaseException as error:
                errors.append(error)
                return

    threads = [threading.Thread(target=work) for _ in range(hands)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return time.perf_counter() - began, [done[number] for number in range(len(jobs))]
