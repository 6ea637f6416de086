"""How fast this machine stylizes, against what its arithmetic allows. Speeds are ratios from one run."""

import platform
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch

from vidnst import __version__
from vidnst.config import RenderConfig
from vidnst.errors import ConfigError
from vidnst.farm.worker import pick_device
from vidnst.frames import Pixels, unit
from vidnst.motion.flow import estimate_flow
from vidnst.motion.warp import warp
from vidnst.style.layers import TOPOLOGIES, arithmetic
from vidnst.style.stylize import Stylizer, from_pixels, last_layer
from vidnst.style.weights import load_features, resolve_weights

_CPU_SIZES = ("256x144", "640x360")
_GPU_SIZES = (*_CPU_SIZES, "1280x720", "1920x1080")


def measure(
    *,
    sizes: Sequence[str] | None = None,
    weights: str | None = "random",
    backbone: Literal["vgg19", "slim"] = "vgg19",
    iterations: int = 10,
    threads: int | None = None,
) -> dict[str, Any]:
    """Time the optimisation at several sizes.

    Args:
        sizes: texts like `640x360`; None takes those that suit the device.
        weights, backbone: as for a render.
        iterations: loss evaluations timed at each size.
        threads: threads of torch on a CPU.

    Returns:
        Plain JSON: the machine, the rate of its matrix product, and a row for each size.
    """
    device = pick_device("auto")
    if threads is not None:
        torch.set_num_threads(threads)
    values = {"optimize": {"scales": 1, "tolerance": 0}, "model": {"backbone": backbone}}
    config = RenderConfig.model_validate(values)
    features = load_features(resolve_weights(weights, backbone=backbone), last_layer(config), backbone=backbone)
    style = _picture(256, 256, seed=1)
    stylizer = Stylizer(features, [(style, 1.0)], config, device=device)
    rate_flops = matrix_rate(device)
    chosen = sizes or (_GPU_SIZES if device.type == "cuda" else _CPU_SIZES)
    rows = [_row(stylizer, config, device, _size(text), iterations, rate_flops) for text in chosen]
    return {
        "vidnst": __version__,
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else _processor(),
        "threads": torch.get_num_threads(),
        "backbone": backbone,
        "matrix_gflops": rate_flops / 1e9,
        "matrix_precision": "float32",
        "iterations": iterations,
        "optimizer": config.optimize.optimizer,
        "cold_evaluations": RenderConfig().optimize.iterations,
        "warm_evaluations": RenderConfig().evaluations("warm"),
        "rows": rows,
    }


def matrix_rate(device: torch.device, *, side: int = 2048, seconds: float = 1.0) -> float:
    """Floating point operations per second of a float32 matrix product: the best of a second's tries."""
    left = torch.rand(side, side, device=device)
    right = torch.rand(side, side, device=device)
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        best = min(best, _timed(lambda: torch.mm(left, right), device))
    return 2 * side**3 / best


def _row(
    stylizer: Stylizer,
    config: RenderConfig,
    device: torch.device,
    size: tuple[int, int],
    iterations: int,
    rate_flops: float,
) -> dict[str, Any]:
    width, height = size
    pixels = _picture(height, width, seed=2)
    content = from_pixels(pixels, device)
    stylizer.stylize(content, iterations=2, seed=0)  # targets, kernels, memory
    run = lambda: stylizer.stylize(content, iterations=iterations, seed=0)  # noqa: E731
    per_iteration = _timed(run, device) / iterations
    operations = 2 * arithmetic(height, width, last_layer(config), TOPOLOGIES[config.model.backbone])
    fetch = _fetch_seconds(pixels)
    usual = RenderConfig().optimize
    return {
        "size": f"{width}x{height}",
        "seconds_per_iteration": per_iteration,
        "seconds_per_cold_frame": per_iteration * usual.iterations,
        "seconds_per_warm_frame": per_iteration * RenderConfig().evaluations("warm") + fetch["warp"],
        "flow_seconds": fetch["flow"],
        "warp_seconds": fetch["warp"],
        "gflop_per_iteration": operations / 1e9,
        "share_of_matrix_rate": operations / rate_flops / per_iteration,
        "memory_gib": torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else None,
    }


def _fetch_seconds(pixels: Pixels) -> dict[str, float]:
    began = time.perf_counter()
    flow = estimate_flow(pixels, np.roll(pixels, 3, axis=1))
    found = time.perf_counter()
    warp(unit(pixels), flow)
    return {"flow": found - began, "warp": time.perf_counter() - found}


def _timed(run: Callable[[], object], device: torch.device) -> float:
    began = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def _picture(height: int, width: int, *, seed: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit() and 32 <= int(width) <= 16384 and 32 <= int(height) <= 16384):
        raise ConfigError(f"--size {text!r} is not WIDTHxHEIGHT", "write for example 640x360")
    return int(width), int(height)


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
