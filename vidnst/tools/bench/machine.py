"""Describes the machine, measures its arithmetic and copying rates, and measures the memory that a block takes."""

import ctypes
import gc
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch

from vidnst.devices.determinism import reproducible_mode
from vidnst.processes.parallel import local_cores

_COPIED_BYTES = {"cpu": 128 << 20, "cuda": 1 << 30}
"""Size of the tensor that is copied: far more than caches hold."""
_BF16_SIDES = {"cpu": 2048, "cuda": 8192}
"""Sides of the matrices in bfloat16: on a GPU the time of smaller ones is mostly that of launching the kernel."""


@dataclass(frozen=True, slots=True)
class Roofline:
    """The best rates that the machine reaches at one plain operation of each kind."""

    matrix_flops: float
    """Floating point operations per second of a float32 matrix product."""
    copy_bytes: float
    """Bytes per second, read and written together, of copying a tensor."""
    bf16_flops: float | None
    """The same for a bfloat16 matrix product; None if maps are float32 on a CPU."""

    def rate_of(self, maps: str) -> float:
        """The rate of products of maps of a precision, `model.precision` when it is resolved."""
        return self.bf16_flops if maps == "bfloat16" and self.bf16_flops is not None else self.matrix_flops


def measure_roofline(device: torch.device, *, maps: str = "float32") -> Roofline:
    """Measure the rates of a device; takes about three seconds.

    Args:
        maps: precision of the maps; on a CPU, products of bfloat16 are timed only if they are used.
    """
    bf16 = None
    if device.type == "cuda" or maps == "bfloat16":
        bf16 = _matrix_rate(device, side=_BF16_SIDES[device.type], dtype=torch.bfloat16)
    with reproducible_mode():
        return Roofline(_matrix_rate(device), _copy_rate(device), bf16)


def _matrix_rate(device: torch.device, *, side: int = 2048, dtype: torch.dtype = torch.float32) -> float:
    left = torch.rand(side, side, device=device, dtype=dtype)
    right = torch.rand(side, side, device=device, dtype=dtype)
    return 2 * side**3 / _shortest_seconds(lambda: torch.mm(left, right), device)


def _copy_rate(device: torch.device) -> float:
    count = _COPIED_BYTES[device.type] // 4
    source, target = torch.zeros(count, device=device), torch.ones(count, device=device)
    return 2 * 4 * count / _shortest_seconds(lambda: target.copy_(source), device)


def _shortest_seconds(run: Callable[[], object], device: torch.device) -> float:
    """Repeat a function for a second and return its shortest time."""
    best, until = float("inf"), time.perf_counter() + 1.0
    while time.perf_counter() < until:
        best = min(best, time_call(run, device))
    return best


def time_call(run: Callable[[], object], device: torch.device) -> float:
    """Seconds that a function takes until the device has done all of its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


class PeakMemory:
    """The result of `peak_memory`, available after the block."""

    gib: float | None = None


MEMORY_KINDS = {
    "cuda": "torch.cuda.max_memory_allocated, reset before each row",
    "cpu": "growth of the process's resident set at its peak; less than what is needed where memory was there already",
}
"""Meaning of `PeakMemory.gib` by the device's type; part of the report."""


@contextmanager
def peak_memory(device: torch.device) -> Iterator[PeakMemory]:
    """Measure the most memory that the block takes, as `MEMORY_KINDS` says; None if the system does not report it."""
    peak = PeakMemory()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        yield peak
        peak.gib = torch.cuda.max_memory_allocated(device) / 2**30
        return
    release_memory(device)
    with suppress(OSError), open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")  # resets the peak of the resident set: proc(5)
    before = _status_bytes("VmRSS")
    yield peak
    after = _peak_bytes()
    if before is not None and after is not None:
        peak.gib = max(0, after - before) / 2**30


def release_memory(device: torch.device) -> None:
    """Return the freed memory that torch and glibc cache to the system: reused, it would not show as growth."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    with suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def _peak_bytes() -> int | None:
    peak = _status_bytes("VmHWM")
    if peak is not None:
        return peak
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _status_bytes(field: str) -> int | None:
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))
    except (OSError, StopIteration, ValueError):
        return None


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Describe processor, system and GPU in plain JSON values."""
    gpu = None
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        gpu = {
            "name": properties.name,
            "memory_gib": properties.total_memory / 2**30,
            "count": torch.cuda.device_count(),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        }
    return {
        "processor": _processor(),
        "cores": local_cores(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "gpu": gpu,
    }


def describe_precision(device: torch.device, *, maps: str = "float32") -> dict[str, Any]:
    """Describe the number formats of an optimisation in plain JSON values.

    Args:
        maps: precision of the network's feature maps, `model.precision`; auto is float32.
    """
    with reproducible_mode():
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
