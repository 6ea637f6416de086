"""Measure the memory of each memory mode: `python tests/bench/memory.py --size 640x360 --backbone vgg19`.

One process for each memory mode paints a picture with random filters; its peak is printed next to the estimate of
`estimate_footprint`. On a CPU the peak is the growth of the process's resident set since before the picture, plus the
filters; on a GPU it is what torch allocated there.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from typing import Any

import torch

from vidnst.config import RenderConfig
from vidnst.config.loader import build_config
from vidnst.farm.workers import pick_device
from vidnst.style.losses.objective import WarmStart
from vidnst.style.memory.footprint import estimate_footprint
from vidnst.style.memory.modes import MemoryMode, fallback_modes
from vidnst.style.network.backbones import last_layer
from vidnst.style.network.weights import load_features, resolve_weights
from vidnst.style.stylizer import Stylizer
from vidnst.style.tensors import to_state
from vidnst.tools.bench.machine import peak_memory

_MIB = 1 << 20
_CALM = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_ARENA_MAX": "1"}
"""Environment for glibc: freed memory is returned to the system at once."""


def config_of(options: argparse.Namespace) -> RenderConfig:
    """The defaults with one scale and random filters."""
    values: dict[str, Any] = {
        "model": {"backbone": options.backbone, "weights": "random"},
        "optimize": {"scales": 1, "tolerance": 0, "optimizer": options.optimizer},
    }
    return build_config(values)


def paint(options: argparse.Namespace) -> None:
    """Paint in one memory mode and write the peak in bytes to standard output."""
    torch.set_num_threads(1)
    config, memory_mode = config_of(options), MemoryMode(**json.loads(options.mode))
    width, height = (int(side) for side in options.size.split("x"))
    backbone = config.model.backbone
    features = load_features(resolve_weights("random", backbone=backbone), last_layer(config), backbone=backbone)
    device = pick_device("auto")
    style = to_state(torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(1)))
    stylizer = Stylizer(features, [(style, 1.0)], config, device=device)
    stylizer.stylize(
        torch.rand(1, 3, 32, 32), iterations=1, memory_mode=replace(memory_mode, scale=1.0)
    )  # loads kernels
    with peak_memory(device) as peak:
        photo, mask = torch.rand(1, 3, height, width, device=device), torch.rand(1, 1, height, width, device=device)
        start = WarmStart(photo.flip(3), mask, light=mask - 0.5, still=mask)  # a warm frame takes more than a cold one
        stylizer.stylize(photo, start=start, iterations=options.iterations, memory_mode=memory_mode)
    filters = sum(array.nbytes for array in features.values())
    filters += filters // 2 if memory_mode.bfloat16 else 0
    grown = round((peak.gib or 0) * 2**30)
    sys.stdout.write(f"{grown + (filters if device.type == 'cpu' else 0)}\n")


def main() -> None:
    """Print a row for each memory mode."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--backbone", choices=("vgg19", "slim"), default="slim")
    parser.add_argument("--optimizer", choices=("adam", "lbfgs"), default="adam")
    parser.add_argument("--iterations", type=int, default=13, help="enough to fill the history of L-BFGS")
    parser.add_argument("--mode", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.mode is not None:
        paint(options)
        return
    config = config_of(options)
    width, height = (int(side) for side in options.size.split("x"))
    say = sys.stdout.write
    say("| memory mode | estimated MiB | measured MiB | estimated / measured |\n|---|---|---|---|\n")
    for memory_mode in fallback_modes(config, smaller=True):
        command = [sys.executable, *sys.argv, "--mode", json.dumps(asdict(memory_mode))]
        done = subprocess.run(command, env=os.environ | _CALM, capture_output=True, text=True, check=True)
        measured, estimated = int(done.stdout), estimate_footprint(config, memory_mode).bytes_at(width, height)
        row = (
            memory_mode.describe(),
            f"{estimated / _MIB:.0f}",
            f"{measured / _MIB:.0f}",
            f"{estimated / measured:.2f}",
        )
        say(f"| {' | '.join(row)} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
