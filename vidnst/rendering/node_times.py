"""The time that nodes take: measured for each kind, and expected before that; and the rate at which workers work."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from vidnst.config import Role
from vidnst.farm.plan import Node

_NODES_FOR_RATE = 6
"""Nodes of each worker from which on the measured rate is believed. Before that all workers are taken to be busy."""
_MOST_FOR_RATE = 2000
"""Nodes whose times are kept, however long a film is."""
_NODES_EXPECTED = 2
"""Nodes for which what is expected of a kind counts among its finished ones."""
_FIRST_NODES = 2
"""Nodes of each worker at the start that the rate is not measured on: most workers wait for the first frame."""
Kind: TypeAlias = tuple[Role, int, object]
"""Nodes that take about the same time: their role, the pass over the shot, and what else decides it."""
FIRST_STAGE = 1
"""In place of the pass, for the first stage of a training, which loads networks and measures the clip: it takes no
steps, so its time says nothing about others."""
SecondsOf: TypeAlias = Callable[[Node], float]
"""Returns the seconds that a node is expected to take one worker."""


@dataclass(slots=True)
class _Spent:
    """What finished nodes have taken in this session."""

    nodes: int = 0
    seconds: float = 0.0
    painting: float = 0.0
    """Seconds of them that went into evaluations."""

    def add(self, seconds: float, painting: float) -> None:
        """Add a node."""
        self.nodes += 1
        self.seconds += seconds
        self.painting += painting

    def without(self, other: "_Spent | None") -> "_Spent":
        """What is left without some of the nodes."""
        if other is None:
            return self
        return _Spent(self.nodes - other.nodes, self.seconds - other.seconds, self.painting - other.painting)


class NodeTimes:
    """Expects a node to take as long as the finished nodes of its kind took on average.

    The first nodes of a kind are averaged with what is expected without them, since a single one may be slow by chance:
    its evaluations at the rate of its role's other passes, of its role in other clips, or else of all finished nodes,
    and as long again as those took besides their evaluations. Before any node is finished, the times are as foreseen.

    The first node of each worker loads code and computes what others reuse. As soon as there are as many others, it
    tells nothing of other kinds any more, nor of its own if others of that are finished.

    Args:
        workers: number of stylizing workers.
    """

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        self._costs: dict[Kind, float] = {}
        """Most evaluations of a node, times what makes them slower."""
        self._pixels: dict[Kind, int] = {}
        self._spent: dict[Kind, _Spent] = {}
        self._warming: dict[Kind, _Spent] = {}
        """Of those, the first node of each worker."""
        self._foreseen = 0.0
        self._foreseen_of: dict[Kind, float] = {}

    @property
    def are_known(self) -> bool:
        """True if a node was measured that tells of others, or the times were foreseen."""
        return any(map(_tells_of_others, self._spent)) or self._foreseen > 0

    @property
    def are_measured(self) -> bool:
        """True if a node was measured."""
        return bool(self._spent)

    @property
    def spent(self) -> float:
        """The seconds that all finished nodes took."""
        return sum(spent.seconds for spent in self._spent.values())

    def expect(self, kind: Kind, cost: float, *, pixels: int = 1) -> None:
        """Make a kind known, with its cost, and the pixels that it has to do with besides its evaluations."""
        self._costs[kind], self._pixels[kind] = cost, pixels

    def foresee(self, seconds: Mapping[Kind, float]) -> None:
        """Take the times of some kinds from a forecast, until a node is finished."""
        known = {kind: value for kind, value in seconds.items() if kind in self._costs}
        cost = sum(self._costs[kind] for kind in known)
        self._foreseen_of = known
        self._foreseen = sum(known.values()) / cost if cost else 0.0

    def note(self, kind: Kind, seconds: float, painting: float | None = None) -> None:
        """Note that a node of a kind is done, which took so many seconds.

        Args:
            kind: its kind.
            seconds: of one worker.
            painting: of them, those of evaluations; None if that is not known.
        """
        painting = seconds if painting is None else min(painting, seconds)
        if _tells_of_others(kind) and sum(spent.nodes for spent in self._warming.values()) < self.workers:
            self._warming.setdefault(kind, _Spent()).add(seconds, painting)
        self._spent.setdefault(kind, _Spent()).add(seconds, painting)

    def by_kind(self) -> Mapping[Kind, float]:
        """Return the seconds that a node of each kind is expected to take."""
        telling = {kind: spent for kind, spent in self._spent.items() if _tells_of_others(kind)}
        if not telling:
            each = self._foreseen or 1.0
            return {kind: self._foreseen_of.get(kind, each * cost) for kind, cost in self._costs.items()}
        if sum(spent.nodes for spent in telling.values()) >= 2 * self.workers:
            warm = {kind: spent.without(self._warming.get(kind)) for kind, spent in telling.items()}
            warm = {kind: spent for kind, spent in warm.items() if spent.nodes}
        else:
            warm = telling
        telling |= warm
        each, other = _by_cost(warm, self._costs), _besides(warm, self._pixels)
        groups: dict[object, dict[Kind, _Spent]] = {}
        for kind, spent in telling.items():
            for alike in (kind[0], (kind[0], kind[2])):
                groups.setdefault(alike, {})[kind] = spent
        rates = {alike: _by_cost(spent, self._costs) for alike, spent in groups.items()}
        expected: dict[Kind, float] = {}
        for kind, cost in self._costs.items():
            rate = rates.get((kind[0], kind[2]), rates.get(kind[0], each))
            usual = rate * cost + (0.0 if kind[0] is Role.TRAIN else other * self._pixels[kind])
            spent = telling.get(kind, _Spent())
            expected[kind] = (_NODES_EXPECTED * usual + spent.seconds) / (_NODES_EXPECTED + spent.nodes)
        return expected


def _tells_of_others(kind: Kind) -> bool:
    return not (kind[0] is Role.TRAIN and kind[1] == FIRST_STAGE)


def _by_cost(spent: Mapping[Kind, _Spent], costs: Mapping[Kind, float]) -> float:
    """Return the seconds that finished nodes took for their evaluations, over their cost."""
    cost = sum(of_kind.nodes * costs[kind] for kind, of_kind in spent.items())
    return sum(of_kind.painting for of_kind in spent.values()) / cost if cost else 1.0


def _besides(spent: Mapping[Kind, _Spent], pixels: Mapping[Kind, int]) -> float:
    """Return the seconds that nodes took besides their evaluations, over their pixels; trainings are left out."""
    of_frames = {kind: of_kind for kind, of_kind in spent.items() if kind[0] is not Role.TRAIN}
    count = sum(of_kind.nodes * pixels[kind] for kind, of_kind in of_frames.items())
    return sum(of_kind.seconds - of_kind.painting for of_kind in of_frames.values()) / count if count else 0.0


@dataclass
class WorkRate:
    """Measures how many seconds of workers pass in a second: as many as workers are busy.

    Args:
        workers: number of stylizing workers.
        clock: a monotonic clock in seconds.
        recent: share of the latest nodes that the rate is measured on. A render begins with a few nodes that have to
            wait; in a batch such times come and go.
    """

    workers: int
    clock: Callable[[], float] = time.monotonic
    recent: float = 0.4
    _latest: deque[tuple[float, float]] = field(default_factory=lambda: deque([(0.0, 0.0)], maxlen=_MOST_FOR_RATE + 1))
    """When nodes ended, and the seconds of workers spent by then."""
    _nodes: int = 0

    def start(self) -> None:
        """Begin to measure."""
        self._latest[0] = (self.clock(), 0.0)

    @property
    def is_measured(self) -> bool:
        """True if a node was noted."""
        return self._nodes > 0

    def note(self, seconds: float) -> None:
        """Note that a node is done, which took one worker so many seconds."""
        self._nodes += 1
        self._latest.append((self.clock(), self._latest[-1][1] + seconds))

    def __call__(self) -> float:
        """Return the rate of the latest nodes; that of busy workers while there are few."""
        needed = _NODES_FOR_RATE * self.workers
        if needed + _FIRST_NODES * self.workers > self._nodes:
            return float(self.workers)
        count = min(max(round(self.recent * self._nodes), needed), len(self._latest) - 1)
        (began, before), (now, spent) = self._latest[-1 - count], self._latest[-1]
        return (spent - before) / (now - began) if now > began and spent > before else float(self.workers)


def total(counts: Mapping[Kind, int], seconds: Mapping[Kind, float]) -> float:
    """Return the seconds of so many nodes of each kind."""
    return sum(count * seconds[kind] for kind, count in counts.items())
