"""Plans: the nodes of a render and what each of them needs. Pure data and pure functions.

A plan is an iterator of nodes in which every node comes after all it needs. It is generated while the scheduler's
window moves, so a feature film takes no more memory than a clip. Shots are separate components of the graph.

With `keys`, only key frames wait for each other, and a pass reads nothing but the pass before it, so all frames of a
pass are parallel and the result does not depend on who rendered what when. Key frames get the most work, since all
frames around them build on them; the first pass paints, the later ones are short and bring neighbours into line. The
gaps between key frames are evened out, so no last group is tiny and the last frame is a key frame.

Each pass follows the one before by two frames (`Node.rank`), so frames are finished one after the other and the
window moves steadily.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import TypeAlias

from vidnst.config import RenderConfig, Role, ScheduleConfig
from vidnst.frames import Shot

_LAG_FRAMES = 2
"""Between a pass and the next: a frame reads its neighbours of the pass before."""


class Lane(StrEnum):
    """The kind of worker that runs a node."""

    STYLE = "style"
    FLOW = "flow"


@dataclass(frozen=True, slots=True, order=True)
class StateId:
    """The state of a frame after a pass over its shot."""

    frame: int
    pass_index: int = 0

    def __str__(self) -> str:
        return f"{self.frame}.{self.pass_index}"

    def describe(self) -> str:
        """The node in words, for messages."""
        return f"frame {self.frame}" + (f" (pass {self.pass_index})" if self.pass_index else "")


@dataclass(frozen=True, slots=True, order=True)
class FlowId:
    """The flows between two frames, both ways.

    `reference` comes before `frame` in time; in a loop the last frame comes before the first.
    """

    frame: int
    reference: int

    def __str__(self) -> str:
        return f"{self.frame}<{self.reference}"

    def describe(self) -> str:
        """The node in words, for messages."""
        return f"the flow from frame {self.frame} to frame {self.reference}"


NodeId: TypeAlias = StateId | FlowId


@dataclass(frozen=True, slots=True)
class StartState:
    """A state that a frame starts from."""

    state: StateId
    flow: FlowId | None = None
    """The flow that warps it to the frame; None if it is the frame's own."""
    weight: float = 1.0
    """Share in the blend of all starts that are valid at a pixel."""


@dataclass(frozen=True, slots=True)
class Node:
    """One piece of work: the stylization of a frame, or a pair of flows."""

    id: NodeId
    role: Role
    shot: int
    """Number of the shot, from 0."""
    frames: tuple[int, ...]
    """Source frames it reads; the first is the one whose pixel grid it works on."""
    needs: tuple[NodeId, ...] = ()
    """Nodes whose results it reads. All of them come earlier in the plan. A flow that needs two others is refined from
    their composition."""
    sources: tuple[StartState, ...] = ()
    """The states that a warm start blends; they and their flows are among `needs`."""
    uses: int = 0
    """Number of nodes of the plan that need this one: after that many its result may be released."""
    final: bool = False
    """True if its result is what the viewer sees of the frame."""

    @property
    def lane(self) -> Lane:
        """The kind of worker that runs the node."""
        return Lane.FLOW if self.role is Role.FLOW else Lane.STYLE

    @property
    def rank(self) -> tuple[int, int, bool]:
        """The scheduler's priority among ready nodes: key frames, which others wait for, then what is early in time.

        Each pass lags behind the one before by as many frames as it reads ahead. So frames are finished one after the
        other, and the scheduler's window moves steadily: if a whole window were taken pass by pass, the keys and flows
        of the next one would come all at once, and workers would wait for them. A flow goes before the node that needs
        it.
        """
        if not isinstance(self.id, StateId):
            return (0, self.id.frame, False)
        if self.role not in (Role.BETWEEN, Role.RELAX):
            return (0, self.id.frame, True)
        return (1, self.id.frame + _LAG_FRAMES * self.id.pass_index, True)

    @property
    def states(self) -> tuple[StateId, ...]:
        """The states it starts from."""
        return tuple(need for need in self.needs if isinstance(need, StateId))


def independent(shot: Shot, *, number: int = 0) -> Iterator[Node]:
    """Plan each frame from its own content: all parallel, but not temporally stable. `number` is the shot's."""
    for frame in shot.indices:
        yield Node(StateId(frame), Role.COLD, number, (frame,), final=True)


