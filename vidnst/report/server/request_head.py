"""The head of a request: read within a time and a length, and refused where its meaning is open to doubt."""

import re
import socket
import time
from http import HTTPStatus

_END = re.compile(rb"\r?\n\r?\n")
_VERSION = re.compile(rb"HTTP/1\.[01]")
_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\x00\r]*")


def read_head(connection: socket.socket, *, seconds: float, longest: int) -> bytes | HTTPStatus:
    """Read a request's first line and fields, with the empty line at their end.

    Returns:
        The head, or the status to answer with: it does not come in time, is too long, or is malformed.

    Raises:
        OSError: the client is gone.
    """
    deadline = time.monotonic() + seconds
    data = bytearray()
    while not (end := _END.search(data)):
        left = deadline - time.monotonic()
        if left <= 0:
            return HTTPStatus.REQUEST_TIMEOUT
        if len(data) >= longest:
            return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        connection.settimeout(left)
        try:
            piece = connection.recv(min(4096, longest - len(data)))
        except TimeoutError:
            return HTTPStatus.REQUEST_TIMEOUT
        if not piece:
            raise ConnectionResetError("the client has gone")
        data += piece
    head = bytes(data[: end.end()])
    return _refusal(head) or head


def _refusal(head: bytes) -> HTTPStatus | None:
    """The status for what two readers could understand in two ways: folded or nameless fields, two hosts, a body."""
    first, *fields = [line.removesuffix(b"\r") for line in head.rstrip(b"\r\n").split(b"\n")]
    words = first.split(b" ")
    if len(words) != 3 or not words[1].startswith(b"/") or not all(map(_FIELD.fullmatch, fields)):
        return HTTPStatus.BAD_REQUEST
    if not _VERSION.fullmatch(words[2]):
        return HTTPStatus.HTTP_VERSION_NOT_SUPPORTED
    values: dict[bytes, list[bytes]] = {}
    for field in fields:
        name, _, value = field.partition(b":")
        values.setdefault(name.lower(), []).append(value.strip())
    if len(values.get(b"host", [])) > 1:
        return HTTPStatus.BAD_REQUEST
    if b"transfer-encoding" in values or any(length != b"0" for length in values.get(b"content-length", [])):
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    return None
