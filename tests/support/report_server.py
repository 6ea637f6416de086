"""The server of reports, at work in a thread of the tests."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vidnst.report.server.connections import ConnectionLimits
from vidnst.report.server.server import Server, serve


@contextmanager
def serving(
    *folders: Path,
    host: str = "127.0.0.1",
    token: str | None = None,
    sources: bool = True,
    limits: ConnectionLimits | None = None,
) -> Iterator[int]:
    """A server of these folders; its port."""
    server = Server(folders, host=host, port=0, token=token, sources=sources, limits=limits)
    stop = threading.Event()
    thread = threading.Thread(target=serve, args=(server, stop.wait))
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        stop.set()
        thread.join()
