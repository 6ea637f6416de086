"""The server of the page: reads only, from the named run folders only, for those whom the guard lets in."""

import json
import re
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from vidnst.errors import ConfigError
from vidnst.report.html.dashboard_page import dashboard_page, dashboard_policy
from vidnst.report.server.access import Guard, open_inside
from vidnst.report.server.snapshot import Snapshot
from vidnst.report.server.thumbnails import Thumbnails
from vidnst.runs import RunLayout

_AT_ONCE = 32
"""Connections that are answered at the same time; others are turned away."""
_PATIENCE_SECONDS = 15.0
_CHUNK = 1 << 18
_ROUTE = re.compile(
    r"/run/(?P<run>[0-9a-f]{16})/(?:(?P<file>report\.html|measure\.json)|(?P<kind>frame|source|full)/(?P<index>[0-9]{1,8}))"
)
_SANDBOX = (
    "sandbox allow-scripts; default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)
"""For reports: one that somebody else wrote may run its script, but is of no origin, and reaches nothing."""


class Server(ThreadingHTTPServer):
    """Listens at once; `serve_forever` answers until `shutdown`.

    Args:
        folders: see `Snapshot`.
        host: to listen on; anything but this machine itself needs a token.
        port: 0 takes any that is free.
        token: see `Guard`.
        sources: whether frames of the sources, which lie outside of the run folders, are shown, too, and of outputs
            that do not lie beside their run folder.

    Raises:
        ConfigError: a token is missing or short, or the host or port cannot be had.
        RunError: a folder is not there.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(
        self, folders: Sequence[Path], *, host: str, port: int, token: str | None = None, sources: bool = True
    ) -> None:
        Guard(host, port, token)  # before anything listens
        self.board = Snapshot(folders)
        self.thumbnails = Thumbnails()
        self.sources = sources
        self._room = threading.BoundedSemaphore(_AT_ONCE)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            raise ConfigError(f"{host} port {port} cannot be listened on: {error}", "choose another --port") from error
        self.guard = Guard(host, self.server_address[1], token)

    @property
    def url(self) -> str:
        """Where the page is."""
        host = str(self.server_address[0])
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server_address[1]}/"

    def server_bind(self) -> None:
        """Bind without asking for the machine's name, which may take long."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, if there is room for one more."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._room.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and make room."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who hangs up in the middle is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version = "vidnst"
    sys_version = ""
    timeout = _PATIENCE_SECONDS

    def do_GET(self) -> None:
        """Answer with a page, a picture or numbers, or say why not."""
        where = urlsplit(self.path)
        query = _token_in(where.query)
        guard = self.server.guard
        if not guard.knows_host(self.headers.get("Host")):
            self._say(HTTPStatus.MISDIRECTED_REQUEST, "This is not a name of this server.")
        elif not guard.lets_in(
            authorization=self.headers.get("Authorization"), cookie=self.headers.get("Cookie"), query=query
        ):
            self._say(
                HTTPStatus.UNAUTHORIZED, "Add ?token=... to the address, with the token that it was started with."
            )
        elif where.path != "/" and self.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
            self._say(HTTPStatus.FORBIDDEN, "Only the page of this server may ask for that.")
        elif where.path == "/":
            self._send("text/html; charset=utf-8", dashboard_page().encode(), cookie=query is not None)
        elif where.path == "/status.json":
            self._send("application/json", json.dumps(self.server.board.told(), allow_nan=False).encode())
        elif where.path == "/favicon.ico":
            self._head(HTTPStatus.NO_CONTENT, "image/x-icon", 0)
        elif found := _ROUTE.fullmatch(where.path):
            self._of_run(found)
        else:
            self._say(HTTPStatus.NOT_FOUND, "There is nothing here.")

    def _of_run(self, route: re.Match[str]) -> None:
        run = self.server.board.run(route["run"])
        if run is None:
            self._say(HTTPStatus.NOT_FOUND, "There is no such run.")
        elif route["file"]:
            kind = "text/html; charset=utf-8" if route["file"] == "report.html" else "application/json"
            self._file(kind, run, route["file"])
        elif route["kind"] == "full":
            layout, index = RunLayout(run), int(route["index"])
            finished = layout.frame(index, "finished")
            path = finished if finished.is_file() else layout.frame(index)
            self._file("image/png", run, path.parent.name, path.name)
        else:
            data = self._thumbnail(run, route["kind"], int(route["index"]))
            if data is None:
                self._say(HTTPStatus.NOT_FOUND, "There is no such picture.")
            else:
                self._send("image/jpeg", data)

    def _thumbnail(self, run: Path, kind: str, index: int) -> bytes | None:
        thumbnails, sources = self.server.thumbnails, self.server.sources
        if kind == "frame":
            return thumbnails.result(run, index, anywhere=sources)
        return thumbnails.source(run, index) if sources else None

    def _file(self, kind: str, run: Path, *parts: str) -> None:
        try:
            file = open_inside(run, *parts)
        except OSError:
            self._say(HTTPStatus.NOT_FOUND, "There is no such file.")
            return
        with file:
            left = file.seek(0, 2)
            file.seek(0)
            self._head(HTTPStatus.OK, kind, left, policy=_SANDBOX)
            while left > 0 and (data := file.read(min(left, _CHUNK))):  # it may grow, but no more was promised
                self.wfile.write(data)
                left -= len(data)

    def _say(self, status: HTTPStatus, text: str) -> None:
        data = f"{text}\n".encode()
        self._head(status, "text/plain; charset=utf-8", len(data))
        self.wfile.write(data)

    def _send(self, kind: str, data: bytes, *, cookie: bool = False) -> None:
        policy = dashboard_policy() if kind.startswith("text/html") else _SANDBOX
        self._head(HTTPStatus.OK, kind, len(data), policy=policy, cookie=cookie)
        self.wfile.write(data)

    def _head(
        self, status: HTTPStatus, kind: str, length: int, *, policy: str = "default-src 'none'", cookie: bool = False
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.send_header("Content-Security-Policy", policy)
        for name, value in (
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Cache-Control", "no-store"),
        ):
            self.send_header(name, value)
        if cookie and (kept := self.server.guard.cookie()):
            self.send_header("Set-Cookie", kept)
        self.end_headers()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Say only what is wrong: what was asked for is not repeated."""
        status = HTTPStatus.METHOD_NOT_ALLOWED if code == HTTPStatus.NOT_IMPLEMENTED else HTTPStatus(code)
        self.close_connection = True
        with suppress(OSError):
            self._say(status, status.phrase)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: addresses may have tokens in them."""


def _token_in(query: str) -> str | None:
    """The token in an address's query; None where there is none, or what is there is no query."""
    try:
        found = parse_qs(query, max_num_fields=8).get("token")
    except ValueError:
        return None
    return found[0] if found else None


def serve(server: Server, wait: Callable[[], object]) -> None:
    """Answer until `wait` returns."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True)
    thread.start()
    try:
        wait()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
