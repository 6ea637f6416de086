"""The memory limit of a stylizing worker, and the out-of-memory fallback to modes that save memory."""

import gc
import logging
import re
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch

from vidnst.config import FarmConfig, MotionConfig, RenderConfig
from vidnst.errors import ScarceMemoryError
from vidnst.motion.raft import raft_bytes
from vidnst.style.memory.footprint import estimate_footprint
from vidnst.style.memory.modes import NO_SAVINGS, MemoryMode, fallback_modes
from vidnst.style.network.precision import with_bfloat16

FLOW_GPU_SHARE = 0.1
"""The part of a stylizing worker's share of a GPU that a flow worker takes if it needs one: flow is some percent of
the work."""
_CONTEXT_BYTES = 512 << 20
"""GPU memory that CUDA and its libraries take for each process, in addition to all allocations."""
_OUT_OF_MEMORY_MESSAGES = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "bad_alloc",
    "STATUS_ALLOC_FAILED",
    "could not create a memory object",
    "could not create a primitive",  # these three are oneDNN's, which reports other failures in the same words
    "could not execute a primitive",
    "unable to find an engine to execute this computation",  # cuDNN: no algorithm's workspace fits
)
"""Parts of the messages of libraries that have no exception class for it."""
_TORCH_LOCATION = re.compile(r"^\[enforce fail at [^\]]*\] [^.]*\. ")
"""The place in torch's source code at the start of a message."""
_SIZE_STEP_PX = 16
"""Suggested sizes are multiples of it."""
_MAX_MESSAGE_CHARS = 160

_T = TypeVar("_T")

logger = logging.getLogger(__name__)


def is_out_of_memory(error: BaseException) -> bool:
    """True if an error says that an allocation failed, on a GPU or a CPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _OUT_OF_MEMORY_MESSAGES)


def flow_memory(farm: FarmConfig, total_bytes: int, motion: MotionConfig) -> int:
    """Number of bytes that are set aside for the flow worker next to a stylizing worker; 0 if it needs no GPU.

    Args:
        total_bytes: memory of the GPU.
        motion: says whether it does, and at which size.
    """
    if motion.method != "raft":
        return 0
    part = total_bytes * farm.gpus_per_worker
    return round(min(part / 2, max(part * FLOW_GPU_SHARE, raft_bytes(motion.size) + _CONTEXT_BYTES)))


def gpu_memory_limit(farm: FarmConfig, total_bytes: int, motion: MotionConfig) -> int:
    """Number of bytes that a stylizing worker may allocate on its GPU.

    Args:
        total_bytes: memory of the GPU.
        motion: says what the flow worker takes of it.
    """
    part, flow = total_bytes * farm.gpus_per_worker, flow_memory(farm, total_bytes, motion)
    limit = float(total_bytes)
    if flow or farm.gpus_per_worker < 1:  # other processes have a part of it
        limit = max(part - flow - _CONTEXT_BYTES, (part - flow) / 2)
    return round(limit if farm.memory_gib is None else min(limit, farm.memory_gib * 2**30))


def limit_memory(config: RenderConfig, device: torch.device) -> int | None:
    """Number of bytes that a worker may allocate on its device; None if there is no limit. Enforced on a GPU.

    Workers that are threads of one process share the process's limit.
    """
    farm = config.farm
    if device.type != "cuda":
        return None if farm.memory_gib is None else round(farm.memory_gib * 2**30)
    total_bytes = int(torch.cuda.get_device_properties(device).total_memory)
    limit = gpu_memory_limit(farm, total_bytes, config.motion)
    allowed = limit
    if farm.executor == "inline":
        workers = farm.workers or max(1, int(1 / farm.gpus_per_worker + 1e-9))
        allowed = workers * (limit + flow_memory(farm, total_bytes, config.motion))
    torch.cuda.set_per_process_memory_fraction(min(1.0, allowed / total_bytes))  # also back to all of it
    return limit


def available_memory(limit: int | None, device: torch.device) -> int | None:
    """Number of bytes that a frame could use now, the process's cached blocks included; None if it is unknown."""
    if device.type != "cuda":
        return limit
    free, _ = torch.cuda.mem_get_info()
    available = int(free) + int(torch.cuda.memory_reserved())
    return available if limit is None else min(limit, available)