def chain(shot: Shot, *, number: int = 0) -> Iterator[Node]:
    """Plan each frame from the warped state of the one before; sequential. `number` is the shot's."""
    for frame in shot.indices:
        uses = int(frame < shot.end - 1)
        if frame == shot.start:
            yield Node(StateId(frame), Role.COLD, number, (frame,), uses=uses, final=True)
            continue
        flow = FlowId(frame, frame - 1)
        yield Node(flow, Role.FLOW, number, (frame, frame - 1), uses=1)
        yield _warm(StateId(frame), Role.WARM, number, [StartState(StateId(frame - 1), flow)], uses=uses, final=True)


def keys(shot: Shot, *, number: int = 0, spacing: int = 8, passes: int = 2, loop: bool = False) -> Iterator[Node]:
    """Plan keys one after the other, the frames between two keys from both, then passes in which each frame reads its
    own state and its neighbours' of the pass before. Only the keys are sequential.

    Args:
        shot: its frames.
        number: the shot's.
        spacing: largest distance between keys, in frames.
        passes: number of passes over all frames.
        loop: whether the first frame follows the last.
    """
    loop = loop and len(shot) > 1
    passes = passes if len(shot) > 1 else 0
    writer = _KeyPlan(shot, number, key_frames(shot, spacing=spacing, loop=loop), passes, loop)
    horizon = None if loop else (passes + 4) * (2 * spacing + passes + 2)
    return _with_uses(writer.nodes(), horizon)


