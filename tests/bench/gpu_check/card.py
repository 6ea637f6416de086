"""Facts of the cards and of torch, and the rates that everything else is compared with."""

import shutil
import subprocess

import numpy as np
import torch
from bench.gpu_check.check import Check
from bench.gpu_check.findings import FAIL, LOOK, OK
from torch.nn import functional

from vidnst.devices.determinism import reproducible_mode
from vidnst.devices.gpus import find_cards
from vidnst.style.network.precision import supports_bfloat16


def check_card(check: Check) -> None:
    """The machine, and its ceilings."""
    _cards(check)
    _rates(check)
    _transfers(check)


def _cards(check: Check) -> None:
    check.say("torch", f"{torch.__version__}, CUDA {torch.version.cuda}, code for {_architectures()}")
    if not check.needs_cuda("cards"):
        return
    for number, card in enumerate(find_cards()):
        memory = "unknown memory" if card.memory_bytes is None else f"{card.memory_bytes / 2**30:.1f} GiB"
        about = f"{card.name}, {memory}, compute capability {card.capability}"
        check.say(f"card {number}", f"{about}; {card.problem} {card.remedy}" if card.problem else about, _good(card))
    bfloat16 = supports_bfloat16(check.device)
    check.say("bfloat16 maps by default", str(bfloat16), OK if bfloat16 else LOOK)
    check.say("driver", _driver())


def _good(card: object) -> str:
    return FAIL if getattr(card, "problem", "") else OK


def _architectures() -> str:
    return " ".join(torch.cuda.get_arch_list()) if torch.cuda.is_available() else "CPUs"


def _driver() -> str:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return "nvidia-smi is not there"
    fields = "driver_version,power.limit,clocks.max.sm,ecc.mode.current"
    command = [tool, f"--query-gpu={fields}", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return f"{done.stdout.strip()} ({fields})"


def _rates(check: Check) -> None:
    device, side = check.device, 128 if check.dry else 8192
    rates = {}
    with reproducible_mode():
        for name, kind in (("bfloat16", torch.bfloat16), ("float32", torch.float32)):
            count = side if kind is torch.bfloat16 else side // 2
            left, right = (torch.randn(count, count, device=device, dtype=kind) for _ in range(2))
            seconds = check.shortest_seconds(lambda a=left, b=right: torch.mm(a, b), tries=8, warm=2)  # type: ignore[misc]
            rates[name] = 2 * count**3 / seconds
        rates["convolution"] = _convolution_rate(check)
    size = (1 << 20) if check.dry else (1 << 30)
    source, target = (torch.zeros(size, device=device, dtype=torch.uint8) for _ in range(2))
    rates["copy"] = 2 * size / check.shortest_seconds(lambda: target.copy_(source), tries=8, warm=2)
    check.keep(rates=rates)
    products = ", ".join(f"{name} {rates[name] / 1e12:.2f}" for name in ("bfloat16", "float32"))
    check.say("products of matrices", f"{products} TFLOP/s")
    check.say("a convolution of 256 to 256 channels in bfloat16", f"{rates['convolution'] / 1e12:.2f} TFLOP/s")
    check.say("copy on the device", f"{rates['copy'] / 1e12:.3f} TB/s")


def _convolution_rate(check: Check) -> float:
    """Of relu3_2's convolution at 1280x720, channels last."""
    width, height = (16, 12) if check.dry else (320, 180)
    maps = torch.randn(1, 256, height, width, device=check.device, dtype=torch.bfloat16)
    filters = torch.randn(256, 256, 3, 3, device=check.device, dtype=torch.bfloat16)
    maps, filters = (values.contiguous(memory_format=torch.channels_last) for values in (maps, filters))
    repeats = 1 if check.dry else 10

    def convolve() -> None:
        for _ in range(repeats):
            functional.conv2d(maps, filters, padding=1)

    seconds = check.shortest_seconds(convolve, tries=5, warm=2) / repeats
    return 2 * 9 * 256 * 256 * width * height / seconds


def _transfers(check: Check) -> None:
    """A state's way to the device and back, in pageable and in pinned memory."""
    width, height = check.size_720p
    state = np.random.default_rng(0).integers(0, 2**15, (height, width, 3), np.int16)
    pageable = torch.from_numpy(state)
    ways = {"to the device, pageable": lambda: pageable.to(check.device), "host copy": lambda: pageable.clone()}
    if not check.dry:
        pinned, back = pageable.pin_memory(), torch.empty_like(pageable).pin_memory()
        there = pageable.to(check.device)
        ways["to the device, pinned"] = lambda: there.copy_(pinned, non_blocking=True)
        ways["from the device, pageable"] = lambda: there.cpu()
        ways["from the device, pinned"] = lambda: back.copy_(there, non_blocking=True)
    milliseconds = {name: check.shortest_seconds(way, tries=8, warm=2) * 1e3 for name, way in ways.items()}
    check.keep(transfer_ms=milliseconds)
    megabytes = pageable.numel() * 2 / 1e6
    shown = ", ".join(f"{name} {value:.2f}" for name, value in milliseconds.items())
    check.say(f"a state of {width}x{height} ({megabytes:.1f} MB), ms", shown)
