"""Memory and disk that a render needs, beside what there is, and the size of frames that would fit."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vidnst.config import RenderConfig
from vidnst.farm.provisioning import WorkerCounts
from vidnst.rendering.prepare import CheckedRequest
from vidnst.rendering.run_setup import disk_bytes
from vidnst.rendering.source_frames import cached_frames
from vidnst.runs.disk_space import free_bytes, host_bytes
from vidnst.tools.forecast.target_machines import Farm

if TYPE_CHECKING:
    from vidnst.style.memory.footprint import Footprint

_WORKER_BYTES = 400 << 20
"""Of a worker's process without a frame: Python, torch and OpenCV."""
_NODE_BYTES = 24
"""For each pixel of a node in flight: a state, and a pair of flows."""
DISK = "disk of the run folder"
"""What that need is called, by which those of several renders are added up."""
_STEP = 16
"""Sizes that would fit are multiples of it."""


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes that something takes and that there are."""

    what: str
    needed: int
    there: int | None
    """None where this machine does not have it."""
    size: int | None = None
    """Longest side with which it would fit; None where it does, or no size would."""
    saved: int | None = None
    """Bytes that are needed when some are saved; None where there is enough, or none can be."""
    saving: str = ""
    """What is done for that, in a few words."""

    @property
    def fits(self) -> bool:
        """Whether there is enough, as far as is known."""
        return self.there is None or (self.needed if self.saved is None else self.saved) <= self.there


def needs_of(checked: CheckedRequest, staff: WorkerCounts, farm: Farm | None = None) -> tuple[Need, ...]:
    """Memory and disk that a render takes, beside what this machine has, or what is known of the farm."""
    from vidnst.farm.component_window import default_window
    from vidnst.farm.memory_fallback import memory_limit
    from vidnst.farm.workers import gpus_of, pick_device
    from vidnst.style.network.precision import resolve_precision

    # How workers elsewhere multiply is not known: as if they saved nothing.
    config = (
        checked.config
        if farm is not None
        else resolve_precision(checked.config, pick_device(checked.config.farm.device))
    )
    found = []
    width, height = checked.width, checked.height
    window = config.farm.window or default_window(staff.style, groups=checked.schedule.spacing)
    per_pixel = float(min(checked.frames, window) * _NODE_BYTES)
    frames = min(checked.frames, cached_frames(width, height))
    fixed = _WORKER_BYTES + frames * width * height * 3  # of smaller frames it keeps more: no more bytes, nor fewer
    if checked.config.stylizes:
        given = config.farm.memory_gib
        if staff.threads is None or (farm is None and config.farm.device == "auto"):
            smallest = min(gpus_of(), default=None) if farm is None else farm.gpu_bytes
            raft = config.motion.method == "raft"
            limit = None if smallest is None else memory_limit(config.farm, smallest, raft=raft)
            found.append(_worker_need("GPU memory of a worker", config, limit, width, height)[0])
        if staff.threads is not None:
            need, worker = _worker_need(
                "memory of a worker", config, None if given is None else round(given * 2**30), width, height
            )
            found += [need] if given is not None or farm is not None else []
        if staff.threads is not None and farm is None:
            per_pixel += worker.per_pixel * staff.style
            apart = config.farm.executor == "ray"
            fixed += staff.style * (worker.fixed + _WORKER_BYTES * apart)
    found.append(_need("host memory", per_pixel, fixed, host_bytes(), width, height))
    disk, least = disk_bytes(checked, (width, height)), disk_bytes(checked, (0, 0))
    per_disk = (disk - least) / (width * height)
    found.append(_need(DISK, per_disk, least, free_bytes(checked.request.folder), width, height))
    return tuple(found)


def _worker_need(
    what: str, config: RenderConfig, there: int | None, width: int, height: int
) -> tuple[Need, "Footprint"]:
    """What a stylizing worker needs, with as much saved as is necessary, and how that is reckoned."""
    from vidnst.farm.memory_fallback import first_fitting
    from vidnst.style.memory.footprint import estimate_footprint
    from vidnst.style.memory.modes import NO_SAVINGS, fallback_modes

    rungs = fallback_modes(config, smaller=config.farm.may_shrink)
    memory_mode = NO_SAVINGS
    if there is not None:
        memory_mode = first_fitting(rungs, config, there, width=width, height=height) or rungs[-1]
    spent = estimate_footprint(config, memory_mode)
    taken = spent.of(width, height)
    size = None if there is None or taken <= there else spent.longest_side_px(there, width, height)
    need = Need(what, taken, there, size)
    if memory_mode != NO_SAVINGS:
        need = replace(
            need, needed=estimate_footprint(config).of(width, height), saved=taken, saving=memory_mode.describe()
        )
    return need, spent


def _need(what: str, per_pixel: float, fixed: int, there: int | None, width: int, height: int) -> Need:
    needed = fixed + round(per_pixel * width * height)
    size = None
    if there is not None and needed > there:
        share = max(0.0, there - fixed) / max(1, needed - fixed)
        size = int(max(width, height) * share**0.5) // _STEP * _STEP or None
    return Need(what, needed, there, size)
