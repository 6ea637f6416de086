"""The workers of a lane, idle, busy, away or in quarantine, and the nodes that each of them has."""

import heapq
from collections import deque
from collections.abc import Callable, Collection, Iterable

from vidnst.farm.ready_queue import AdmittedNode

PREFETCH_SECONDS = 0.25
"""How long before a worker is free the next node is handed to it: several times what a hand-over takes. Later
decisions about where a node runs are better ones."""
_QUARANTINE_STREAK = 3
"""Different nodes that fail in a row on a worker, and on no other, before it is quarantined."""


class WorkerRoster:
    """Workers by name. An idle one is found in O(log n); the first in the given order goes first, so few stay warm."""

    def __init__(self, names: Iterable[str]) -> None:
        self._place = {name: place for place, name in enumerate(names)}
        self.names = set(self._place)
        """Workers that get jobs, now or when they are back."""
        self._away: set[str] = set()
        """Workers whose process ended and is not replaced yet."""
        self.quarantined: set[str] = set()
        self._idle = set(self.names)
        self._busy: set[str] = set()
        self._heap = sorted((place, name) for name, place in self._place.items())
        """Idle workers, and outdated items."""
        self._streaks: dict[str, list[AdmittedNode]] = {}
        """Nodes that failed on a worker since its last success, and on no other worker so far."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def idle(self) -> int:
        """The number of workers without a node."""
        return len(self._idle)

    @property
    def busy(self) -> int:
        """The number of workers with a node."""
        return len(self._busy)

    @property
    def awaits_replacement(self) -> bool:
        """True if a worker is away and may be back."""
        return not self._away.isdisjoint(self.names)

    @property
    def _present(self) -> set[str]:
        return self.names - self._away if self._away else self.names

    def take(self, failed_on: Collection[str]) -> str | None:
        """Take an idle worker for a node.

        Args:
            failed_on: workers on which the node failed; they are avoided, unless it failed on all that are present.

        Returns:
            None if the node has to wait for a busy worker.
        """
        name = None
        if not failed_on or self._present.issubset(failed_on):
            while name not in self._idle:
                _, name = heapq.heappop(self._heap)
        elif others := self._idle.difference(failed_on):
            name = min(others, key=self._place.__getitem__)
        if name is not None:
            self._idle.remove(name)
            self._busy.add(name)
        return name

    def mark_idle(self, name: str) -> None:
        """Note that a worker has no node."""
        self._busy.discard(name)
        if name in self.names:
            self._idle.add(name)
            heapq.heappush(self._heap, (self._place[name], name))

    def mark_away(self, name: str) -> None:
        """Give a busy worker no jobs until it is back."""
        self._busy.discard(name)
        self._away.add(name)

    def mark_back(self, name: str) -> None:
        """Note that the process of a worker is replaced."""
        self._away.discard(name)
        self.mark_idle(name)

    def mark_lost(self, name: str) -> None:
        """Give a worker no jobs ever again."""
        self._remove(name)
        self._busy.discard(name)
        self._away.discard(name)
        self.quarantined.discard(name)

    def record_success(self, name: str) -> None:
        """Note that a worker can do its work."""
        self._streaks.pop(name, None)

    def record_failure(self, name: str, entry: AdmittedNode) -> bool:
        """Note that a node failed on a worker; returns whether the worker is quarantined for it.

        A node that failed on other workers as well does not count against the worker.
        """
        if len(entry.failed_on) > 1 or name not in self.names:
            return False
        streak = self._streaks.setdefault(name, [])
        if entry not in streak:
            streak.append(entry)
        # The last worker stays: without another to compare with, the nodes may be at fault.
        if len(streak) < _QUARANTINE_STREAK or len(self._present) < 2:
            return False
        self._remove(name)
        self.quarantined.add(name)
        return True

    def reinstate(self, entry: AdmittedNode) -> list[str]:
        """Count a node that failed on several workers against none of them; returns those that leave quarantine."""
        reinstated = []
        if len(entry.failed_on) > 1:
            for name in sorted(entry.failed_on):
                streak = self._streaks.get(name, [])
                if entry in streak:
                    streak.remove(entry)
                if name in self.quarantined and len(streak) < _QUARANTINE_STREAK:
                    self.quarantined.remove(name)
                    self.names.add(name)
                    if name not in self._away and name not in self._busy:
                        self.mark_idle(name)
                    reinstated.append(name)
        return reinstated

    def _remove(self, name: str) -> None:
        self.names.discard(name)
        self._idle.discard(name)


class WorkerQueues:
    """The nodes handed to each worker: the one that it runs, and perhaps some that are prefetched.

    Args:
        clock: returns seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._queues: dict[str, deque[AdmittedNode]] = {}
        self._began: dict[str, float] = {}
        """The times at which workers began to run their first nodes."""

    def __bool__(self) -> bool:
        """True if any worker has a node."""
        return bool(self._queues)

    def __contains__(self, worker: str) -> bool:
        """True if a worker has a node."""
        return worker in self._queues

    def add(self, worker: str, entry: AdmittedNode) -> None:
        """Note that a node is handed to a worker, behind the one that it may have."""
        queue = self._queues.setdefault(worker, deque())
        if not queue:
            self._began[worker] = self._clock()
        queue.append(entry)

    def end(self, worker: str) -> tuple[AdmittedNode, float]:
        """Note that a worker has ended its node and begins the next; returns the node and its seconds."""
        queue, now = self._queues[worker], self._clock()
        entry, seconds = queue.popleft(), now - self._began[worker]
        self._began[worker] = now
        if not queue:
            del self._queues[worker], self._began[worker]
        return entry, seconds

    def running(self, worker: str) -> AdmittedNode | None:
        """The node that a worker runs."""
        queue = self._queues.get(worker)
        return queue[0] if queue else None

    def clear(self, worker: str) -> list[AdmittedNode]:
        """Take back the nodes of a worker whose process ended."""
        self._began.pop(worker, None)
        return list(self._queues.pop(worker, ()))

    def soonest_free(self, workers: Collection[str], *, prefetch: int = 1) -> str | None:
        """The one of some workers that will be free first, if that is soon and it has fewer prefetched nodes than that.

        A node is expected to take as long as the last one of its role in its component.
        """
        soonest, least = None, self._clock() + PREFETCH_SECONDS
        for worker, queue in self._queues.items():
            if len(queue) > prefetch or worker not in workers:
                continue
            if (due := self._began[worker] + sum(map(_expected_seconds, queue))) <= least:
                soonest, least = worker, due
        return soonest


def _expected_seconds(entry: AdmittedNode) -> float:
    return entry.component.last_seconds.get(entry.node.role, float("inf"))
