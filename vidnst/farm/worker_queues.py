"""What each worker has to do: the node that it is at, and perhaps one that lies ready behind it."""

from collections import deque
from collections.abc import Callable, Collection

from vidnst.farm.ready_queue import ReadyNode

LEAD_SECONDS = 0.25
"""How long before a worker will have done with a node another is laid ready: several times what a hand-over takes.
Where a node is to run is better not decided sooner."""


class WorkerQueues:
    """Nodes by worker, in the order in which they were handed over.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lines: dict[str, deque[ReadyNode]] = {}
        self._began: dict[str, float] = {}
        """When workers came to the nodes that they are at."""

    def __bool__(self) -> bool:
        """Whether any worker has a node."""
        return bool(self._lines)

    def __contains__(self, worker: str) -> bool:
        """Whether a worker has one."""
        return worker in self._lines

    def add(self, worker: str, entry: ReadyNode) -> None:
        """Note that a node was handed over; where the worker has one already it lies ready behind that."""
        line = self._lines.setdefault(worker, deque())
        if not line:
            self._began[worker] = self._clock()
        line.append(entry)

    def end(self, worker: str) -> tuple[ReadyNode, float]:
        """Note that a worker has done with the node that it was at, and comes to the next; the node, and seconds."""
        line, now = self._lines[worker], self._clock()
        entry, seconds = line.popleft(), now - self._began[worker]
        self._began[worker] = now
        if not line:
            del self._lines[worker], self._began[worker]
        return entry, seconds

    def at(self, worker: str) -> ReadyNode | None:
        """The node that a worker is at."""
        line = self._lines.get(worker)
        return line[0] if line else None

    def clear(self, worker: str) -> list[ReadyNode]:
        """Note that a worker will not come to what lies behind: the nodes."""
        self._began.pop(worker, None)
        return list(self._lines.pop(worker, ()))

    def soonest(self, workers: Collection[str]) -> str | None:
        """The one of some workers that will come first to another node, if it is time to lay one ready there.

        When that will be is told by what the component's last node of that kind took; nothing lies ready there already.
        """
        found, least = None, self._clock() + LEAD_SECONDS
        for worker, line in self._lines.items():
            if len(line) > 1 or worker not in workers:
                continue
            pace = line[0].front.pace.get(line[0].node.role, float("inf"))
            if (due := self._began[worker] + pace) <= least:
                found, least = worker, due
        return found
