"""The schedules: generators of a shot's plan, in which every node comes after all it needs.

With `keys`, only key frames wait for each other, and a pass reads nothing but the pass before it, so all frames of a
pass are parallel and the result does not depend on who rendered what when. Key frames get the most work, since all
frames around them build on them; the first pass paints, the later ones are short and bring neighbours into line. The
gaps between key frames are evened out, so no last group is tiny and the last frame is a key frame.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from vidnst.config import Role, ScheduleConfig
from vidnst.config.temporal import TrainingConfig
from vidnst.farm.painted_keys import follow_keys
from vidnst.farm.painted_network import paint_and_follow
from vidnst.farm.passes import Passes, betweens, flow_node, pair_flows, warm_node, with_uses
from vidnst.farm.plan import NONE_GIVEN, FlowId, GivenFrames, NetworkId, Node, NodeId, SoundId, StartState, StateId
from vidnst.frames import Shot, shot_number, spread_over

_GOLDEN_RATIO = 0.6180339887498949
_MEASURED_FRAMES = 8
"""Frames from which a network takes the colours and the statistics of a clip."""
_STAGE_KEYS = 2
"""Painted keys that a stage of a training learns, at least."""


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
        yield warm_node(
            StateId(frame), Role.WARM, number, [StartState(StateId(frame - 1), flow)], uses=uses, final=True
        )


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
    return with_uses(writer.nodes(), horizon)


def key_frames(shot: Shot, *, spacing: int, loop: bool = False) -> tuple[int, ...]:
    """Return the key frames of a shot: the first, the last, and others between them, at most `spacing` apart.

    The gaps are as equal as whole frames allow, so that the last one is not tiny. In a loop the first frame follows the
    last, which then need not be a key.
    """
    length = len(shot) if loop else len(shot) - 1
    groups = -(-length // spacing)
    count = groups if loop else groups + 1
    return tuple(shot.start + (group * length) // max(1, groups) for group in range(count))


def painted(shot: Shot, *, number: int = 0, passes: int = 2, loop: bool = False) -> Iterator[Node]:
    """Plan a painting of each frame by the clip's network, then passes as in `keys`; all frames are parallel.

    Args:
        shot: its frames.
        number: the shot's.
        passes: number of passes over all frames.
        loop: whether the first frame follows the last.
    """
    loop = loop and len(shot) > 1
    passes = passes if len(shot) > 1 else 0
    return with_uses(_painted(shot, number, passes, loop), None if loop else (passes + 2) * (passes + 3))


def _painted(shot: Shot, number: int, passes: int, loop: bool) -> Iterator[Node]:
    following = Passes(shot, number, passes, loop)
    for frame in shot.indices:
        if passes and frame > shot.start:
            yield flow_node(number, FlowId(frame, frame - 1))
        yield Node(StateId(frame), Role.PAINT, number, (frame,), final=not passes)
        yield from following.up_to(frame)
    if loop and passes:
        yield flow_node(number, FlowId(shot.start, shot.end - 1))
        yield from following.close()


def training_plan(shots: Sequence[Shot], training: TrainingConfig, given: GivenFrames = NONE_GIVEN) -> Iterator[Node]:
    """Plan the training of a clip's network: stages, one after the other, each with the flows between its frames.

    Stages are checkpoints: an interrupted training continues after the last one that is done. The first measures frames
    all over the clip, and needs no flow. All read some of the painted keys, in turn.
    """
    start, end = shots[0].start, shots[-1].end
    keys = given.within(start, end)
    measured = {keys[place] for place in spread_over(0, len(keys), _MEASURED_FRAMES)} if keys else set()
    frames = tuple(sorted({*spread_over(start, end, _MEASURED_FRAMES), *measured}))
    uses = int(training.stages > 1)
    yield Node(NetworkId(start, 1), Role.TRAIN, 0, frames, uses=uses, final=False)
    for stage in range(2, training.stages + 1):
        pairs = training_pairs(shots, training, stage)
        flows = [FlowId(later, earlier, stage) for earlier, later in pairs if later > earlier]
        for flow in flows:
            yield Node(flow, Role.FLOW, shot_number(shots, flow.frame), (flow.frame, flow.reference), uses=1)
        learned = {keys[(stage * _STAGE_KEYS + place) % len(keys)] for place in range(_STAGE_KEYS)} if keys else set()
        frames = tuple(sorted({frame for pair in pairs for frame in pair} | learned))
        needs: tuple[NodeId, ...] = (NetworkId(start, stage - 1), *flows)
        uses = int(stage < training.stages)
        yield Node(NetworkId(start, stage), Role.TRAIN, 0, frames, needs, uses=uses, final=False)


def training_pairs(shots: Sequence[Shot], training: TrainingConfig, stage: int) -> list[tuple[int, int]]:
    """Return the pairs of frames that a stage learns from, the earlier frame first; a shot of one frame has it twice.

    Multiples of the golden ratio spread the pairs evenly over the clip, whatever their number.
    """
    first, end = shots[0].start, shots[-1].end
    pairs: set[tuple[int, int]] = set()
    for place in range((stage - 1) * training.pairs, stage * training.pairs):
        frame = first + int(place * _GOLDEN_RATIO % 1 * (end - first))
        shot = shots[shot_number(shots, frame)]
        apart = min(training.apart if place % 2 else 1, len(shot) - 1)
        earlier = min(frame, shot.end - 1 - apart)
        pairs.add((earlier, earlier + apart))
    return sorted(pairs)


class _KeyPlan:
    """Generates the nodes of one shot of `keys`, each after all it needs and as early as that allows."""

    def __init__(self, shot: Shot, number: int, keys: Sequence[int], passes: int, loop: bool) -> None:
        self._shot = shot
        self._number = number
        self._keys = keys
        self._final = not passes
        self._loop = loop
        self._passes = Passes(shot, number, passes, loop)

    def nodes(self) -> Iterator[Node]:
        """Generate all nodes, with `uses` not counted yet."""
        first, end = self._keys[0], self._shot.end
        yield Node(StateId(first), Role.COLD, self._number, (first,), final=self._final)
        for left, right in pairwise(self._keys):
            yield from pair_flows(self._shot, self._number, left, right)
            if self._loop and right == self._keys[-1]:
                yield from pair_flows(self._shot, self._number, right, end)
            yield self._key(left, right)
            yield from betweens(self._shot, self._number, left, right, final=self._final)
            yield from self._passes.up_to(right)
        if self._loop:
            if len(self._keys) == 1:
                yield from pair_flows(self._shot, self._number, first, end)
            yield from betweens(self._shot, self._number, self._keys[-1], end, final=self._final)
            yield from self._passes.close()

    def _key(self, left: int, right: int) -> Node:
        sources = [StartState(StateId(left), FlowId(right, left))]
        if self._loop and right == self._keys[-1]:  # the first key follows the last, which must suit it
            sources.append(StartState(StateId(self._keys[0]), FlowId(self._keys[0], right)))
        return warm_node(StateId(right), Role.KEY, self._number, sources, final=self._final)


def plan_shot(
    schedule: ScheduleConfig, shot: Shot, *, number: int = 0, given: GivenFrames = NONE_GIVEN
) -> Iterator[Node]:
    """Plan one shot by its schedule: each node after all it needs. `number` is the shot's, `given` the painted keys."""
    painted_keys = given.within(shot.start, shot.end)
    if given.exist and schedule.kind == "network":
        return paint_and_follow(shot, painted_keys, given.partial, number, schedule)
    if painted_keys:
        return follow_keys(shot, painted_keys, given.partial, number, schedule)
    match schedule.kind:
        case "keys":
            return keys(shot, number=number, **schedule.model_dump(include={"spacing", "passes", "loop"}))
        case "chain":
            return chain(shot, number=number)
        case "independent":
            return independent(shot, number=number)
        case "network":
            return painted(shot, number=number, passes=schedule.passes, loop=schedule.loop)


