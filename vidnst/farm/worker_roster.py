"""The workers of one lane: who is idle, and who is to be trusted."""

import heapq
from collections.abc import Collection, Iterable

from vidnst.farm.interfaces import Host
from vidnst.farm.ready_queue import ReadyNode

_STREAK = 3
"""Different nodes that fail one after the other at a worker before it is set aside."""
_BARREN = 9
"""Nodes of one host that fail for good, whoever tries them, while nothing succeeds, before it is taken as hopeless."""
_HOPELESS_HOSTS = 3
"""Hosts of which that is so before it is taken to be the workers."""


class WorkerRoster:
    """Workers by name. An idle one is found in O(log n); the first in the given order goes first, so few stay warm."""

    def __init__(self, names: Iterable[str]) -> None:
        self._place = {name: place for place, name in enumerate(names)}
        self.names = set(self._place)
        """Those that get jobs, now or when they are back."""
        self._away: set[str] = set()
        """Those whose process is gone and not replaced yet."""
        self.set_aside: set[str] = set()
        self._idle = set(self.names)
        self._busy: set[str] = set()
        """Those that were taken, and are not free again."""
        self._heap = sorted((place, name) for name, place in self._place.items())
        self._barren: dict[Host, int] = {}
        """Nodes given up since the last success of any worker, by host."""
        self._streaks: dict[str, list[ReadyNode]] = {}
        """Nodes that failed at a worker since it last succeeded, and nowhere else as far as is known."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def idle(self) -> int:
        """How many have nothing to do."""
        return len(self._idle)

    @property
    def busy(self) -> int:
        """How many have something to do."""
        return len(self._busy)

    @property
    def awaited(self) -> bool:
        """Whether any will be back, or may be."""
        return not self._away.isdisjoint(self.names)

    @property
    def _present(self) -> set[str]:
        return self.names - self._away if self._away else self.names

    def free(self, name: str) -> None:
        """Note that a worker has nothing to do."""
        self._busy.discard(name)
        if name in self.names:
            self._idle.add(name)
            heapq.heappush(self._heap, (self._place[name], name))

    def take(self, tried: Collection[str]) -> str | None:
        """Take an idle worker for a node, one at which it has not failed.

        Args:
            tried: workers at which the node failed.

        Returns:
            None to wait for a busy one; any worker where the node failed at all that are there.
        """
        name = None
        if not tried or self._present.issubset(tried):
            while name not in self._idle:
                _, name = heapq.heappop(self._heap)
        elif found := self._idle.difference(tried):
            name = min(found, key=self._place.__getitem__)
        if name is not None:
            self._idle.remove(name)
            self._busy.add(name)
        return name

    def leave(self, name: str) -> None:
        """Give a busy worker no jobs until it is back."""
        self._busy.discard(name)
        self._away.add(name)

    def come_back(self, name: str) -> None:
        """Note that a worker that was away has nothing to do."""
        self._away.discard(name)
        self.free(name)

    def lose(self, name: str) -> None:
        """Give a worker no more jobs, ever."""
        self._remove(name)
        self._busy.discard(name)
        self._away.discard(name)
        self.set_aside.discard(name)

    def _remove(self, name: str) -> None:
        self.names.discard(name)
        self._idle.discard(name)

    def succeeded(self, name: str) -> None:
        """Note that a worker can do its work."""
        self._streaks.pop(name, None)
        self._barren.clear()

    def failed_for_good(self, host: Host) -> bool:
        """Note that a node is given up after all attempts; whether that is all that becomes of its host's nodes."""
        self._barren[host] = self._barren.get(host, 0) + 1
        return self._barren[host] >= _BARREN

    def useless(self, *, several: bool) -> bool:
        """Whether the workers fail at everything.

        Args:
            several: whether there are several hosts, so that one of them could be to blame.
        """
        hopeless = sum(count >= _BARREN for count in self._barren.values())
        return hopeless >= (_HOPELESS_HOSTS if several else 1)

    def suspect(self, name: str, entry: ReadyNode) -> bool:
        """Note a failure; whether the worker is set aside for it. Not held against it is what failed elsewhere, too."""
        if len(entry.tried) > 1 or name not in self.names:
            return False
        streak = self._streaks.setdefault(name, [])
        if entry not in streak:
            streak.append(entry)
        # Of the last one, nobody else could tell that it is not the nodes.
        if len(streak) < _STREAK or len(self._present) < 2:
            return False
        self._remove(name)
        self.set_aside.add(name)
        return True

    def acquit(self, entry: ReadyNode) -> list[str]:
        """Hold a node's failures against no worker, if it has failed at several; those that are taken back for it."""
        back = []
        if len(entry.tried) > 1:
            for name in sorted(entry.tried):
                streak = self._streaks.get(name, [])
                if entry in streak:
                    streak.remove(entry)
                if name in self.set_aside and len(streak) < _STREAK:
                    self.set_aside.remove(name)
                    self.names.add(name)
                    if name not in self._away and name not in self._busy:
                        self.free(name)
                    back.append(name)
        return back
