"""Clients that want to shut others out of the server, or to be understood in two ways."""

import itertools
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest
from support.processes import wait_until
from support.report_server import serving

from vidnst.report.server.connections import ConnectionLimits, Connections


def status_of(port: int) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", "/status.json")
        return connection.getresponse().status
    finally:
        connection.close()


def first_line(port: int, request: bytes) -> bytes:
    """The first line of the answer to these bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as raw:
        raw.sendall(request)
        return raw.recv(65536).partition(b"\r\n")[0]


def is_closed(raw: socket.socket) -> bool:
    """Whether the server has closed a connection; its answers are read and dropped."""
    raw.settimeout(0.01)
    try:
        return raw.recv(65536) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


@contextmanager
def dripping(port: int, clients: int) -> Iterator[list[socket.socket]]:
    """Clients that each send another byte of a head again and again, and never finish it."""
    stop = threading.Event()
    with ExitStack() as stack:
        every = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(clients)]

        def drip() -> None:
            for letter in itertools.cycle(b"GET / HTTP/1.0\r\nX-Slow: "[:23] + b"a" * 1000):
                for one in every:
                    try:
                        one.send(bytes([letter]))
                    except OSError:
                        continue
                if stop.wait(0.05):
                    return

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            yield every
        finally:
            stop.set()
            thread.join()


def test_forty_slow_clients_do_not_shut_the_server(tmp_path: Path) -> None:
    limits = ConnectionLimits(total=32, per_address=32, head_seconds=3600)
    with serving(tmp_path, limits=limits) as port, dripping(port, 40):
        assert [status_of(port) for _ in range(5)] == [200] * 5


def test_head_has_a_deadline_however_its_bytes_come(tmp_path: Path) -> None:
    limits = ConnectionLimits(head_seconds=0.5)
    with serving(tmp_path, limits=limits) as port, dripping(port, 3) as slow:
        for one in slow:
            assert wait_until(lambda one=one: is_closed(one))  # type: ignore[misc]


def test_late_head_is_told_so(tmp_path: Path) -> None:
    with serving(tmp_path, limits=ConnectionLimits(head_seconds=0.3)) as port:
        assert first_line(port, b"GET / HTTP/1.0\r\n") == b"HTTP/1.0 408 Request Timeout"


def test_long_heads_are_refused(tmp_path: Path) -> None:
    with serving(tmp_path, limits=ConnectionLimits(head_bytes=2000)) as port:
        for head in (b"GET /" + b"a" * 3000, b"GET / HTTP/1.0\r\n" + b"X-Y: z\r\n" * 400):
            assert b" 431 " in first_line(port, head)
        assert status_of(port) == 200


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nhOST: evil.example", 400),
        (b"GET / HTTP/1.1\nHost: localhost\nHost: evil.example", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n evil.example", 400),
        (b"GET / HTTP/1.1\r\nHost : localhost", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\rHost: evil.example", 400),
        (b"GET / HTTP/1.1\r\nHost: local\x00host", 400),
        (b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost", 400),
        (b"GET  / HTTP/1.1\r\nHost: localhost", 400),
        (b"GET /", 400),
        (b"GET / HTTP/2.0\r\nHost: localhost", 505),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5", 413),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1", 413),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked", 413),
        (b"GET / HTTP/1.1", 421),
        (b"GET / HTTP/1.1\r\nHost: evil.example", 421),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0", 200),
        (b"HEAD / HTTP/1.1\r\nHost: localhost", 200),
    ],
)
def test_doubtful_heads_are_refused(head: bytes, status: int, tmp_path: Path) -> None:
    with serving(tmp_path, limits=ConnectionLimits()) as port:
        assert first_line(port, head + b"\r\n\r\n").split()[1] == str(status).encode()


def test_connections_beyond_the_limits_take_idle_places() -> None:
    connections = Connections(ConnectionLimits(total=3, per_address=2))
    pairs = [socket.socketpair() for _ in range(7)]
    (a, b, c, d, e, f, g), others = zip(*pairs, strict=True)
    try:
        assert connections.admit(a, "x")
        assert connections.admit(b, "x")
        assert connections.admit(c, "x"), "the oldest of its address makes room"
        assert [is_closed(other) for other in others[:3]] == [True, False, False]
        assert connections.admit(d, "y")
        connections.head_has_come(b)
        assert connections.admit(e, "z"), "the oldest that waits makes room, and that is the third"
        assert [is_closed(other) for other in others[1:5]] == [False, True, False, False]
        for one in (d, e):
            connections.head_has_come(one)
        assert not connections.admit(f, "w"), "all are being answered"
        connections.leave(b)
        assert connections.admit(g, "w")
        assert not any(is_closed(other) for other in others[3:])
    finally:
        for pair in pairs:
            for one in pair:
                one.close()
