"""The plan of a shot that is painted by a network which has learned painted keys.

The network paints all frames, however far from a key. But its strokes are like the key's, not the same, so a key among
its frames would flash. So frames near a key follow the key along the flow, too: it counts the less the farther it is,
until at the schedule's spacing only the network's painting is left.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence

from vidnst.config import Role, ScheduleConfig
from vidnst.farm.painted_keys import FOLLOWING_PASSES
from vidnst.farm.passes import Passes, flow_node, with_uses
from vidnst.farm.plan import FlowId, Node, StartState, StateId
from vidnst.frames import Shot

_OTHER_STARTS = 3
"""Starts of a frame in a pass, with weight 1 each: its own state and those of its neighbours."""


def paint_and_follow(
    shot: Shot, given: Sequence[int], partial: Collection[int], number: int, schedule: ScheduleConfig
) -> Iterator[Node]:
    """Plan a shot.

    Args:
        shot: its frames.
        given: its painted keys, in order; there may be none.
        partial: those among them that are transparent somewhere, and painted there like other frames.
        number: the shot's.
        schedule: `spacing` and `passes` are used.
    """
    passes = min(schedule.passes, FOLLOWING_PASSES) if len(shot) > 1 else 0
    plan = _NetworkPlan(shot, given, partial, number, schedule.spacing, passes)
    return with_uses(plan.nodes(), (passes + 6) * (2 * schedule.spacing + passes + 3))


class _NetworkPlan:
    """Generates the nodes of one shot, each after all it needs."""

    def __init__(
        self, shot: Shot, given: Sequence[int], partial: Collection[int], number: int, spacing: int, passes: int
    ) -> None:
        self._shot = shot
        self._given = given
        self._held = frozenset(given).difference(partial)
        self._number = number
        self._spacing = spacing
        self._has_passes = passes > 0
        self._passes = Passes(
            shot, number, passes, loop=False, held=self._held, follows=True, more_starts=self._key_starts
        )
        self._steps_to = shot.start
        """Last frame whose flow to the one before it has been generated."""
        self._painted: set[int] = set()
        """Keys that were generated ahead of their turn."""

    def nodes(self) -> Iterator[Node]:
        """Generate all nodes, with `uses` not counted yet."""
        for frame in self._shot.indices:
            before, after = self._around(frame)
            if self._has_passes:
                yield from self._steps(frame)
                if before is not None and frame - before > 1 and frame not in self._painted:  # else `_ahead` had it
                    steps = FlowId(frame, frame - 1), FlowId(frame - 1, before)
                    yield flow_node(self._number, FlowId(frame, before), *steps)
                if after is not None and after not in self._painted:
                    yield from self._ahead(frame, after)
            if frame in self._painted:
                self._painted.remove(frame)
            else:
                yield self._paint(frame)
            yield from self._passes.up_to(frame)

    def _ahead(self, frame: int, key: int) -> Iterator[Node]:
        """The next key, with the flows to it from all frames from this one on."""
        yield from self._steps(key)
        for other in range(key - 2, frame - 1, -1):
            steps = FlowId(key, other + 1), FlowId(other + 1, other)
            yield flow_node(self._number, FlowId(key, other), *steps)
        yield self._paint(key)
        self._painted.add(key)

    def _steps(self, last: int) -> Iterator[Node]:
        """The flows between neighbours up to a frame."""
        for frame in range(self._steps_to + 1, last + 1):
            yield flow_node(self._number, FlowId(frame, frame - 1))
        self._steps_to = max(self._steps_to, last)

    def _paint(self, frame: int) -> Node:
        final = not self._has_passes or frame in self._held
        return Node(StateId(frame), Role.PAINT, self._number, (frame,), final=final)

    def _around(self, frame: int) -> tuple[int | None, int | None]:
        """The keys before and after a frame that are near enough to follow."""
        place = bisect_left(self._given, frame)
        after = place + (place < len(self._given) and self._given[place] == frame)
        near = range(frame - self._spacing, frame + self._spacing + 1)
        found = (
            self._given[index] if 0 <= index < len(self._given) and self._given[index] in near else None
            for index in (place - 1, after)
        )
        earlier, later = found
        return earlier, later

    def _key_starts(self, frame: int) -> list[StartState]:
        """The keys around a frame, with weights that let them make up a share of the blend that falls with distance."""
        starts: list[StartState] = []
        for key in self._around(frame):
            if key is not None:
                distance = abs(key - frame) / (self._spacing + 1)
                weight = _OTHER_STARTS * (1 - distance) / distance
                starts.append(StartState(StateId(key), FlowId(max(key, frame), min(key, frame)), weight))
        return starts
