"""The pace of a render: how much of its work is done, and how long the rest takes."""

import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping

from vidnst.config import RenderConfig, Role
from vidnst.farm.plan import Lane, NetworkId, Node, StateId
from vidnst.rendering.node_costs import cost_of
from vidnst.rendering.node_times import FIRST_STAGE, Kind, NodeTimes, SecondsOf, WorkRate, total

_SERIAL_ROLES = frozenset({Role.WARM, Role.KEY, Role.TRAIN})
"""Work of which a shot can do only one piece at a time."""


class Pace:
    """Counts the work of a clip in seconds of one worker, and predicts the rest.

    The rest takes the larger of two: all of it at the rate of the latest nodes, and the longest sequence of nodes that
    wait for each other. Flows are left out: where they hold a render up, the rate shows it.

    Args:
        config: settings of the render.
        workers: number of stylizing workers.
        size: width and height of the frames in pixels.
        training_speed: see `cost_of`.
        clock: a monotonic clock in seconds.
    """

    def __init__(
        self,
        config: RenderConfig,
        workers: int,
        *,
        size: tuple[int, int],
        training_speed: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self.workers = workers
        self._size = size
        self._training_speed = training_speed
        self._times = NodeTimes(workers)
        self._rate = WorkRate(workers, clock)
        self._left: dict[int, Counter[Kind]] = {}
        """By shot, the nodes to be done."""
        self._done_before: Counter[Kind] = Counter()
        self._examples: dict[Kind, Node] = {}

    @property
    def is_measured(self) -> bool:
        """True once a node is done."""
        return self._times.are_measured

    def add(self, nodes: Iterable[Node], done: Container[object] = ()) -> None:
        """Add the nodes of a plan to the work. `done` holds those that earlier sessions finished."""
        for node in nodes:
            if node.lane is Lane.FLOW:
                continue
            kind = kind_of(node)
            self._times.expect(kind, cost_of(self.config, node, *self._size, training_speed=self._training_speed))
            self._examples.setdefault(kind, node)
            if node.id in done:
                self._done_before[kind] += 1
            else:
                self._left.setdefault(node.shot, Counter())[kind] += 1

    def start(self) -> None:
        """Begin to measure the rate."""
        self._rate.start()

    def foresee(self, seconds_of: SecondsOf) -> None:
        """Take the times of nodes from a forecast, until one is done."""
        self._times.foresee({kind: seconds_of(node) for kind, node in self._examples.items()})

    def node_done(self, node: Node, seconds: float, painting: float | None = None) -> None:
        """Note that a node is done, which took one worker so many seconds, and `painting` of them for evaluations."""
        if node.lane is Lane.FLOW:
            return
        self._times.note(kind_of(node), seconds, painting)
        if node.role is not Role.TRAIN:
            self._rate.note(seconds)
        elif not self._rate.is_measured:  # stages follow each other, whatever the number of workers
            self._rate.start()
        self.node_dropped(node)

    def node_dropped(self, node: Node) -> None:
        """Note that a node will not be done in this session."""
        left, kind = self._left.get(node.shot), kind_of(node)
        if left is not None and left[kind] > 0:
            left[kind] -= 1

    @property
    def share(self) -> float:
        """Share of all work that is done, that of earlier sessions included, 0 to 1."""
        seconds = self._times.by_kind()
        left = sum(total(left, seconds) for left in self._left.values())
        done = total(self._done_before, seconds) + self._times.spent
        return done / (done + left) if done + left > 0 else 1.0

    @property
    def seconds_left(self) -> float | None:
        """The time that the rest takes; None before a node is done, unless a forecast was given."""
        if not self._times.are_known:
            return None
        seconds = self._times.by_kind()
        work = sum(total(left, seconds) for left in self._left.values())
        training, longest = serial_seconds(self._left, seconds)
        return training + max((work - training) / self._rate(), longest)


def kind_of(node: Node, group: object = None) -> Kind:
    """Return the kind of a node, among nodes of clips of the same settings and size."""
    if isinstance(node.id, NetworkId):
        return node.role, FIRST_STAGE if node.id.stage == 1 else 0, group
    return node.role, node.id.pass_index if isinstance(node.id, StateId) else 0, group


def serial_seconds(left: Mapping[int, Counter[Kind]], seconds: Mapping[Kind, float]) -> tuple[float, float]:
    """Return the seconds of a clip's training, and of the longest sequence of nodes in a shot after that."""
    training = longest = 0.0
    for counts in left.values():
        trained = sum(count * seconds[kind] for kind, count in counts.items() if kind[0] is Role.TRAIN)
        serial = sum(count * seconds[kind] for kind, count in counts.items() if kind[0] in _SERIAL_ROLES)
        training += trained
        longest = max(longest, serial - trained)
    return training, longest
