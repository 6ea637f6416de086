"""Times the optimisation of one frame, and compares it with the machine's arithmetic rate."""

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
from vidnst.tools.bench.machine import peak_memory, time_call

_ROUNDS = 3
_DEFAULT_SIZES = {
    "cpu": ("256x144", "640x360"),
    "cuda": ("256x144", "640x360", "1280x720", "1920x1080"),
}


def parse_sizes(texts: Sequence[str], device: torch.device) -> list[tuple[int, int]]:
    """Parse sizes, each once; no texts give sizes that suit the device."""
    return list(dict.fromkeys(parse_size(text) for text in texts or _DEFAULT_SIZES[device.type]))


def parse_size(text: str) -> tuple[int, int]:
    """Parse width and height from a text like `640x360`.

    Raises:
        ConfigError: it is no size, or one outside the limits.
    """
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and 32 <= int(width) <= 16384 and 32 <= int(height) <= 16384):
        raise ConfigError(f"--size {text!r} is not WIDTHxHEIGHT", "write for example 640x360")
    return int(width), int(height)


def time_frame(
    stylizer: Stylizer, config: RenderConfig, device: torch.device, size: tuple[int, int], *, rate: float, count: int
) -> dict[str, Any]:
    """Time the optimisation of a frame; the row is in plain JSON values.

    Args:
        stylizer: with one style, at one scale, that never stops early.
        config: the stylizer's.
        size: width and height in pixels.
        rate: floating point operations per second of the machine's matrix product in the precision of the maps.
        count: evaluations in each of three rounds, of which the median counts. As in a render the content's features
            are computed once before them, and the last has no gradient: of ten, the two are a fiftieth together.
    """
    width, height = size
    pixels = noise_image(height, width, seed=2)
    content = from_pixels(pixels, device)
    with peak_memory(device) as peak:
        stylizer.stylize(content, iterations=2, seed=0)  # computes targets, loads kernels, allocates memory
        run = lambda: stylizer.stylize(content, iterations=count, seed=0)  # noqa: E731
        rounds = [time_call(run, device) / count for _ in range(_ROUNDS)]
    per_iteration = median(rounds)
    operations = 2 * BACKBONES[config.model.backbone].flops(height, width, last_layer(config))
    flow_seconds, warp_seconds = _time_flow_and_warp(pixels)
    return {
        "size": f"{width}x{height}",
        "seconds_per_iteration": per_iteration,
        "spread": (max(rounds) - min(rounds)) / per_iteration,
        "seconds_per_cold_frame": per_iteration * RenderConfig().optimize.iterations,
        "seconds_per_warm_frame": per_iteration * RenderConfig().evaluations(Role.WARM) + warp_seconds,
        "flow_seconds": flow_seconds,
        "warp_seconds": warp_seconds,
        "gflop_per_iteration": operations / 1e9,
        "share_of_matrix_rate": operations / rate / per_iteration,
        "memory_gib": peak.gib,
    }


def single_scale_config(backbone: str) -> RenderConfig:
    """The defaults at one scale, without stopping early."""
    values = {"optimize": {"scales": 1, "tolerance": 0}, "model": {"backbone": backbone}}
    return RenderConfig.model_validate(values)


def noise_image(height: int, width: int, *, seed: int) -> Pixels:
    """Random pixels `(height, width, 3)` uint8."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def _time_flow_and_warp(pixels: Pixels) -> tuple[float, float]:
    began = time.perf_counter()
    flow = estimate_flow(pixels, np.roll(pixels, 3, axis=1))
    estimated = time.perf_counter()
    warp(to_float(pixels), flow)
    return estimated - began, time.perf_counter() - estimated