def free_caches(device: torch.device) -> None:
    """Free memory that is cached but not in use."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


@dataclass(frozen=True, slots=True)
class MemoryLadder:
    """The memory modes that a worker may fall back to, for one configuration."""

    config: RenderConfig
    limit: int | None
    """Bytes that may be used; None if unknown."""
    bfloat16: bool = False
    """Whether feature maps are bfloat16 in any mode, so that a mode which adds only that gains nothing. The order of
    modes is the same on all devices, since a run's log names them."""

    def modes_from(self, memory_mode: MemoryMode, *, width: int, height: int) -> tuple[tuple[MemoryMode, ...], str]:
        """The modes to try for a frame, and why the first is not `memory_mode`, if the estimate says so.

        Modes that would not fit by estimate are left out; but an estimate alone makes no frame smaller.

        Args:
            memory_mode: the first that may be tried.
            width, height: size of the frame in pixels.
        """
        allowed = fallback_modes(self.config, smaller=self.config.farm.may_shrink)
        if memory_mode not in allowed:  # a resumed run keeps its mode, whatever is allowed now
            return (memory_mode,), ""
        modes = tuple(
            mode
            for mode in allowed[allowed.index(memory_mode) :]
            if mode == memory_mode or not self._gains_nothing(mode)
        )
        full_size = [mode for mode in modes if mode.scale == 1]
        if self.limit is None or not full_size:
            return modes, ""
        config = with_bfloat16(self.config) if self.bfloat16 else self.config
        first = first_fitting(full_size, config, self.limit, width=width, height=height) or full_size[-1]
        if first == memory_mode:
            return modes, ""
        needed = estimate_footprint(config, memory_mode).bytes_at(width, height)
        why = f"a frame of {width}x{height} takes some {_gib(needed)} of memory, and there are {_gib(self.limit)}"
        return modes[modes.index(first) :], why

    def _gains_nothing(self, mode: MemoryMode) -> bool:
        return self.bfloat16 and mode.bfloat16 and replace(mode, bfloat16=False) in fallback_modes(self.config)


def first_fitting(
    modes: Sequence[MemoryMode], config: RenderConfig, limit: int, *, width: int, height: int
) -> MemoryMode | None:
    """The first of some modes in which a frame fits into `limit` bytes, by estimate."""
    return next((mode for mode in modes if estimate_footprint(config, mode).bytes_at(width, height) <= limit), None)


def try_modes(
    paint: Callable[[MemoryMode], _T], modes: Sequence[MemoryMode], *, free: Callable[[], None]
) -> tuple[_T, MemoryMode, str]:
    """Call `paint` with one mode after the other until memory suffices.

    Args:
        paint: called with the first mode, after `free` with the same again, and then with the next ones.
        free: called after each failure, when nothing that the failed attempt allocated is referenced any more.

    Returns:
        The result, the mode, and the message of the first failure; empty if there was none.

    Raises:
        ScarceMemoryError: no mode suffices. Other errors of `paint` pass through.
    """
    first_message = ""
    for mode in (modes[0], *modes):
        try:
            return paint(mode), mode, first_message
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            message = _short_message(error)
            first_message = first_message or message
            logger.info("out of memory, saving %s: %s", mode.describe(), message)
            traceback.clear_frames(error.__traceback__)  # they hold tensors, and the caller may hold them
        free()
    raise ScarceMemoryError(first_message)


def too_large_error(
    config: RenderConfig, last: MemoryMode, available: int | None, message: str, *, width: int, height: int
) -> ScarceMemoryError:
    """The error for a frame that fits in no mode, with a size that would.

    Args:
        last: the last mode that was tried.
        available: available bytes; None if unknown.
        message: the first failure's.
    """
    tried = f", not with {last.describe()} either" if last != NO_SAVINGS else ""
    size = size_that_fits(config, last, available, width=width, height=height)
    shrink = "" if config.farm.may_shrink else ", or let such shots be painted smaller with farm.may_shrink=true"
    return ScarceMemoryError(
        f"a frame of {width}x{height} does not fit into memory{tried} ({message})",
        f"render it at --size {size}, with fewer workers at once{shrink}",
    )


def size_that_fits(
    config: RenderConfig, memory_mode: MemoryMode, available: int | None, *, width: int, height: int
) -> int:
    """A longest side at which a frame fits by estimate, with at most half the pixels of the size that did not fit."""
    half = max(_SIZE_STEP_PX, int(max(width, height) * 0.5**0.5) // _SIZE_STEP_PX * _SIZE_STEP_PX)
    if available is None:
        return half
    longest = estimate_footprint(config, memory_mode).longest_side_px(available, width, height)
    return min(half, longest or _SIZE_STEP_PX)


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / 2**30:.2f} GiB"


def _short_message(error: BaseException) -> str:
    text = next(iter(str(error).strip().splitlines()), "")
    text = _TORCH_LOCATION.sub("", text)[:_MAX_MESSAGE_CHARS].rstrip(". ")
    return text or type(error).__name__
