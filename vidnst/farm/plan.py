"""Plans: the nodes of a render and what each of them needs. Pure data and pure functions.

A plan is an iterator of nodes in which every node comes after all it needs. It is generated while the scheduler's
window moves, so a feature film takes no more memory than a clip. Shots are separate components of the graph.

Each pass follows the one before by two frames (`Node.rank`), so frames are finished one after the other and the
window moves steadily.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from vidnst.config import RenderConfig, Role

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
    stage: int = 0
    """The stage of a training that reads it; 0 for a flow that warm starts read."""

    def __str__(self) -> str:
        return f"{self.frame}<{self.reference}" + (f"@{self.stage}" if self.stage else "")

    def describe(self) -> str:
        """The node in words, for messages."""
        return f"the flow from frame {self.frame} to frame {self.reference}"


@dataclass(frozen=True, slots=True, order=True)
class NetworkId:
    """A clip's transform network after a stage of its training."""

    frame: int
    """The first frame of the clip's range."""
    stage: int
    """The number of the stage, from 1."""

    def __str__(self) -> str:
        return f"network.{self.stage}"

    def describe(self) -> str:
        """The node in words, for messages."""
        return f"stage {self.stage} of the network's training"


@dataclass(frozen=True, slots=True, order=True)
class SoundId:
    """A restyled chunk of a soundtrack."""

    frame: int
    """Its place among the chunks of all tracks, which has nothing to do with pictures; the window counts it."""
    track: int
    """The number of the track, from 0."""
    chunk: int
    """The number of the chunk in its track, from 0."""

    def __str__(self) -> str:
        return f"sound{self.track}.{self.chunk}"

    def describe(self) -> str:
        """The node in words, for messages."""
        return f"chunk {self.chunk + 1} of audio track {self.track + 1}"


@dataclass(frozen=True, slots=True)
class GivenFrames:
    """Frames of a clip that a person has painted."""

    whole: frozenset[int] = frozenset()
    partial: frozenset[int] = frozenset()
    """Frames whose painting is transparent somewhere, where they are painted like all others."""

    @property
    def exist(self) -> bool:
        """True if there are any."""
        return bool(self.whole or self.partial)

    def within(self, start: int, end: int) -> tuple[int, ...]:
        """The given frames of a range, in order."""
        return tuple(sorted(frame for frame in self.whole | self.partial if start <= frame < end))


NONE_GIVEN = GivenFrames()

StoredId: TypeAlias = StateId | NetworkId | SoundId
"""A node whose result is stored in the run folder while others may read it."""
NodeId: TypeAlias = StoredId | FlowId


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
    """One piece of work: the stylization of a frame, a pair of flows, a stage of a training, or a chunk of sound."""

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
    follows: bool = False
    """True if it follows painted keys: what they show of the frame is kept, and the rest is painted."""

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
        if self.role not in (Role.BETWEEN, Role.PAINT, Role.RELAX):
            return (0, self.id.frame, True)
        return (1, self.id.frame + _LAG_FRAMES * self.id.pass_index, True)

    @property
    def window_frame(self) -> int | None:
        """The frame at which it enters the scheduler's window; None if it may enter at any time.

        A training reads frames of the whole clip, so its flows do not wait for the window.
        """
        return None if isinstance(self.id, FlowId) and self.id.stage else self.id.frame

    @property
    def stored_needs(self) -> tuple[StoredId, ...]:
        """The states that it starts from, or the network that it continues."""
        return tuple(need for need in self.needs if not isinstance(need, FlowId))


def evaluations(config: RenderConfig, node: Node) -> int:
    """Return the most evaluations of the loss that a node takes; flows take little and count as nothing.

    A step of a training counts as one, and so does painting a frame with a network, which takes less.
    """
    if node.role is Role.PAINT:
        return 1
    if isinstance(node.id, NetworkId):
        return config.schedule.training.steps_of(node.id.stage)
    if isinstance(node.id, SoundId):
        return config.audio.iterations if config.audio.strength else 0
    if node.role is Role.GIVEN and config.keys.weight == 1 and not node.sources:
        return 1
    if node.follows and node.role is Role.RELAX and not config.keys.rate:
        return 1
    return config.evaluations(node.role, node.id.pass_index) if isinstance(node.id, StateId) else 0


def finished_nodes(
    nodes: Iterable[Node], *, finished: Callable[[Node], bool], stored: Callable[[NodeId], bool]
) -> set[StoredId]:
    """Return the nodes of one component that need not run, given the results of earlier sessions; flows are left out.

    A node runs again if it is not finished, or if its result is lost and a node that runs again reads it. So a frame
    that was deleted is rendered from the last stored state before it, and nothing else runs.

    Args:
        nodes: the component's plan, in its order.
        finished: returns whether an earlier session finished the node and its frame still exists.
        stored: returns whether the node's result can be loaded.
    """
    # Flows need no results, and a plan may be long: only what the loop below reads is kept of each node.
    results = [(node.id, node.stored_needs, finished(node)) for node in nodes if not isinstance(node.id, FlowId)]
    read_again: set[StoredId] = set()
    done: set[StoredId] = set()
    while results:
        result, needs, is_finished = results.pop()
        if is_finished and (result not in read_again or stored(result)):
            done.add(result)
        else:
            read_again.update(needs)
        read_again.discard(result)  # all its readers come later in the plan
    return done
