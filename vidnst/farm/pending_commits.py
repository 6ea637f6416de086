"""Nodes whose results are handed over to their hosts, and do not last yet."""

from collections import deque
from collections.abc import Callable

from vidnst.farm.interfaces import Host, NodeEvent


class PendingCommits:
    """Tells that nodes are done, each once its host says that it lasts, host by host in the order of `add`.

    Args:
        tell: is told.
    """

    def __init__(self, tell: Callable[[NodeEvent], None]) -> None:
        self._tell = tell
        self._lines: dict[int, tuple[Host, deque[NodeEvent]]] = {}
        """By the host's identity: hosts need not be hashable."""

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._lines)

    def add(self, event: NodeEvent) -> None:
        """Take in that a node is done, to be told at once where it lasts already."""
        self._lines.setdefault(id(event.host), (event.host, deque()))[1].append(event)
        self._look(event.host)

    def look(self) -> None:
        """Tell of all that last by now."""
        for host, _ in list(self._lines.values()):
            self._look(host)

    def wait(self, timeout_seconds: float) -> None:
        """Wait so long for the first of them."""
        host, line = next(iter(self._lines.values()))
        host.lasts(line[0].node, timeout_seconds=timeout_seconds)

    def _look(self, host: Host) -> None:
        line = self._lines[id(host)][1]
        while line and host.lasts(line[0].node):
            self._tell(line.popleft())
        if not line:
            del self._lines[id(host)]