def by_shot(
    schedule: ScheduleConfig, shots: Sequence[Shot], given: GivenFrames = NONE_GIVEN
) -> Iterator[Iterator[Node]]:
    """Plan all shots, each a component that the scheduler runs independently of others."""
    for number, shot in enumerate(shots):
        yield plan_shot(closed(schedule, shots), shot, number=number, given=given)


def training_of(schedule: ScheduleConfig, shots: Sequence[Shot], given: GivenFrames = NONE_GIVEN) -> Iterator[Node]:
    """Plan the training that comes before all shots; empty if no network paints them. `given` is the painted keys."""
    return training_plan(shots, schedule.training, given) if schedule.kind == "network" else iter(())


def sound_plan(chunks: Sequence[int], *, number: int) -> Iterator[Node]:
    """Plan the restyling of a soundtrack: all chunks are parallel.

    Args:
        chunks: the number of chunks of each track.
        number: what stands for a shot; no shot of the clip has it.
    """
    pairs = ((track, chunk) for track, count in enumerate(chunks) for chunk in range(count))
    for place, (track, chunk) in enumerate(pairs):
        yield Node(SoundId(place, track, chunk), Role.SOUND, number, ())


def closed(schedule: ScheduleConfig, shots: Sequence[Shot]) -> ScheduleConfig:
    """Return the schedule without `loop` if there are several shots: such a clip begins with a cut."""
    return schedule.model_copy(update={"loop": schedule.loop and len(shots) == 1})
