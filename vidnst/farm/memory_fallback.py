"""How much memory a stylizing worker may take, how one notices that it was too little, and what is done then."""

import gc
import logging
import re
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch

from vidnst.config import FarmConfig, RenderConfig
from vidnst.errors import ScarceMemoryError
from vidnst.style.memory.footprint import estimate_footprint
from vidnst.style.memory.modes import NO_SAVINGS, MemoryMode, fallback_modes
from vidnst.style.network.precision import with_bfloat16

_T = TypeVar("_T")

logger = logging.getLogger(__name__)

FLOW_GPU_SHARE = 0.1
"""Share of a stylizing worker's part of a GPU that a flow worker takes which needs one: flow is some percent of the
work."""
_CONTEXT_BYTES = 512 << 20
"""What CUDA and its libraries take of a GPU for each process, beside all that is allocated."""
_SIGNS = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "bad_alloc",
    "STATUS_ALLOC_FAILED",
    "could not create a memory object",
    "could not create a primitive",  # these three are oneDNN's, which does not tell it from other reasons
    "could not execute a primitive",
    "unable to find an engine to execute this computation",  # cuDNN's word for no room for any algorithm's workspace
)
"""What is in the messages of libraries that have no exception of their own for it."""
_ENFORCED = re.compile(r"^\[enforce fail at [^\]]*\] [^.]*\. ")
"""Where in its source torch has found it."""
_STEP = 16
"""Sizes that would fit are multiples of it."""
_LONGEST = 160
"""Characters of an error that are told."""


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is no memory for something: on a GPU, or on a CPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


def memory_limit(farm: FarmConfig, total: int, *, raft: bool) -> int:
    """Bytes that a stylizing worker may allocate on its GPU.

    Args:
        total: of the GPU.
        raft: whether flow workers take a part of the GPU, too.
    """
    share = farm.gpus_per_worker
    limit = float(total)
    if share < 1:
        limit = max(total * share * (1 - FLOW_GPU_SHARE * raft) - _CONTEXT_BYTES, total * share / 2)
    return round(limit if farm.memory_gib is None else min(limit, farm.memory_gib * 2**30))


def given_memory(config: RenderConfig, device: torch.device) -> int | None:
    """Bytes that a worker may take of its device; None where nobody says. Of a GPU, no more will be had from here on.

    Workers that are threads of one process share what it may take.
    """
    farm = config.farm
    if device.type != "cuda":
        return None if farm.memory_gib is None else round(farm.memory_gib * 2**30)
    total = int(torch.cuda.get_device_properties(device).total_memory)
    limit = memory_limit(farm, total, raft=config.motion.method == "raft")
    workers = (farm.workers or max(1, int(1 / farm.gpus_per_worker + 1e-9))) if farm.executor == "inline" else 1
    torch.cuda.set_per_process_memory_fraction(min(1.0, limit * workers / total))  # also back to all of it
    return limit


def room_left(limit: int | None, device: torch.device) -> int | None:
    """Bytes that a frame could have now, with what this process holds in reserve; None where that is not known."""
    if device.type != "cuda":
        return limit
    free, _ = torch.cuda.mem_get_info()
    room = int(free) + int(torch.cuda.memory_reserved())
    return room if limit is None else min(limit, room)


