"""How fast one frame is optimised, against what the machine's arithmetic allows."""

import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np
import torch

from vidnst.config import RenderConfig, Role
from vidnst.errors import ConfigError
from vidnst.frames import Pixels, to_float
from vidnst.motion.flow import estimate_flow
from vidnst.motion.warp import warp
from vidnst.style.network.backbones import BACKBONES, last_layer
from vidnst.style.stylizer import Stylizer
from vidnst.style.tensors import from_pixels
from vidnst.tools.bench.machine import peak_memory, timed

_ROUNDS = 3
_SIZES = {
    "cpu": ("256x144", "640x360"),
    "cuda": ("256x144", "640x360", "1280x720", "1920x1080"),
}


def usual_sizes(device: torch.device) -> tuple[str, ...]:
    """Sizes that suit a device."""
    return _SIZES[device.type]


def parse_size(text: str) -> tuple[int, int]:
    """Width and height out of a text like `640x360`.

    Raises:
        ConfigError: it says none, or one that is out of limits.
    """
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and 32 <= int(width) <= 16384 and 32 <= int(height) <= 16384):
        raise ConfigError(f"--size {text!r} is not WIDTHxHEIGHT", "write for example 640x360")
    return int(width), int(height)


def speed_row(
    stylizer: Stylizer, config: RenderConfig, device: torch.device, size: tuple[int, int], *, rate: float, count: int
) -> dict[str, Any]:
    """Time the optimisation of a frame, as plain JSON.

    Args:
        stylizer: with one style, at one scale, that never stops early.
        config: the stylizer's.
        size: width and height in pixels.
        rate: floating point operations per second of the machine's matrix product.
        count: evaluations in each of three rounds; the middle one counts. As in a render the content is looked at once
            before them, and the last has no gradient: of ten, the two are a fiftieth together.
    """
    width, height = size
    pixels = noise(height, width, seed=2)
    content = from_pixels(pixels, device)
    with peak_memory(device) as peak:
        stylizer.stylize(content, iterations=2, seed=0)  # targets, kernels, memory
        run = lambda: stylizer.stylize(content, iterations=count, seed=0)  # noqa: E731
        rounds = [timed(run, device) / count for _ in range(_ROUNDS)]
    per_iteration = median(rounds)
    operations = 2 * BACKBONES[config.model.backbone].flops(height, width, last_layer(config))
    fetch = _fetch_seconds(pixels)
    return {
        "size": f"{width}x{height}",
        "seconds_per_iteration": per_iteration,
        "spread": (max(rounds) - min(rounds)) / per_iteration,
        "seconds_per_cold_frame": per_iteration * RenderConfig().optimize.iterations,
        "seconds_per_warm_frame": per_iteration * RenderConfig().evaluations(Role.WARM) + fetch["warp"],
        "flow_seconds": fetch["flow"],
        "warp_seconds": fetch["warp"],
        "gflop_per_iteration": operations / 1e9,
        "share_of_matrix_rate": operations / rate / per_iteration,
        "memory_gib": peak.gib,
    }


def bare_config(backbone: str, **optimize: Any) -> RenderConfig:
    """The defaults at one scale, without stopping early."""
    values = {"optimize": {"scales": 1, "tolerance": 0, **optimize}, "model": {"backbone": backbone}}
    return RenderConfig.model_validate(values)


def noise(height: int, width: int, *, seed: int) -> Pixels:
    """`(height, width, 3)` uint8."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def _fetch_seconds(pixels: Pixels) -> dict[str, float]:
    began = time.perf_counter()
    flow = estimate_flow(pixels, np.roll(pixels, 3, axis=1))
    found = time.perf_counter()
    warp(to_float(pixels), flow)
    return {"flow": found - began, "warp": time.perf_counter() - found}


def chosen_sizes(sizes: Sequence[str] | None, device: torch.device) -> list[tuple[int, int]]:
    """Sizes as they were asked for, each once, or those that suit the device."""
    return list(dict.fromkeys(parse_size(text) for text in sizes or usual_sizes(device)))
