"""Plans: which nodes a render has and what each of them needs. Pure data and pure functions.

A plan is an iterator of nodes in an order in which every node comes after all it needs. It is generated as the
scheduler's front moves, so a feature film costs no more memory than a clip. Shots are separate components of the graph.
"""

from collections.abc import Iterator, Sequence
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


def independent(shots: Sequence[Shot]) -> Iterator[Node]:
    """Each frame from its own content: all parallel, nothing steady."""
    for number, shot in enumerate(shots):
        for frame in range(shot.start, shot.end):
            yield Node(StateId(frame), Role.COLD, number, (frame,), final=True)


def chain(shots: Sequence[Shot]) -> Iterator[Node]:
    """Each frame from the state of the one before, warped; sequential inside a shot, shots side by side."""
    for number, shot in enumerate(shots):
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


SCHEDULES = {"chain": chain, "independent": independent}
"""Schedules by the name that the configuration gives them."""
