"""A gRPC call without a library, to see how a service answers those who have no token."""

import re
import socket
import struct

UNIMPLEMENTED = 12
UNAUTHENTICATED = 16


def grpc_status(port: int, method: str, token: str | None = None) -> int | None:
    """Return the status of an empty call (`/package.Service/Method`); None where the other side speaks no gRPC."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": method,
        ":authority": f"127.0.0.1:{port}",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    if token:
        fields["authorization"] = f"Bearer {token}"
    head = b"".join(b"\0" + _text(name) + _text(value) for name, value in fields.items())
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    request = preface + _frame(4, 0, 0, b"") + _frame(1, 4, 1, head) + _frame(0, 1, 1, b"\0" * 5)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(request)
            data = b""
            while not (match := re.search(rb"grpc-status[\x01\x02]([0-9]{1,2})", data)):
                piece = connection.recv(65536)
                if not piece:
                    return None
                data += piece
    except OSError:
        return None
    return int(match[1])


def _frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    return struct.pack(">I", len(content))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + content


def _text(text: str) -> bytes:
    return bytes([len(text)]) + text.encode("ascii")
