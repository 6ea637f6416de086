"""Runs the bench: checks the request before anything is timed, measures, and collects one report."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from vidnst import __version__
from vidnst.config import RenderConfig, Role
from vidnst.errors import ConfigError
from vidnst.events import OnEvent, Stage, ignore
from vidnst.farm.workers import pick_device
from vidnst.style.network.backbones import last_layer
from vidnst.style.network.precision import resolve_precision
from vidnst.style.network.weights import load_features, resolve_weights
from vidnst.style.stylizer import Stylizer
from vidnst.tools.bench import machine
from vidnst.tools.bench.compare_reports import check_comparable, compare_reports, read_report
from vidnst.tools.bench.frame_speed import noise_image, parse_sizes, single_scale_config, time_frame
from vidnst.tools.bench.full_renders import preset_config, synthetic_clip, time_render
from vidnst.tools.bench.time_to_loss import measure_time_to_loss

_MOST_WORKERS = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchRequest:
    """The measurements that the user asks for."""

    sizes: tuple[str, ...] = ()
    """Texts like `640x360`; empty takes those of the report to compare with, or those that suit the device."""
    weights: str | None = "random"
    backbone: Literal["vgg19", "slim"] = "vgg19"
    iterations: int = 10
    """Evaluations in each of three rounds at each size."""
    threads: int | None = None
    """Threads of torch on a CPU; None leaves them as they are. Whole renders choose their own."""
    presets: tuple[str, ...] = ()
    """Whole renders, at each of the sizes that were asked for, or the smallest."""
    frames: int = 24
    """Number of frames of the clip for whole renders."""
    settings: tuple[str, ...] = ()
    """`key.sub=value` for whole renders."""
    workers: tuple[int, ...] = ()
    """Whole renders with these numbers of stylizing workers, of the first preset or the default settings."""
    loss: bool = False
    """Also measure the time to plain Adam's loss."""
    against: Path | None = None
    """An earlier report to compare with."""


def run_bench(request: BenchRequest, *, on_event: OnEvent = ignore) -> dict[str, Any]:
    """Measure what is asked for; nothing else should run meanwhile.

    Returns:
        Plain JSON values: the machine, the rates of its matrix product and of copying memory, a row of `rows` for each
        size, and, where asked for, of `presets`, `workers` and `loss`, and `compared`.

    Raises:
        ConfigError: a size, preset, setting or earlier report is wrong.
        VidnstError: a whole render fails.
    """
    device = pick_device("auto")
    if request.threads is not None:
        torch.set_num_threads(request.threads)
    old = None if request.against is None else read_report(request.against)
    sizes = parse_sizes(request.sizes or ([row.size for row in old.rows] if old is not None else []), device)
    if old is not None:
        check_comparable(old, sizes, backbone=request.backbone, name=str(request.against))
    renders = _configure_renders(request)
    config = single_scale_config(request.backbone)
    weights = resolve_weights(request.weights, backbone=request.backbone)
    features = load_features(weights, last_layer(config), backbone=request.backbone)
    maps = resolve_precision(config, device).model.precision
    roofline = machine.measure_roofline(device, maps=maps)
    report = _report_head(request, config, device, roofline, maps)
    stylizer = Stylizer(features, [(noise_image(256, 256, seed=1), 1.0)], config, device=device)
    for number, size in enumerate(sizes):
        on_event(Stage("sizes", number, len(sizes)))
        row = time_frame(stylizer, config, device, size, rate=roofline.rate_of(maps), count=request.iterations)
        report["rows"].append(row)
    del stylizer
    costly_sizes = sizes if request.sizes else sizes[:1]
    if request.loss:
        on_event(Stage("loss"))
        report["loss"] = [
            measure_time_to_loss(features, device, size, backbone=request.backbone) for size in costly_sizes
        ]
    del features
    machine.release_memory(device)  # for the workers, which may be other processes
    if renders:
        report |= _time_renders(request, renders, costly_sizes, on_event)
    if old is not None:
        report["compared"] = compare_reports(old, report, name=str(request.against))
    return report


def _report_head(
    request: BenchRequest, config: RenderConfig, device: torch.device, roofline: machine.Roofline, maps: str
) -> dict[str, Any]:
    return {
        "vidnst": __version__,
        "torch": torch.__version__,
        "device": machine.device_name(device),
        "machine": machine.describe_machine(device),
        "threads": torch.get_num_threads(),
        "backbone": request.backbone,
        "precision": machine.describe_precision(device, maps=maps),
        "matrix_gflops": roofline.matrix_flops / 1e9,
        "matrix_precision": "float32",
        "rate_precision": "bfloat16" if maps == "bfloat16" and roofline.bf16_flops is not None else "float32",
        "matrix_bf16_gflops": None if roofline.bf16_flops is None else roofline.bf16_flops / 1e9,
        "copy_gbytes_per_second": roofline.copy_bytes / 1e9,
        "memory_kind": machine.MEMORY_KINDS[device.type],
        "iterations": request.iterations,
        "optimizer": config.optimize.optimizer,
        "cold_evaluations": RenderConfig().optimize.iterations,
        "warm_evaluations": RenderConfig().evaluations(Role.WARM),
        "rows": [],
    }


def _configure_renders(request: BenchRequest) -> list[tuple[str, str, RenderConfig]]:
    """List the whole renders: their section of the report, the preset's name, and the settings."""
    for count in request.workers:
        if not 1 <= count <= _MOST_WORKERS:
            raise ConfigError(f"--workers {count} is not within 1 and {_MOST_WORKERS}", "write for example 1,2,4")

    def configure(preset: str, workers: int | None = None) -> RenderConfig:
        weights, backbone = request.weights, request.backbone
        config = preset_config(preset, backbone=backbone, weights=weights, settings=request.settings, workers=workers)
        if config.optimize.iterations == 0:
            raise ConfigError("optimize.iterations = 0: nothing would be stylized", "give at least 1")
        return config

    first = request.presets[0] if request.presets else "default"
    renders = [("presets", name, configure(name)) for name in dict.fromkeys(request.presets)]
    return [*renders, *(("workers", first, configure(first, count)) for count in dict.fromkeys(request.workers))]


def _time_renders(
    request: BenchRequest,
    renders: Sequence[tuple[str, str, RenderConfig]],
    sizes: Sequence[tuple[int, int]],
    on_event: OnEvent,
) -> dict[str, list[dict[str, Any]]]:
    rows: dict[str, list[dict[str, Any]]] = {section: [] for section, _, _ in renders}
    for size in sizes:
        on_event(Stage("drawing"))
        with synthetic_clip(size, frames=request.frames) as clip:
            for number, (section, name, config) in enumerate(renders):
                on_event(Stage("renders", number, len(renders)))
                rows[section].append(time_render(clip, name, config))
    return rows
