"""The plan of a shot in which a person has painted frames: all others follow these along the optical flow.

A painted key is given: nothing is read to make it, and no pass changes it. Where two of them, or a key and the end of
the shot, are farther apart than the schedule's spacing, frames between them become keys that start from both painted
keys at once, weighed by distance. So a stroke is resampled twice at most, however far it travels. What no painted key
shows is painted in the style, and goes from each of these keys to the next.
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise

from vidnst.config import Role, ScheduleConfig
from vidnst.farm.passes import Passes, betweens, flow_node, pair_flows, warm_node, with_uses
from vidnst.farm.plan import FlowId, Node, StartState, StateId
from vidnst.frames import Shot

_FILL_WEIGHT = 0.01
"""Weight of a neighbouring key that is not painted: it counts where no painted one is valid."""
FOLLOWING_PASSES = 2
"""Passes only average what follows the keys, and nothing paints it again: more of them blur it."""


def follow_keys(
    shot: Shot, given: Sequence[int], partial: Collection[int], number: int, schedule: ScheduleConfig
) -> Iterator[Node]:
    """Plan a shot with painted keys.

    Args:
        shot: its frames.
        given: the painted ones, at least one, in order.
        partial: those among them that are transparent somewhere, and painted there like other frames.
        number: the shot's.
        schedule: `spacing` and `passes` are used.
    """
    passes = min(schedule.passes, FOLLOWING_PASSES) if len(shot) > 1 else 0
    edges = [shot.start, *given, shot.end - 1]
    longest = max(right - left for left, right in pairwise(edges)) + schedule.spacing
    nodes = _PaintedKeyPlan(shot, given, partial, number, schedule.spacing, passes).nodes()
    return with_uses(nodes, (passes + 4) * (2 * longest + passes + 2))


class _PaintedKeyPlan:
    """Generates the nodes of one shot, each after all it needs."""

    def __init__(
        self, shot: Shot, given: Sequence[int], partial: Collection[int], number: int, spacing: int, passes: int
    ) -> None:
        self._shot = shot
        self._given = given
        self._partial = partial
        self._number = number
        self._spacing = spacing
        self._final = not passes
        held = frozenset(given).difference(partial)
        self._passes = Passes(shot, number, passes, loop=False, held=held, follows=True)

    def nodes(self) -> Iterator[Node]:
        """Generate all nodes, with `uses` not counted yet."""
        first, last = self._given[0], self._given[-1]
        yield self._painted(first)
        yield from self._before(first)
        for left, right in pairwise(self._given):
            yield from self._gap(left, right)
        yield from self._after(last)
        yield from self._passes.up_to(self._shot.end - 1)

    def _painted(self, frame: int, before: int | None = None) -> Node:
        """A painted key; what it leaves transparent starts from the key before it."""
        is_partial = frame in self._partial
        sources = [StartState(StateId(before), FlowId(frame, before))] if before is not None and is_partial else []
        final = self._final or not is_partial
        return warm_node(StateId(frame), Role.GIVEN, self._number, sources, final=final)

    def _before(self, painted: int) -> Iterator[Node]:
        """The frames up to the first painted key; keys follow it backwards."""
        pairs = list(pairwise(self._spaced(self._shot.start, painted)))
        for left, right in reversed(pairs):
            yield from pair_flows(self._shot, self._number, left, right)
            sources = [StartState(StateId(painted), FlowId(painted, left))]
            if right != painted:
                yield self._flow(FlowId(painted, left), FlowId(painted, right), FlowId(right, left))
                sources.append(StartState(StateId(right), FlowId(right, left), _FILL_WEIGHT))
            yield self._key(left, sources)
        for left, right in pairs:
            yield from self._between(left, right)

    def _after(self, painted: int) -> Iterator[Node]:
        """The frames from the last painted key on."""
        for left, right in pairwise(self._spaced(painted, self._shot.end - 1)):
            yield from pair_flows(self._shot, self._number, left, right)
            sources = [StartState(StateId(painted), FlowId(right, painted))]
            if left != painted:
                yield self._flow(FlowId(right, painted), FlowId(right, left), FlowId(left, painted))
                sources.append(StartState(StateId(left), FlowId(right, left), _FILL_WEIGHT))
            yield self._key(right, sources)
            yield from self._between(left, right)

    def _gap(self, first: int, last: int) -> Iterator[Node]:
        """The frames between two painted keys."""
        keys = self._spaced(first, last)
        pairs = list(pairwise(keys))
        for left, right in pairs:
            yield from pair_flows(self._shot, self._number, left, right)
        for left, right in pairs[1:]:
            yield self._flow(FlowId(right, first), FlowId(right, left), FlowId(left, first))
        for left, right in reversed(pairs[1:-1]):
            yield self._flow(FlowId(last, left), FlowId(last, right), FlowId(right, left))
        yield self._painted(last, first)
        for before, frame in pairs[:-1]:
            far = (frame - first) / (last - first)
            sources = [
                StartState(StateId(first), FlowId(frame, first), 1 - far),
                StartState(StateId(last), FlowId(last, frame), far),
            ]
            if before != first:
                sources.append(StartState(StateId(before), FlowId(frame, before), _FILL_WEIGHT))
            yield self._key(frame, sources)
        for left, right in pairs:
            yield from self._between(left, right)

    def _key(self, frame: int, sources: Sequence[StartState]) -> Node:
        return warm_node(StateId(frame), Role.KEY, self._number, sources, final=self._final, follows=True)

    def _between(self, left: int, right: int) -> Iterator[Node]:
        yield from betweens(self._shot, self._number, left, right, final=self._final, follows=True)
        yield from self._passes.up_to(right)

    def _flow(self, flow: FlowId, *through: FlowId) -> Node:
        return flow_node(self._number, flow, *through)

    def _spaced(self, first: int, last: int) -> list[int]:
        """Both frames, and others between them, evenly, at most as far apart as the schedule's spacing."""
        groups = max(1, -(-(last - first) // self._spacing))
        return [first + group * (last - first) // groups for group in range(groups + 1)] if last > first else [first]
