"""Nodes whose results are given to their hosts but not written durably yet."""

from collections import deque
from collections.abc import Callable

from vidnst.farm.interfaces import Host, NodeEvent


class PendingCommits:
    """Reports each stored node once its result is durable, host by host in the order of `add`.

    Args:
        report: called with the event of each durable node.
    """

    def __init__(self, report: Callable[[NodeEvent], None]) -> None:
        self._report = report
        self._pending: dict[int, tuple[Host, deque[NodeEvent]]] = {}
        """By the host's identity: hosts need not be hashable."""

    def __bool__(self) -> bool:
        """True if there are any."""
        return bool(self._pending)

    def add(self, event: NodeEvent) -> None:
        """Add a node that is done, and report it at once if it is durable already."""
        self._pending.setdefault(id(event.host), (event.host, deque()))[1].append(event)
        self._poll(event.host)

    def poll(self) -> None:
        """Report all nodes that are durable by now."""
        for host, _ in list(self._pending.values()):
            self._poll(host)

    def wait(self, timeout_seconds: float) -> None:
        """Wait for the first of them."""
        host, events = next(iter(self._pending.values()))
        host.is_durable(events[0].node, timeout_seconds=timeout_seconds)

    def _poll(self, host: Host) -> None:
        events = self._pending[id(host)][1]
        while events and host.is_durable(events[0].node):
            self._report(events.popleft())
        if not events:
            del self._pending[id(host)]
