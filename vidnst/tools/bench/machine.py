"""The machine, what its arithmetic allows, and how much memory something takes. Rates are of the same run as speeds."""

import ctypes
import gc
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch

_COPIED_BYTES = {"cpu": 128 << 20, "cuda": 1 << 30}
"""Of the tensor that is copied: far more than caches hold."""
_BF16_SIDE = 8192
"""Of the matrices in bfloat16 on a GPU: smaller ones take no longer than it takes to begin."""


@dataclass(frozen=True, slots=True)
class MachineFloor:
    """What the machine's arithmetic and memory allow, as far as one plain operation shows it."""

    matrix_flops: float
    """Floating point operations per second of a float32 matrix product."""
    copy_bytes: float
    """Bytes per second, read and written together, of copying a tensor."""
    bf16_flops: float | None
    """Of a bfloat16 matrix product; None on a CPU."""


def floor_of(device: torch.device) -> MachineFloor:
    """Measure it; about three seconds."""
    bf16 = matrix_rate(device, side=_BF16_SIDE, dtype=torch.bfloat16) if device.type == "cuda" else None
    return MachineFloor(matrix_rate(device), copy_rate(device), bf16)


def matrix_rate(
    device: torch.device, *, side: int = 2048, seconds: float = 1.0, dtype: torch.dtype = torch.float32
) -> float:
    """Floating point operations per second of a matrix product: the best of a second's tries."""
    left = torch.rand(side, side, device=device, dtype=dtype)
    right = torch.rand(side, side, device=device, dtype=dtype)
    return 2 * side**3 / _best_seconds(lambda: torch.mm(left, right), device, seconds)


def copy_rate(device: torch.device, *, seconds: float = 1.0) -> float:
    """Bytes per second of copying a tensor, read and written together: the best of a second's tries."""
    count = _COPIED_BYTES[device.type] // 4
    source, target = torch.zeros(count, device=device), torch.ones(count, device=device)
    return 2 * 4 * count / _best_seconds(lambda: target.copy_(source), device, seconds)


def _best_seconds(run: Callable[[], object], device: torch.device, seconds: float) -> float:
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        best = min(best, timed(run, device))
    return best


def timed(run: Callable[[], object], device: torch.device) -> float:
    """Seconds that something takes, until the device has done all of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


class Peak:
    """Memory that something took; see `peak_memory`."""

    gib: float | None = None


MEMORY_KINDS = {
    "cuda": "torch.cuda.max_memory_allocated, reset before each row",
    "cpu": "growth of the process's resident set at its peak; less than what is needed where memory was there already",
}
"""What `Peak.gib` is, by the device's type."""


@contextmanager
def peak_memory(device: torch.device) -> Iterator[Peak]:
    """The most memory that the block takes: see `MEMORY_KINDS`. None where the system does not tell it."""
    peak = Peak()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        yield peak
        peak.gib = torch.cuda.max_memory_allocated(device) / 2**30
        return
    give_back(device)
    _forget_peak()
    before = _resident_bytes()
    yield peak
    after = _peak_bytes()
    if before is not None and after is not None:
        peak.gib = max(0, after - before) / 2**30


def give_back(device: torch.device) -> None:
    """Return to the system what torch and glibc keep of freed memory: taken again, it would not show as growth."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    with suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def _forget_peak() -> None:
    """Let Linux count the peak of the resident set anew (proc(5), clear_refs)."""
    with suppress(OSError), open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def _resident_bytes() -> int | None:
    return _status_bytes("VmRSS")


def _peak_bytes() -> int | None:
    found = _status_bytes("VmHWM")
    if found is not None:
        return found
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _status_bytes(field: str) -> int | None:
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))
    except (OSError, StopIteration, ValueError):
        return None


def machine(device: torch.device) -> dict[str, Any]:
    """What it is, as plain JSON."""
    found: dict[str, Any] = {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "gpu": None,
    }
    if device.type == "cuda":
        about = torch.cuda.get_device_properties(device)
        found["gpu"] = {
            "name": about.name,
            "memory_gib": about.total_memory / 2**30,
            "count": torch.cuda.device_count(),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        }
    return found


def precision(device: torch.device, *, maps: str = "float32") -> dict[str, Any]:
    """In what numbers a frame is optimised, as plain JSON: torch lets cuDNN round what it multiplies to TF32.

    Args:
        maps: of the network's maps, `model.precision`; auto is float32.
    """
    return {
        "tensors": "float32",
        "maps": "float32" if maps == "auto" else maps,
        "matrix_products": torch.get_float32_matmul_precision(),
        "convolutions_in_tf32": bool(torch.backends.cudnn.allow_tf32) if device.type == "cuda" else False,
    }


def device_name(device: torch.device) -> str:
    """The GPU's name, or the processor's."""
    return str(torch.cuda.get_device_name(device)) if device.type == "cuda" else _processor()


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
