"""Estimates the memory and disk that a render needs, and the frame size that would fit."""

from dataclasses import dataclass, replace
from typing import Any

from vidnst.config import RenderConfig
from vidnst.farm.component_window import default_window
from vidnst.farm.memory_fallback import first_fitting, gpu_memory_limit
from vidnst.farm.provisioning import WorkerCounts
from vidnst.farm.workers import gpu_memory_sizes, pick_device
from vidnst.rendering.prepare import CheckedRequest
from vidnst.rendering.run_opening import disk_bytes
from vidnst.rendering.source_frames import cached_frames
from vidnst.runs.disk_space import free_bytes, host_bytes
from vidnst.style.memory.footprint import Footprint, estimate_footprint
from vidnst.style.memory.modes import NO_SAVINGS, fallback_modes
from vidnst.style.network.precision import resolve_precision
from vidnst.tools.forecast.target_machines import TargetMachines

_WORKER_BYTES = 400 << 20
"""Memory of a worker's process without a frame: Python, torch and OpenCV."""
_NODE_BYTES = 24
"""Memory of a node in flight for each pixel: a state, and a pair of flows."""
RUN_FOLDER_DISK = "disk of the run folder"
_SIZE_STEP_PX = 16
"""Sizes that would fit are multiples of it."""


@dataclass(frozen=True, slots=True)
class ResourceNeed:
    """Bytes of memory or disk that are needed and that are available."""

    what: str
    needed: int
    available: int | None
    """None if it is not known."""
    fitting_size: int | None = None
    """Longest side in pixels with which it would fit; None if it fits, or no size would."""
    reduced: int | None = None
    """Bytes that are needed in the memory mode of `saving`; None if there is enough, or no mode would help."""
    saving: str = ""
    """The memory mode in words."""

    @property
    def fits(self) -> bool:
        """True if there is enough, as far as is known."""
        return self.available is None or (self.needed if self.reduced is None else self.reduced) <= self.available

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain JSON values."""
        return {
            "what": self.what,
            "needed": self.needed,
            "there": self.available,
            "size": self.fitting_size,
            "saved": self.reduced,
            "saving": self.saving,
            "fits": self.fits,
        }


def estimate_needs(
    checked: CheckedRequest, workers: WorkerCounts, target: TargetMachines | None = None
) -> tuple[ResourceNeed, ...]:
    """Estimate the memory of a worker and of the host, and the disk of the run folder."""
    size = (checked.width, checked.height)
    # It is not known whether workers elsewhere compute in bfloat16, so no saving by that is assumed.
    config = (
        checked.config
        if target is not None
        else resolve_precision(checked.config, pick_device(checked.config.farm.device))
    )
    window = config.farm.window or default_window(
        workers.style, groups=checked.schedule.spacing, prefetch=workers.prefetch
    )
    per_pixel = float(min(checked.frames, window) * _NODE_BYTES)
    frames = min(checked.frames, cached_frames(*size))
    # The cache of decoded frames is of fixed size: it holds more of smaller frames; that of evened ones is as large.
    fixed = _WORKER_BYTES + frames * size[0] * size[1] * 3 * (1 + (checked.config.motion.light_share is not None))
    needs = []
    if checked.config.stylizes:
        if workers.threads is None or (target is None and config.farm.device == "auto"):
            smallest = min(gpu_memory_sizes(), default=None) if target is None else target.gpu_bytes
            limit = None if smallest is None else gpu_memory_limit(config.farm, smallest, config.motion)
            needs.append(_worker_need("GPU memory of a worker", config, limit, size)[0])
        if workers.threads is not None:
            given = config.farm.memory_gib
            limit = None if given is None else round(given * 2**30)
            need, worker = _worker_need("memory of a worker", config, limit, size)
            needs += [need] if given is not None or target is not None else []
            if target is None:
                per_pixel += worker.per_pixel * workers.style
                own_process = config.farm.executor == "ray"
                fixed += workers.style * (worker.fixed + _WORKER_BYTES * own_process)
    needs.append(_linear_need("host memory", per_pixel, fixed, host_bytes(), size))
    disk, least = disk_bytes(checked, size), disk_bytes(checked, (0, 0))
    per_pixel = (disk - least) / (size[0] * size[1])
    needs.append(_linear_need(RUN_FOLDER_DISK, per_pixel, least, free_bytes(checked.request.folder), size))
    return tuple(needs)


def _worker_need(
    what: str, config: RenderConfig, available: int | None, size: tuple[int, int]
) -> tuple[ResourceNeed, Footprint]:
    """Estimate a stylizing worker in the first memory mode that fits, with the footprint of that mode."""
    modes = fallback_modes(config, smaller=config.farm.may_shrink)
    mode = NO_SAVINGS
    if available is not None:
        mode = first_fitting(modes, config, available, width=size[0], height=size[1]) or modes[-1]
    reduced = estimate_footprint(config, mode)
    taken = reduced.bytes_at(*size)
    fitting = None
    if available is not None and taken > available:
        fitting = reduced.longest_side_px(available, *size)
    need = ResourceNeed(what, taken, available, fitting)
    if mode != NO_SAVINGS:
        need = replace(need, needed=estimate_footprint(config).bytes_at(*size), reduced=taken, saving=mode.describe())
    return need, reduced


def _linear_need(what: str, per_pixel: float, fixed: int, available: int | None, size: tuple[int, int]) -> ResourceNeed:
    """Estimate what grows linearly with the area of a frame."""
    needed = fixed + round(per_pixel * size[0] * size[1])
    fitting = None
    if available is not None and needed > available:
        area = max(0.0, available - fixed) / max(1, needed - fixed)
        fitting = int(max(size) * area**0.5) // _SIZE_STEP_PX * _SIZE_STEP_PX or None
    return ResourceNeed(what, needed, available, fitting)
