"""What schedules have in common: the frames between two keys, the passes over a shot, the nodes of flows and starts."""

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from vidnst.config import Role
from vidnst.farm.plan import FlowId, Node, NodeId, StartState, StateId
from vidnst.frames import Shot


class Passes:
    """Generates the nodes of the passes over a shot, in which each frame reads its neighbours of the pass before."""

    def __init__(
        self,
        shot: Shot,
        number: int,
        passes: int,
        loop: bool,
        *,
        held: Collection[int] = (),
        follows: bool = False,
        more_starts: Callable[[int], Sequence[StartState]] | None = None,
    ) -> None:
        self._shot = shot
        self._number = number
        self._passes = passes
        self._loop = loop
        self._held = held
        """Frames that no pass changes: others read their first states."""
        self._follows = follows
        self._more_starts = more_starts
        """Further starts of a frame in the first pass; one of a neighbour replaces the usual one."""
        # In a loop the first frames of a pass read the last ones of the pass before: they come at the end.
        self._next = [shot.start + (pass_index if loop else 0) for pass_index in range(passes + 1)]
        """The next frame to generate, for each pass."""

    def up_to(self, last: int) -> Iterator[Node]:
        """The nodes of all passes that can be generated once all frames up to `last` have been."""
        is_end = not self._loop and last == self._shot.end - 1
        for pass_index in range(1, self._passes + 1):
            stop = last + 1 if is_end else last + 1 - pass_index
            for frame in range(self._next[pass_index], stop):
                if frame not in self._held:
                    yield self._relax(frame, pass_index)
            self._next[pass_index] = max(stop, self._next[pass_index])

    def close(self) -> Iterator[Node]:
        """The other nodes of a loop, pass by pass."""
        start, end = self._shot.start, self._shot.end
        for pass_index in range(1, self._passes + 1):
            for frame in (*range(start, min(start + pass_index, end)), *range(self._next[pass_index], end)):
                yield self._relax(frame, pass_index)

    def _relax(self, frame: int, pass_index: int) -> Node:
        sources = [StartState(self._before(frame, pass_index))]
        if frame > self._shot.start or self._loop:
            before = frame - 1 if frame > self._shot.start else self._shot.end - 1
            sources.append(StartState(self._before(before, pass_index), FlowId(frame, before)))
        if frame < self._shot.end - 1 or self._loop:
            after = in_loop(self._shot, frame + 1)
            sources.append(StartState(self._before(after, pass_index), FlowId(after, frame)))
        if pass_index == 1 and self._more_starts is not None:
            more = {start.state: start for start in self._more_starts(frame)}
            sources = [*(start for start in sources if start.state not in more), *more.values()]
        final = pass_index == self._passes
        state = StateId(frame, pass_index)
        return warm_node(state, Role.RELAX, self._number, sources, final=final, follows=self._follows)

    def _before(self, frame: int, pass_index: int) -> StateId:
        return StateId(frame, 0 if frame in self._held else pass_index - 1)


def pair_flows(shot: Shot, number: int, left: int, right: int) -> Iterator[Node]:
    """The flows between neighbours, from the left key to every frame, and from every frame to the right key.

    Flows between distant frames are refined from the composition of two shorter ones.
    """
    follower = in_loop(shot, right)
    for place in range(left + 1, right + 1):
        step = FlowId(in_loop(shot, place), place - 1)
        yield flow_node(number, step)
        if place > left + 1:
            yield flow_node(number, FlowId(in_loop(shot, place), left), step, FlowId(place - 1, left))
    for place in range(right - 2, left, -1):
        yield flow_node(number, FlowId(follower, place), FlowId(follower, place + 1), FlowId(place + 1, place))


def betweens(shot: Shot, number: int, left: int, right: int, *, final: bool, follows: bool = False) -> Iterator[Node]:
    """The frames between two keys, each from both."""
    follower = in_loop(shot, right)
    for frame in range(left + 1, right):
        far = (frame - left) / (right - left)
        sources = [
            StartState(StateId(left), FlowId(frame, left), 1 - far),
            StartState(StateId(follower), FlowId(follower, frame), far),
        ]
        yield warm_node(StateId(frame), Role.BETWEEN, number, sources, final=final, follows=follows)


def in_loop(shot: Shot, place: int) -> int:
    """The frame at a position in time: in a loop the first comes after the last."""
    return place if place < shot.end else shot.start


def flow_node(shot: int, flow: FlowId, *through: FlowId) -> Node:
    """The flows between two frames, refined from the composition of two shorter ones if those are given."""
    return Node(flow, Role.FLOW, shot, (flow.frame, flow.reference), through)


def warm_node(
    state: StateId,
    role: Role,
    shot: int,
    sources: Sequence[StartState],
    *,
    uses: int = 0,
    final: bool,
    follows: bool = False,
) -> Node:
    """A frame that starts from states, and needs them and the flows to them."""
    needs: dict[NodeId, None] = {}
    for source in sources:
        needs[source.state] = None
        if source.flow is not None:
            needs[source.flow] = None
    return Node(state, role, shot, (state.frame,), tuple(needs), tuple(sources), uses, final, follows)


def with_uses(nodes: Iterable[Node], horizon: int | None) -> Iterator[Node]:
    """Count the uses of nodes. A node may be used by the `horizon` nodes after it; None for any later node."""
    uses: Counter[NodeId] = Counter()
    ahead: deque[Node] = deque()
    for node in nodes:
        uses.update(node.needs)
        ahead.append(node)
        if horizon is not None and len(ahead) > horizon:
            yield _counted(ahead.popleft(), uses)
    while ahead:
        yield _counted(ahead.popleft(), uses)


def _counted(node: Node, uses: Counter[NodeId]) -> Node:
    count = uses.pop(node.id, 0)  # `replace` would take half of the time of a plan
    return Node(node.id, node.role, node.shot, node.frames, node.needs, node.sources, count, node.final, node.follows)
