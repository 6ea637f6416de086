"""Balances the load at the end of a batch: decides when all remaining shots must begin.

While there are enough clips, each is finished before the next one begins, as far as its own chains allow. The last
clips would leave workers idle, since a chain of frames takes its time however many workers wait. So once the remaining
work, shared evenly, would take no longer than the longest chain of the shots that have not begun, all of them begin.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from vidnst.config import RenderConfig
from vidnst.farm.plan import FlowId, Node, NodeId, evaluations

_MARGIN = 1.25
"""Factor by which chains begin early: workers are seldom free at the very moment."""


@dataclass(frozen=True, slots=True)
class Extent:
    """The amount of work in a shot, in evaluations of the loss."""

    work: float
    """Total work."""
    path: float
    """Work in the longest chain of nodes that wait for each other."""


def extent(nodes: Iterable[Node], config: RenderConfig, done: Collection[NodeId]) -> Extent:
    """Return the work left in a shot's plan, of which the nodes in `done` are finished."""
    ends: dict[NodeId, float] = {}
    work = 0.0
    for node in nodes:
        if not isinstance(node.id, FlowId):
            own = 0 if node.id in done else evaluations(config, node)
            ends[node.id] = own + max((ends.get(need, 0.0) for need in node.needs), default=0.0)
            work += own
    return Extent(work, max(ends.values(), default=0.0))


def is_near(*, left: float, unknown: int, clips: int, longest_path: float, workers: int) -> bool:
    """Return True if the chains that have not begun must begin now.

    Args:
        left: work left in the clips that are prepared.
        unknown: number of clips that are not prepared, assumed to be like those.
        clips: number of clips that are prepared.
        longest_path: work in the longest chain of the shots that have not begun.
        workers: number of workers that share the work.
    """
    total = left * (1 + unknown / max(1, clips))
    return total <= _MARGIN * longest_path * workers
