"""Plans: which nodes a render has and what each of them needs. Pure data and pure functions.

A plan is an iterator of nodes in an order in which every node comes after all it needs. It is generated as the
scheduler's front moves, so a feature film costs no more memory than a clip. Shots are separate components of the graph.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from vidnst.frames import Shot


class Lane(StrEnum):
    """Which kind of worker runs a node."""

    STYLE = "style"
    FLOW = "flow"


class Role(StrEnum):
    """What a node does."""

    COLD = "cold"
    """Stylizes a frame from its content."""
    WARM = "warm"
    """Stylizes a frame from the warped states of others."""
    FLOW = "flow"
    """Finds the optical flow between two source frames."""

    @property
    def lane(self) -> Lane:
        """The kind of worker that runs nodes of this role."""
        return Lane.FLOW if self is Role.FLOW else Lane.STYLE


@dataclass(frozen=True, slots=True, order=True)
class StateId:
    """The state of a frame after a pass over its shot."""

    frame: int
    pass_index: int = 0

    def __str__(self) -> str:
        return f"{self.frame}.{self.pass_index}"


@dataclass(frozen=True, slots=True, order=True)
class FlowId:
    """The flow that fetches `reference` onto the pixel grid of `frame`."""

    frame: int
    reference: int

    def __str__(self) -> str:
        return f"{self.frame}<{self.reference}"


NodeId: TypeAlias = StateId | FlowId


@dataclass(frozen=True, slots=True)
class Node:
    """One piece of work."""

    id: NodeId
    role: Role
    shot: int
    """Number of the shot, from 0."""
    frames: tuple[int, ...]
    """Source frames it reads; the first is the one whose pixel grid it works on."""
    needs: tuple[NodeId, ...] = ()
    """Nodes whose results it reads. All of them come earlier in the plan."""
    uses: int = 0
    """How many nodes of the plan need this one: after that many its result may be forgotten."""
    final: bool = False
    """Whether its result is what the viewer sees of the frame."""

    @property
    def rank(self) -> tuple[int, int, bool]:
        """Order in time, the scheduler's preference among ready nodes; a flow goes before what needs it."""
        pass_index = self.id.pass_index if isinstance(self.id, StateId) else 0
        return (pass_index, self.id.frame, isinstance(self.id, StateId))

    @property
    def states(self) -> tuple[StateId, ...]:
        """The states it starts from."""
        return tuple(need for need in self.needs if isinstance(need, StateId))


def independent(shots: Sequence[Shot], *, first: int = 0) -> Iterator[Node]:
    """Each frame from its own content: all parallel, nothing steady. `first` is the number of the first shot."""
    for number, shot in enumerate(shots, start=first):
        for frame in range(shot.start, shot.end):
            yield Node(StateId(frame), Role.COLD, number, (frame,), final=True)


def chain(shots: Sequence[Shot], *, first: int = 0) -> Iterator[Node]:
    """Each frame from the state of the one before, warped; sequential inside a shot, shots side by side.

    `first` is the number of the first shot.
    """
    for number, shot in enumerate(shots, start=first):
        last = shot.end - 1
        for frame in range(shot.start, shot.end):
            uses = int(frame < last)
            if frame == shot.start:
                yield Node(StateId(frame), Role.COLD, number, (frame,), uses=uses, final=True)
                continue
            flow = FlowId(frame, frame - 1)
            yield Node(flow, Role.FLOW, number, (frame, frame - 1), uses=1)
            needs = (StateId(frame - 1), flow)
            yield Node(StateId(frame), Role.WARM, number, (frame,), needs, uses=uses, final=True)


def key_frames(shot: Shot, *, spacing: int, loop: bool = False) -> tuple[int, ...]:
    """Frames of a shot that are keys: the first, the last, and others between them, at most `spacing` apart.

    The gaps are as equal as whole frames allow, so no last group is tiny. In a loop the first frame follows the last,
    which then need not be a key.
    """
    length = len(shot) if loop else len(shot) - 1
    groups = -(-length // spacing)
    count = groups if loop else groups + 1
    return tuple(shot.start + (group * length) // max(1, groups) for group in range(count))


SCHEDULES = {"chain": chain, "independent": independent}
"""Schedules by the name that the configuration gives them."""


def by_shot(kind: str, shots: Sequence[Shot]) -> Iterator[Iterator[Node]]:
    """The plan of schedule `kind`, one iterator for each shot: the components that a scheduler runs side by side."""
    for number, shot in enumerate(shots):
        yield SCHEDULES[kind]([shot], first=number)


def settled(
    nodes: Iterable[Node], *, finished: Callable[[Node], bool], stored: Callable[[NodeId], bool]
) -> set[StateId]:
    """States of one component that need no more work, given what an earlier session left.

    A node runs again if it is not finished, or if its state is gone and a node that runs again reads it; so a frame
    that was deleted is rendered anew from the last state that is still there, and nothing more.

    Args:
        nodes: the component's plan, in its order.
        finished: whether an earlier session finished the node and its lasting result is there.
        stored: whether the node's result can be read back.
    """
    read_again: set[NodeId] = set()
    done: set[StateId] = set()
    for node in reversed(list(nodes)):
        asked = node.id in read_again and not stored(node.id)
        if asked or (isinstance(node.id, StateId) and not finished(node)):
            read_again.update(node.needs)
        elif isinstance(node.id, StateId):
            done.add(node.id)
    return done