def free_caches(device: torch.device) -> None:
    """Give back what is held but not needed."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


@dataclass(frozen=True, slots=True)
class MemoryLadder:
    """The ways to save memory that a worker may take, for one configuration."""

    config: RenderConfig
    limit: int | None
    """Bytes that there are; None where that is not known."""
    half: bool = False
    """Whether maps are bfloat16 anyway, so that a rung which adds only that is no gain. The ladder is the same on all
    devices: a run's records name its rungs."""

    def above(self, memory_mode: MemoryMode, *, width: int, height: int) -> tuple[tuple[MemoryMode, ...], str]:
        """Those to try for a frame, and why not the first of them all, where that is reckoned only.

        Args:
            memory_mode: the first that may be tried; nothing less is.
            width, height: of the frame.

        Returns:
            What would take more than there is by reckoning is left out; but reckoning alone makes no frame smaller.
        """
        allowed = fallback_modes(self.config, smaller=self.config.farm.may_shrink)
        if memory_mode not in allowed:  # a run goes on as it began, whatever is allowed now
            return (memory_mode,), ""
        rungs = tuple(
            rung for rung in allowed[allowed.index(memory_mode) :] if rung == memory_mode or not self._is_vain(rung)
        )
        whole = [rung for rung in rungs if rung.scale == 1]
        if self.limit is None or not whole:
            return rungs, ""
        first = first_fitting(whole, self._reckoned, self.limit, width=width, height=height) or whole[-1]
        if first == memory_mode:
            return rungs, ""
        taken = estimate_footprint(self._reckoned, memory_mode).bytes_at(width, height)
        why = f"a frame of {width}x{height} takes some {_gib(taken)} of memory, and there are {_gib(self.limit)}"
        return rungs[rungs.index(first) :], why

    def _is_vain(self, rung: MemoryMode) -> bool:
        return self.half and rung.bfloat16 and replace(rung, bfloat16=False) in fallback_modes(self.config)

    @property
    def _reckoned(self) -> RenderConfig:
        return with_bfloat16(self.config) if self.half else self.config


def first_fitting(
    rungs: Sequence[MemoryMode], config: RenderConfig, limit: int, *, width: int, height: int
) -> MemoryMode | None:
    """The first of these with which a frame fits into so many bytes, by reckoning."""
    return next((rung for rung in rungs if estimate_footprint(config, rung).bytes_at(width, height) <= limit), None)


def climb(
    paint: Callable[[MemoryMode], _T], rungs: Sequence[MemoryMode], *, free: Callable[[], None]
) -> tuple[_T, MemoryMode, str]:
    """What `paint` gives with the first of some ways to save memory that is enough.

    Args:
        paint: is tried with the first rung, with the same again after `free`, and then with one after the other.
        free: called after each failure, when nothing of what has failed is held any more.

    Returns:
        Its result, the rung, and what the first failure said, where there was one.

    Raises:
        ScarceMemoryError: none is enough. What else `paint` raises passes through.
    """
    why = ""
    for memory_mode in (rungs[0], *rungs):
        try:
            return paint(memory_mode), memory_mode, why
        except Exception as error:
            if not out_of_memory(error):
                raise
            why = why or _short(error)
            logger.info("out of memory with memory mode %s: %s", memory_mode.describe(), _short(error))
            traceback.clear_frames(error.__traceback__)  # they hold tensors, and who raised may hold them
        free()
    raise ScarceMemoryError(why)


def too_large(
    config: RenderConfig, last: MemoryMode, room: int | None, why: str, *, width: int, height: int
) -> ScarceMemoryError:
    """What to tell of a frame that fits in no way, with a size that would.

    Args:
        last: the last way that was tried.
        room: bytes that there are; None where that is not known.
        why: what the first failure said.
    """
    spared = f", not with {last.describe()} either" if last != NO_SAVINGS else ""
    size = size_that_fits(config, last, room, width=width, height=height)
    shrink = "" if config.farm.may_shrink else ", or let such shots be painted smaller with farm.may_shrink=true"
    return ScarceMemoryError(
        f"a frame of {width}x{height} does not fit into memory{spared} ({why})",
        f"render it at --size {size}, with fewer workers at once{shrink}",
    )


def size_that_fits(config: RenderConfig, memory_mode: MemoryMode, room: int | None, *, width: int, height: int) -> int:
    """A longest side with which a frame fits by reckoning, and that has at most half the pixels: this did not fit."""
    half = max(_STEP, int(max(width, height) * 0.5**0.5) // _STEP * _STEP)
    if room is None:
        return half
    return min(half, estimate_footprint(config, memory_mode).longest_side_px(room, width, height) or _STEP)


def _gib(amount: int) -> str:
    return f"{amount / 2**30:.2f} GiB"


def _short(error: BaseException) -> str:
    text = next(iter(str(error).strip().splitlines()), "")
    text = _ENFORCED.sub("", text)[:_LONGEST].rstrip(". ")
    return text or type(error).__name__
