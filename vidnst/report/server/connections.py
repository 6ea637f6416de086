"""The connections of the server: how many there may be, and which one goes when another wants in."""

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits on what clients may take of the server."""

    total: int = 64
    """Connections at the same time."""
    per_address: int = 32
    """Connections of one address at the same time; a browser opens six, a proxy those of all who are behind it."""
    head_seconds: float = 10.0
    """Time in which the whole head of a request must have come, however busily its bytes trickle in."""
    head_bytes: int = 16384
    """Length of a head."""
    send_seconds: float = 15.0
    """Time in which a client must take the next piece of an answer."""


class Connections:
    """The open connections, each either still without the head of its request, or being answered.

    A connection that would exceed a limit takes the place of the one that has been longest without a head. So clients
    that connect and say nothing cannot shut out those that do, who send their heads at once.

    Args:
        limits: how many there may be.
    """

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._waiting: dict[socket.socket, str] = {}  # in the order in which they came
        self._answered: dict[socket.socket, str] = {}

    def admit(self, connection: socket.socket, address: str) -> bool:
        """Count a new connection; False if there is no place for it, even without those that wait."""
        with self._lock:
            if self._count(address) >= self._limits.per_address:
                admitted = self._end_oldest(address)
            elif self._count() >= self._limits.total:
                admitted = self._end_oldest()
            else:
                admitted = True
            if admitted:
                self._waiting[connection] = address
            return admitted

    def head_has_come(self, connection: socket.socket) -> None:
        """Note that a connection is being answered, so that it is not ended for another."""
        with self._lock:
            if connection in self._waiting:
                self._answered[connection] = self._waiting.pop(connection)

    def leave(self, connection: socket.socket) -> None:
        """Forget a connection."""
        with self._lock:
            self._waiting.pop(connection, None)
            self._answered.pop(connection, None)

    def _count(self, address: str | None = None) -> int:
        every = [*self._waiting.values(), *self._answered.values()]
        return len(every) if address is None else every.count(address)

    def _end_oldest(self, address: str | None = None) -> bool:
        oldest = next((one for one, its in self._waiting.items() if address in (None, its)), None)
        if oldest is None:
            return False
        del self._waiting[oldest]
        with suppress(OSError):
            oldest.shutdown(socket.SHUT_RDWR)  # its thread wakes up, and closes it
        return True