def key_frames(shot: Shot, *, spacing: int, loop: bool = False) -> tuple[int, ...]:
    """Return the key frames of a shot: the first, the last, and others between them, at most `spacing` apart.

    The gaps are as equal as whole frames allow, so that the last one is not tiny. In a loop the first frame follows the
    last, which then need not be a key.
    """
    length = len(shot) if loop else len(shot) - 1
    groups = -(-length // spacing)
    count = groups if loop else groups + 1
    return tuple(shot.start + (group * length) // max(1, groups) for group in range(count))


class _KeyPlan:
    """Generates the nodes of one shot of `keys`, each after all it needs and as early as that allows."""

    def __init__(self, shot: Shot, number: int, keys: Sequence[int], passes: int, loop: bool) -> None:
        self._shot = shot
        self._number = number
        self._keys = keys
        self._passes = passes
        self._loop = loop
        # In a loop the first frames of a pass read the last ones of the pass before: they come at the end.
        self._relaxed = [shot.start + (pass_index if loop else 0) for pass_index in range(passes + 1)]
        """For each pass the next frame to generate."""

    def nodes(self) -> Iterator[Node]:
        """Generate all nodes, with `uses` not counted yet."""
        first, end = self._keys[0], self._shot.end
        yield Node(StateId(first), Role.COLD, self._number, (first,), final=not self._passes)
        for left, right in pairwise(self._keys):
            yield from self._flows(left, right)
            if self._loop and right == self._keys[-1]:
                yield from self._flows(right, end)
            yield self._key(left, right)
            yield from self._betweens(left, right)
            yield from self._relax_to(right)
        if self._loop:
            if len(self._keys) == 1:
                yield from self._flows(first, end)
            yield from self._betweens(self._keys[-1], end)
            yield from self._close()

    def _flows(self, left: int, right: int) -> Iterator[Node]:
        """The flows between neighbours, from the left key to every frame, and from every frame to the right key.

        Flows between distant frames are refined from the composition of two shorter ones.
        """
        follower = self._frame(right)
        for place in range(left + 1, right + 1):
            step = FlowId(self._frame(place), place - 1)
            yield self._flow(step)
            if place > left + 1:
                yield self._flow(FlowId(self._frame(place), left), step, FlowId(place - 1, left))
        for place in range(right - 2, left, -1):
            yield self._flow(FlowId(follower, place), FlowId(follower, place + 1), FlowId(place + 1, place))

    def _flow(self, flow: FlowId, *through: FlowId) -> Node:
        return Node(flow, Role.FLOW, self._number, (flow.frame, flow.reference), through)

    def _key(self, left: int, right: int) -> Node:
        sources = [StartState(StateId(left), FlowId(right, left))]
        if self._loop and right == self._keys[-1]:  # the first key follows the last, which must suit it
            sources.append(StartState(StateId(self._keys[0]), FlowId(self._keys[0], right)))
        return _warm(StateId(right), Role.KEY, self._number, sources, final=not self._passes)

    def _betweens(self, left: int, right: int) -> Iterator[Node]:
        follower = self._frame(right)
        for frame in range(left + 1, right):
            far = (frame - left) / (right - left)
            sources = [
                StartState(StateId(left), FlowId(frame, left), 1 - far),
                StartState(StateId(follower), FlowId(follower, frame), far),
            ]
            yield _warm(StateId(frame), Role.BETWEEN, self._number, sources, final=not self._passes)

    def _relax_to(self, last: int) -> Iterator[Node]:
        """The nodes of all passes that can be generated once all frames up to `last` have been."""
        is_end = not self._loop and last == self._shot.end - 1
        for pass_index in range(1, self._passes + 1):
            stop = last + 1 if is_end else last + 1 - pass_index
            for frame in range(self._relaxed[pass_index], stop):
                yield self._relax(frame, pass_index)
            self._relaxed[pass_index] = max(stop, self._relaxed[pass_index])

    def _close(self) -> Iterator[Node]:
        """The other nodes of a loop, pass by pass."""
        start, end = self._shot.start, self._shot.end
        for pass_index in range(1, self._passes + 1):
            for frame in (*range(start, min(start + pass_index, end)), *range(self._relaxed[pass_index], end)):
                yield self._relax(frame, pass_index)

    def _relax(self, frame: int, pass_index: int) -> Node:
        sources = [StartState(StateId(frame, pass_index - 1))]
        if frame > self._shot.start or self._loop:
            before = frame - 1 if frame > self._shot.start else self._shot.end - 1
            sources.append(StartState(StateId(before, pass_index - 1), FlowId(frame, before)))
        if frame < self._shot.end - 1 or self._loop:
            after = self._frame(frame + 1)
            sources.append(StartState(StateId(after, pass_index - 1), FlowId(after, frame)))
        final = pass_index == self._passes
        return _warm(StateId(frame, pass_index), Role.RELAX, self._number, sources, final=final)

    def _frame(self, place: int) -> int:
        """The frame at a position in time: in a loop the first comes after the last."""
        return place if place < self._shot.end else self._shot.start


def _warm(state: StateId, role: Role, shot: int, sources: Sequence[StartState], *, uses: int = 0, final: bool) -> Node:
    needs: dict[NodeId, None] = {}
    for source in sources:
        needs[source.state] = None
        if source.flow is not None:
            needs[source.flow] = None
    return Node(state, role, shot, (state.frame,), tuple(needs), tuple(sources), uses=uses, final=final)


def _with_uses(nodes: Iterable[Node], horizon: int | None) -> Iterator[Node]:
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
    return Node(node.id, node.role, node.shot, node.frames, node.needs, node.sources, count, node.final)


def plan_shot(schedule: ScheduleConfig, shot: Shot, *, number: int = 0) -> Iterator[Node]:
    """Plan one shot by its schedule: each node after all it needs. `number` is the shot's."""
    match schedule.kind:
        case "keys":
            return keys(shot, number=number, **schedule.model_dump(include={"spacing", "passes", "loop"}))
        case "chain":
            return chain(shot, number=number)
        case "independent":
            return independent(shot, number=number)


def by_shot(schedule: ScheduleConfig, shots: Sequence[Shot]) -> Iterator[Iterator[Node]]:
    """Plan all shots, each a component that the scheduler runs independently of others."""
    for number, shot in enumerate(shots):
        yield plan_shot(closed(schedule, shots), shot, number=number)


def closed(schedule: ScheduleConfig, shots: Sequence[Shot]) -> ScheduleConfig:
    """Return the schedule without `loop` if there are several shots: such a clip begins with a cut."""
    return schedule.model_copy(update={"loop": schedule.loop and len(shots) == 1})


def evaluations(config: RenderConfig, node: Node) -> int:
    """Return the most evaluations of the loss that a node takes; flows take little and count as nothing."""
    return config.evaluations(node.role, node.id.pass_index) if isinstance(node.id, StateId) else 0


def finished_states(
    nodes: Iterable[Node], *, finished: Callable[[Node], bool], stored: Callable[[NodeId], bool]
) -> set[StateId]:
    """Return the states of one component that need not run, given the results of earlier sessions.

    A node runs again if it is not finished, or if its state is lost and a node that runs again reads it. So a frame
    that was deleted is rendered from the last stored state before it, and nothing else runs.

    Args:
        nodes: the component's plan, in its order.
        finished: returns whether an earlier session finished the node and its frame still exists.
        stored: returns whether the node's state can be loaded.
    """
    # Flows need no states, and a plan may be long: only what the loop below reads is kept of each node.
    states = [(node.id, node.states, finished(node)) for node in nodes if isinstance(node.id, StateId)]
    read_again: set[StateId] = set()
    done: set[StateId] = set()
    while states:
        state, needs, is_finished = states.pop()
        if is_finished and (state not in read_again or stored(state)):
            done.add(state)
        else:
            read_again.update(needs)
        read_again.discard(state)  # all its readers come later in the plan
    return done
