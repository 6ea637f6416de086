"""The HTTP server behind `vidnst serve`: it only reads run folders that it was given, and their outputs."""

import io
import json
import re
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qs, urlsplit

from vidnst.errors import ConfigError
from vidnst.report.html.dashboard_page import dashboard_page, dashboard_policy
from vidnst.report.server.access import AccessGuard, open_inside
from vidnst.report.server.connections import ConnectionLimits, Connections
from vidnst.report.server.played_output import parse_range, played_output
from vidnst.report.server.request_head import read_head
from vidnst.report.server.snapshot import Snapshot
from vidnst.report.server.thumbnails import Thumbnails
from vidnst.runs import RunLayout
from vidnst.runs.safe_files import is_file

_CHUNK_BYTES = 1 << 18
_ROUTE = re.compile(
    r"/run/(?P<run>[0-9a-f]{16})/(?:(?P<file>report\.html|measure\.json)|(?P<output>output)|(?P<kind>frame|source|full)/(?P<index>[0-9]{1,8}))"
)
_SANDBOX = (
    "sandbox allow-scripts; default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)
"""For reports: a foreign one may run its script, but has no origin and can reach nothing."""


class Server(ThreadingHTTPServer):
    """A server that listens from the start; `serve_forever` answers until `shutdown`.

    Args:
        folders: as for `Snapshot`.
        host: the host to listen on; all but loopback addresses need a token.
        port: the port; 0 chooses a free one.
        token: as for `AccessGuard`.
        sources: whether to show frames of the sources, which lie outside of the run folders, and of outputs that do not
            lie next to their run folder.
        limits: what clients may take of it.

    Raises:
        ConfigError: the token is missing or too short, or the address cannot be listened on.
        RunError: a folder is missing.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(
        self,
        folders: Sequence[Path],
        *,
        host: str,
        port: int,
        token: str | None = None,
        sources: bool = True,
        limits: ConnectionLimits | None = None,
    ) -> None:
        AccessGuard(host, port, token)  # raises before anything listens
        self.snapshot = Snapshot(folders)
        self.thumbnails = Thumbnails()
        self.sources = sources
        self.limits = limits or ConnectionLimits()
        self.connections = Connections(self.limits)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            raise ConfigError(f"{host} port {port} cannot be listened on: {error}", "choose another --port") from error
        self.guard = AccessGuard(host, self.server_address[1], token)

    @property
    def url(self) -> str:
        """The address of the dashboard."""
        host = str(self.server_address[0])
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server_address[1]}/"

    def server_bind(self) -> None:
        """Bind without looking up the host name, which may take long."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, if the limits leave room."""
        if not self.connections.admit(request, client_address[0]):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self.connections.leave(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and release the connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.connections.leave(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that hang up."""


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version = "vidnst"
    sys_version = ""

    def handle(self) -> None:
        """Answer one request, whose head must come in time."""
        limits = self.server.limits
        head = read_head(self.connection, seconds=limits.head_seconds, longest=limits.head_bytes)
        self.server.connections.head_has_come(self.connection)
        self.connection.settimeout(limits.send_seconds)
        self.rfile.close()
        self.rfile = io.BufferedReader(io.BytesIO(head if isinstance(head, bytes) else b""))
        if isinstance(head, bytes):
            self.handle_one_request()
        else:
            self.requestline, self.request_version, self.command = "", self.protocol_version, ""
            self.send_error(head)

    def do_HEAD(self) -> None:
        """Answer as to GET, without the content."""
        self.do_GET()

    def do_GET(self) -> None:
        """Answer with a page, an image or JSON, or with the reason why not."""
        url = urlsplit(self.path)
        query = _token_in(url.query)
        guard = self.server.guard
        if not guard.allows_host(self.headers.get("Host")):
            self._send_text(HTTPStatus.MISDIRECTED_REQUEST, "This is not a name of this server.")
        elif not guard.allows(
            authorization=self.headers.get("Authorization"), cookie=self.headers.get("Cookie"), query=query
        ):
            self._send_text(
                HTTPStatus.UNAUTHORIZED, "Add ?token=... to the address, with the token that it was started with."
            )
        elif url.path != "/" and self.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
            self._send_text(HTTPStatus.FORBIDDEN, "Only the page of this server may ask for that.")
        elif url.path == "/":
            self._send("text/html; charset=utf-8", dashboard_page().encode(), cookie=query is not None)
        elif url.path == "/status.json":
            self._send("application/json", json.dumps(self.server.snapshot.to_dict(), allow_nan=False).encode())
        elif url.path == "/favicon.ico":
            self._send_head(HTTPStatus.NO_CONTENT, "image/x-icon", 0)
        elif route := _ROUTE.fullmatch(url.path):
            self._answer_run(route)
        else:
            self._send_text(HTTPStatus.NOT_FOUND, "There is nothing here.")

    def _answer_run(self, route: re.Match[str]) -> None:
        run = self.server.snapshot.run(route["run"])
        if run is None:
            self._send_text(HTTPStatus.NOT_FOUND, "There is no such run.")
        elif route["output"]:
            self._send_output(run)
        elif route["file"]:
            kind = "text/html; charset=utf-8" if route["file"] == "report.html" else "application/json"
            self._send_file(kind, run, route["file"])
        elif route["kind"] == "full":
            layout, index = RunLayout(run), int(route["index"])
            finished = layout.frame(index, "finished")
            path = finished if is_file(finished) else layout.frame(index)
            self._send_file("image/png", run, path.parent.name, path.name)
        else:
            data = self._thumbnail(run, route["kind"], int(route["index"]))
            if data is None:
                self._send_text(HTTPStatus.NOT_FOUND, "There is no such image.")
            else:
                self._send("image/jpeg", data)

    def _thumbnail(self, run: Path, kind: str, index: int) -> bytes | None:
        thumbnails, sources = self.server.thumbnails, self.server.sources
        if kind == "frame":
            return thumbnails.result(run, index, anywhere=sources)
        return thumbnails.source(run, index) if sources else None

    def _send_file(self, kind: str, run: Path, *parts: str) -> None:
        try:
            file = open_inside(run, *parts)
        except OSError:
            self._send_text(HTTPStatus.NOT_FOUND, "There is no such file.")
            return
        with file:
            self._send_head(HTTPStatus.OK, kind, file.seek(0, 2), policy=_SANDBOX)
            self._send_bytes(file, 0, file.tell())

    def _send_output(self, run: Path) -> None:
        """Send the output of a finished run, or the range of it that a player asks for."""
        output = played_output(run)
        try:
            file = None if output is None else output.open()
        except OSError:
            file = None
        if output is None or file is None:
            self._send_text(HTTPStatus.NOT_FOUND, "There is no output that a page can play.")
            return
        with file:
            size = file.seek(0, 2)
            asked = self.headers.get_all("Range", [])
            try:
                part = parse_range(asked[0], size) if len(asked) == 1 and "If-Range" not in self.headers else None
            except ValueError:
                self._send_text(
                    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
                    "The file ends before.",
                    headers={"Content-Range": f"bytes */{size}"},
                )
                return
            begin, end = part or (0, size)
            status = HTTPStatus.OK if part is None else HTTPStatus.PARTIAL_CONTENT
            told = {"Accept-Ranges": "bytes"} | ({"Content-Range": f"bytes {begin}-{end - 1}/{size}"} if part else {})
            self._send_head(status, output.media_type, end - begin, headers=told)
            self._send_bytes(file, begin, end)

    def _send_bytes(self, file: BinaryIO, begin: int, end: int) -> None:
        """Send a part of a file, which may have grown or shrunk since its length was told."""
        file.seek(begin)
        left = end - begin
        while self.command != "HEAD" and left > 0 and (data := file.read(min(left, _CHUNK_BYTES))):
            self.wfile.write(data)
            left -= len(data)

    def _send_text(self, status: HTTPStatus, text: str, *, headers: Mapping[str, str] | None = None) -> None:
        data = f"{text}\n".encode()
        self._send_head(status, "text/plain; charset=utf-8", len(data), headers=headers)
        self._send_content(data)

    def _send(self, kind: str, data: bytes, *, cookie: bool = False) -> None:
        policy = dashboard_policy() if kind.startswith("text/html") else _SANDBOX
        self._send_head(HTTPStatus.OK, kind, len(data), policy=policy, cookie=cookie)
        self._send_content(data)

    def _send_content(self, data: bytes) -> None:
        if self.command != "HEAD":
            self.wfile.write(data)

    def _send_head(
        self,
        status: HTTPStatus,
        kind: str,
        length: int,
        *,
        policy: str = "default-src 'none'",
        cookie: bool = False,
        headers: Mapping[str, str] | None = None,
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
            *(headers or {}).items(),
        ):
            self.send_header(name, value)
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        if cookie and (text := self.server.guard.cookie()):
            self.send_header("Set-Cookie", text)
        self.end_headers()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer with the reason alone: nothing of the request is repeated."""
        status = HTTPStatus.METHOD_NOT_ALLOWED if code == HTTPStatus.NOT_IMPLEMENTED else HTTPStatus(code)
        self.close_connection = True
        with suppress(OSError):
            self._send_text(status, status.phrase)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: addresses may contain tokens."""


def _token_in(query: str) -> str | None:
    """The token in the query of an address; None if there is none, or the query is malformed."""
    try:
        tokens = parse_qs(query, max_num_fields=8).get("token")
    except ValueError:
        return None
    return tokens[0] if tokens else None


def serve(server: Server, wait: Callable[[], object]) -> None:
    """Answer requests until `wait` returns."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True)
    thread.start()
    try:
        wait()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
