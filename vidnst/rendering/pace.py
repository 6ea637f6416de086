"""The pace of a render: how much of its work is done, and how long the rest takes."""

import time
from collections import Counter, deque
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from vidnst.config import RenderConfig, Role
from vidnst.farm.plan import Lane, Node, StateId, evaluations

_SERIAL_ROLES = frozenset({Role.WARM, Role.KEY, Role.TRAIN})
"""Work of which a shot can do only one piece at a time."""
_NODES_FOR_RATE = 6
"""Nodes of each worker from which on the measured rate is believed. Before that all workers are taken to be busy."""
_MOST_FOR_RATE = 2000
"""Nodes whose times are kept, however long a film is."""
_FIRST_NODES = 2
"""Nodes of each worker at the start that the rate is not measured on: most workers wait for the first frame."""
_OTHER_WORK = 3
"""Evaluations that take as long as all else of a node: blending its start, and the features of its content."""
_RECENT_SHARE = 0.4
"""Share of the latest nodes that the rate is measured on: a render begins with a few nodes that have to wait."""

Kind: TypeAlias = tuple[Role, int]
"""Nodes that take about the same time: their role, and the pass over the shot."""


@dataclass(slots=True)
class _Spent:
    """What the finished nodes of a kind have taken in this session."""

    nodes: int = 0
    seconds: float = 0.0
    evaluations: int = 0
    """The most evaluations of these nodes, not those that they did: others settle in about the same way."""


@dataclass
class Pace:
    """Counts the work of a clip in seconds of one worker, and predicts the rest.

    A node is expected to take as long as the finished nodes of its kind took on average; before there are any, as long
    as its evaluations took elsewhere. The rest takes the larger of two: all of it at the rate of the latest nodes, and
    the longest sequence of nodes that wait for each other. Flows are left out: where they hold a render up, the rate
    shows it.

    Args:
        config: settings of the render.
        workers: number of stylizing workers.
        clock: a monotonic clock in seconds.
    """

    config: RenderConfig
    workers: int
    clock: Callable[[], float] = time.monotonic
    _left: dict[int, Counter[Kind]] = field(default_factory=dict)
    """By shot, the nodes to be done."""
    _evaluations: dict[Kind, int] = field(default_factory=dict)
    """The most evaluations of a node, and what makes up for its other work."""
    _spent: dict[Kind, _Spent] = field(default_factory=dict)
    _done_before: Counter[Kind] = field(default_factory=Counter)
    _latest: deque[tuple[float, float]] = field(default_factory=lambda: deque([(0.0, 0.0)], maxlen=_MOST_FOR_RATE + 1))
    """When nodes ended, and the seconds of workers spent by then."""
    _nodes: int = 0

    def add(self, nodes: Iterable[Node], done: Container[object] = ()) -> None:
        """Add the nodes of a plan to the work. `done` holds those that earlier sessions finished."""
        for node in nodes:
            if node.lane is Lane.FLOW:
                continue
            kind = kind_of(node)
            self._evaluations[kind] = _OTHER_WORK + evaluations(self.config, node)
            if node.id in done:
                self._done_before[kind] += 1
            else:
                self._left.setdefault(node.shot, Counter())[kind] += 1

    def start(self) -> None:
        """Begin to measure the rate."""
        self._latest[0] = (self.clock(), 0.0)

    def node_done(self, node: Node, seconds: float) -> None:
        """Note that a node is done, which took one worker so many seconds."""
        if node.lane is Lane.FLOW:
            return
        kind = kind_of(node)
        spent = self._spent.setdefault(kind, _Spent())
        spent.nodes += 1
        spent.seconds += seconds
        spent.evaluations += self._evaluations[kind]
        self._nodes += 1
        self._latest.append((self.clock(), self._latest[-1][1] + seconds))
        self.node_dropped(node)

    def node_dropped(self, node: Node) -> None:
        """Note that a node will not be done in this session."""
        left, kind = self._left.get(node.shot), kind_of(node)
        if left is not None and left[kind] > 0:
            left[kind] -= 1

    @property
    def share(self) -> float:
        """Share of all work that is done, that of earlier sessions included, 0 to 1."""
        seconds = self._seconds_by_kind()
        left = sum(self._total(left, seconds) for left in self._left.values())
        done = self._total(self._done_before, seconds) + sum(spent.seconds for spent in self._spent.values())
        return done / (done + left) if done + left > 0 else 1.0

    @property
    def seconds_left(self) -> float | None:
        """The time that the rest takes; None before a node is done."""
        if not self._spent:
            return None
        seconds = self._seconds_by_kind()
        work = longest = training = 0.0
        for left in self._left.values():
            serial = {kind: count for kind, count in left.items() if kind[0] in _SERIAL_ROLES}
            trained = {kind: count for kind, count in serial.items() if kind[0] is Role.TRAIN}
            training += self._total(trained, seconds)
            work += self._total(left, seconds) - self._total(trained, seconds)
            longest = max(longest, self._total(serial, seconds) - self._total(trained, seconds))
        return training + max(work / self._rate(), longest)

    def _rate(self) -> float:
        """Return the seconds of workers that pass in a second, measured on the latest nodes."""
        needed = _NODES_FOR_RATE * self.workers
        if needed + _FIRST_NODES * self.workers > self._nodes:
            return float(self.workers)
        count = min(max(round(_RECENT_SHARE * self._nodes), needed), len(self._latest) - 1)
        (began, before), (now, spent) = self._latest[-1 - count], self._latest[-1]
        return (spent - before) / (now - began) if now > began and spent > before else float(self.workers)

    def _seconds_by_kind(self) -> Mapping[Kind, float]:
        """Return the seconds that a node of each kind is expected to take."""
        total = sum(spent.evaluations for spent in self._spent.values())
        each = sum(spent.seconds for spent in self._spent.values()) / total if total else 1.0
        expected = {kind: each * count for kind, count in self._evaluations.items()}
        return expected | {kind: spent.seconds / spent.nodes for kind, spent in self._spent.items()}

    @staticmethod
    def _total(counts: Mapping[Kind, int], seconds: Mapping[Kind, float]) -> float:
        return sum(count * seconds[kind] for kind, count in counts.items())


def kind_of(node: Node) -> Kind:
    """Return the kind of a node."""
    return node.role, node.id.pass_index if isinstance(node.id, StateId) else 0
