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
