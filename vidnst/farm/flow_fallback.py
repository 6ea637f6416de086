"""RAFT's flow in whatever memory there is: a frame never fails because its flow does not fit.

The ways to save memory follow each other: the two directions one after the other, a smaller picture, and at last DIS,
which needs no GPU. The flow is then another one, so the user is told.
"""

import logging
from collections.abc import Callable
from functools import partial

from vidnst.config import MotionConfig
from vidnst.farm.memory_fallback import free_caches, is_out_of_memory
from vidnst.frames import Pixels
from vidnst.motion.flow import FlowPair, NotedFlowPair, estimate_pair
from vidnst.motion.raft import Raft

_SCALES = (0.7, 0.5)
"""Sizes at which it is tried again: a quarter and a sixteenth of the memory."""

logger = logging.getLogger(__name__)


def estimate_in_memory(raft: Raft, first: Pixels, second: Pixels, config: MotionConfig) -> FlowPair:
    """Estimate the flows between two frames in the first way that fits into memory; with a note if it is another.

    Args:
        raft: the network.
        first, second: as `Raft.estimate_pair` takes them.
        config: of the flow.
    """
    regular = partial(raft.estimate_pair, first, second)
    ways: list[tuple[str, Callable[[], FlowPair]]] = [("", regular), ("", regular)]
    ways += [("", partial(regular, in_turn=True))]
    ways += [(f"at {scale:.0%} of its size", partial(regular, in_turn=True, scale=scale)) for scale in _SCALES]
    for how, estimate in ways:
        try:
            pair = estimate()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            logger.info("out of memory for RAFT's flow%s: %s", f" {how}" if how else "", error)
        else:
            return NotedFlowPair.of(pair, _note(how)) if how else pair
        free_caches(raft.device)  # here, where the error holds nothing any more
    return NotedFlowPair.of(estimate_pair(first, second, config), _note("by DIS on the CPU"))


def _note(how: str) -> str:
    return (
        f"RAFT's flow does not fit into the GPU's memory, so some of it is estimated {how}; "
        "a smaller motion.size or farm.memory_gib leaves it more room"
    )
