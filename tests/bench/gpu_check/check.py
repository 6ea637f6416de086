"""What a part is, and what it is given."""

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import torch
from bench.gpu_check.findings import LOOK, NEEDS_CUDA, NEEDS_PACKAGE, OK

Size: TypeAlias = tuple[int, int]
"""Width and height in pixels."""


class UnavailableError(Exception):
    """A part cannot run on this machine, which is no failure."""

    def __init__(self, verdict: str, why: str) -> None:
        super().__init__(why)
        self.verdict = verdict


@dataclass(frozen=True, slots=True)
class Options:
    """What the caller chose."""

    dry: bool
    """On a CPU, at tiny sizes: proves the check itself."""
    out: Path
    """Folder of the results."""
    frames: int = 32
    """Of the default render at 1280x720."""
    weights: str | None = None
    """A file of VGG19's filters; None takes those that are installed."""
    raft: str | None = None
    """A file of RAFT's weights; None takes random ones."""


class Check:
    """Given to a part: the options, the device, what earlier parts found, and where to report."""

    def __init__(
        self, options: Options, report: Callable[[dict[str, Any]], None], facts: Mapping[str, Mapping[str, Any]]
    ) -> None:
        self.options = options
        self.part = ""
        self.facts = {name: dict(values) for name, values in facts.items()}
        """Figures of each part so far."""
        self._report = report

    @property
    def dry(self) -> bool:
        """True on a CPU, at tiny sizes."""
        return self.options.dry

    @property
    def device(self) -> torch.device:
        """The device that is checked."""
        return torch.device("cpu" if self.dry else "cuda")

    @property
    def size_720p(self) -> Size:
        """1280x720, or the tiny size that stands for it."""
        return (96, 64) if self.dry else (1280, 720)

    @property
    def small_size(self) -> Size:
        """A size at which a CPU can give the reference."""
        return (64, 48) if self.dry else (160, 112)

    def say(self, what: str, value: str, verdict: str = "") -> None:
        """Report a row."""
        self._report({"row": [self.part, what, value, verdict]})

    def judge(self, what: str, value: str, good: bool, *, bad: str = LOOK) -> None:
        """Report a row whose verdict is OK or `bad`."""
        self.say(what, value, OK if good else bad)

    def keep(self, **facts: Any) -> None:
        """Keep figures for the JSON, and for later parts."""
        self.facts.setdefault(self.part, {}).update(facts)
        self._report({"facts": [self.part, facts]})

    def needs_cuda(self, what: str) -> bool:
        """True on a GPU; otherwise reports that the check of something needs one."""
        if self.dry:
            self.say(what, "-", NEEDS_CUDA)
        return not self.dry

    def require_package(self, name: str) -> None:
        """End the part unless a package is installed."""
        try:
            found = find_spec(name) is not None
        except ImportError:
            found = False
        if not found:
            raise UnavailableError(NEEDS_PACKAGE, f"{name} is not installed")

    def synchronize(self) -> None:
        """Wait for the device."""
        if not self.dry:
            torch.cuda.synchronize()

    def shortest_seconds(self, run: Callable[[], object], *, tries: int = 3, warm: int = 1) -> float:
        """The shortest of some times in which the device has done all of something."""
        for _ in range(warm):
            run()
        times = []
        for _ in range(1 if self.dry else tries):
            self.synchronize()
            began = time.perf_counter()
            run()
            self.synchronize()
            times.append(time.perf_counter() - began)
        return min(times)

    def peak_gib(self, run: Callable[[], object]) -> float | None:
        """What torch allocates on the GPU at most while something runs; None on a CPU."""
        self.tidy()
        if self.dry:
            run()
            return None
        torch.cuda.reset_peak_memory_stats()
        run()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() / 2**30

    def tidy(self) -> None:
        """Return freed memory to the device, and take back limits."""
        gc.collect()
        if not self.dry:
            torch.cuda.set_per_process_memory_fraction(1.0)
            torch.cuda.empty_cache()


def relative_error(found: torch.Tensor, reference: torch.Tensor) -> float:
    """||found - reference|| / ||reference||, computed in float64 on the CPU."""
    one, other = found.detach().double().cpu(), reference.detach().double().cpu()
    return float((one - other).norm() / other.norm().clamp(min=1e-300))


def gib(value: float | None) -> str:
    """Memory in words."""
    return "-" if value is None else f"{value:.2f} GiB"
