"""When the end of a batch is near, and chains that are not begun yet must be, or workers will wait for them.

As long as there are clips enough, each is finished before the next one is begun, as far as its own chains allow. The
last ones would leave workers idle: a chain takes its time, however many wait. So once all that is left, shared out
evenly, would take no longer than the longest chain among shots not begun, they are begun at once.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from vidnst.config import RenderConfig
from vidnst.farm.plan import Node, NodeId, StateId

_MARGIN = 1.25
"""Chains are begun a little before they must be: workers are seldom free at the very moment."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much there is to do in a shot, in evaluations of the loss."""

    work: float
    """In all."""
    path: float
    """One after the other: the longest chain."""


def cost(config: RenderConfig, node: Node) -> int:
    """Evaluations that a node takes at most; flows, which take little, count for nothing."""
    return config.evaluations(node.role, node.id.pass_index) if isinstance(node.id, StateId) else 0


def extent(nodes: Iterable[Node], config: RenderConfig, done: Collection[NodeId]) -> Extent:
    """What there is to do in a shot's plan, of which some is done."""
    ends: dict[NodeId, float] = {}
    work = 0.0
    for node in nodes:
        if isinstance(node.id, StateId):
            own = 0 if node.id in done else cost(config, node)
            ends[node.id] = own + max((ends.get(need, 0.0) for need in node.needs), default=0.0)
            work += own
    return Extent(work, max(ends.values(), default=0.0))


def is_near(*, left: float, unknown: int, clips: int, longest_path: float, workers: int) -> bool:
    """Whether the chains that are not begun must be now.

    Args:
        left: work at the clips that are prepared.
        unknown: clips that are not, taken to be like those.
        clips: that are prepared.
        longest_path: among shots not begun, in the same unit.
        workers: that share the work.
    """
    whole = left * (1 + unknown / max(1, clips))
    return whole <= _MARGIN * longest_path * workers
