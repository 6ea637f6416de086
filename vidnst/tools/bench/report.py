"""One call of the bench: what is asked for, checked before anything is timed, and put into one report."""

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
from vidnst.tools.bench.compare_reports import check_comparable, compare, read_report
from vidnst.tools.bench.frame_speed import bare_config, chosen_sizes, noise, speed_row
from vidnst.tools.bench.full_renders import drawn_footage, preset_config, render_row
from vidnst.tools.bench.machine import MEMORY_KINDS, MachineFloor, device_name, floor_of, give_back, machine, precision
from vidnst.tools.bench.time_to_loss import reach_row

_MOST_WORKERS = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchRequest:
    """What is to be measured."""

    sizes: tuple[str, ...] = ()
    """Texts like `640x360`; none takes those of the report to compare with, or those that suit the device."""
    weights: str | None = "random"
    backbone: Literal["vgg19", "slim"] = "vgg19"
    iterations: int = 10
    """Evaluations in each of three rounds at each size."""
    threads: int | None = None
    """Of torch on a CPU; None leaves them as they are. Whole renders choose their own."""
    presets: tuple[str, ...] = ()
    """Whole renders, at each of the sizes that were asked for, or the smallest."""
    frames: int = 24
    """Of the clip that is drawn for whole renders."""
    settings: tuple[str, ...] = ()
    """`key.sub=value` for whole renders."""
    workers: tuple[int, ...] = ()
    """Whole renders with so many stylizing workers each, of the first preset, or the default settings."""
    loss: bool = False
    """Whether to look how soon the present settings are where plain Adam comes."""
    against: Path | None = None
    """An earlier report to compare with."""


def measure(request: BenchRequest, *, on_event: OnEvent = ignore) -> dict[str, Any]:
    """Time what is asked for; nothing else should run meanwhile.

    Returns:
        Plain JSON: the machine, the rates of its matrix product and of copying memory, a row of `rows` for each size,
        and, where asked for, of `presets`, `workers` and `loss`, and `compared`.

    Raises:
        ConfigError: a size, preset, setting or earlier report is wrong.
        VidnstError: a whole render fails.
    """
    device = pick_device("auto")
    if request.threads is not None:
        torch.set_num_threads(request.threads)
    old = None if request.against is None else read_report(request.against)
    asked = request.sizes or (() if old is None else tuple(row["size"] for row in old["rows"]))
    sizes = chosen_sizes(asked, device)
    if old is not None:
        check_comparable(old, sizes, backbone=request.backbone, name=str(request.against))
    renders = _renders(request)
    config = bare_config(request.backbone)
    found = resolve_weights(request.weights, backbone=request.backbone)
    features = load_features(found, last_layer(config), backbone=request.backbone)
    floor = floor_of(device)
    report = _head(request, config, device, floor)
    stylizer = Stylizer(features, [(noise(256, 256, seed=1), 1.0)], config, device=device)
    for number, size in enumerate(sizes):
        on_event(Stage("sizes", number, len(sizes)))
        row = speed_row(stylizer, config, device, size, rate=floor.matrix_flops, count=request.iterations)
        report["rows"].append(row)
    del stylizer
    larger = sizes if request.sizes else sizes[:1]
    if request.loss:
        on_event(Stage("loss"))
        report["loss"] = [reach_row(features, device, size, backbone=request.backbone) for size in larger]
    del features
    give_back(device)  # workers are processes of their own
    if renders:
        report |= _whole(request, renders, larger, on_event)
    if old is not None:
        report["compared"] = compare(old, report, name=str(request.against))
    return report


def _head(request: BenchRequest, config: RenderConfig, device: torch.device, floor: MachineFloor) -> dict[str, Any]:
    return {
        "vidnst": __version__,
        "torch": torch.__version__,
        "device": device_name(device),
        "machine": machine(device),
        "threads": torch.get_num_threads(),
        "backbone": request.backbone,
        "precision": precision(device, maps=resolve_precision(config, device).model.precision),
        "matrix_gflops": floor.matrix_flops / 1e9,
        "matrix_precision": "float32",
        "matrix_bf16_gflops": None if floor.bf16_flops is None else floor.bf16_flops / 1e9,
        "copy_gbytes_per_second": floor.copy_bytes / 1e9,
        "memory_kind": MEMORY_KINDS[device.type],
        "iterations": request.iterations,
        "optimizer": config.optimize.optimizer,
        "cold_evaluations": RenderConfig().optimize.iterations,
        "warm_evaluations": RenderConfig().evaluations(Role.WARM),
        "rows": [],
    }


def _renders(request: BenchRequest) -> list[tuple[str, str, RenderConfig]]:
    """Whole renders: where they belong in the report, the preset's name, the settings."""
    for count in request.workers:
        if not 1 <= count <= _MOST_WORKERS:
            raise ConfigError(f"--workers {count} is not within 1 and {_MOST_WORKERS}", "write for example 1,2,4")

    def config(preset: str, workers: int | None = None) -> RenderConfig:
        weights, backbone = request.weights, request.backbone
        found = preset_config(preset, backbone=backbone, weights=weights, settings=request.settings, workers=workers)
        if found.optimize.iterations == 0:
            raise ConfigError("optimize.iterations = 0: nothing would be stylized", "give at least 1")
        return found

    first = request.presets[0] if request.presets else "default"
    renders = [("presets", name, config(name)) for name in dict.fromkeys(request.presets)]
    return [*renders, *(("workers", first, config(first, count)) for count in dict.fromkeys(request.workers))]


def _whole(
    request: BenchRequest,
    renders: Sequence[tuple[str, str, RenderConfig]],
    sizes: Sequence[tuple[int, int]],
    on_event: OnEvent,
) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {place: [] for place, _, _ in renders}
    for size in sizes:
        on_event(Stage("drawing"))
        with drawn_footage(size, frames=request.frames) as footage:
            for number, (place, name, config) in enumerate(renders):
                on_event(Stage("renders", number, len(renders)))
                found[place].append(render_row(footage, name, config))
    return found
